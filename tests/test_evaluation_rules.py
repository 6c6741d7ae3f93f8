"""Evaluation by the book: labels to ignore, empty and missing structures, other grids."""

import json
import logging
import math
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from scored import NAMES, TWO_CASES, drawn, folders, value

import medseg
from medseg.evaluation import Bootstrap, Rules, Score, Scores, evaluate, evaluate_cases
from medseg.evaluation.records import confused
from medseg.evaluation.verifying import verify_with_medpy
from medseg.volume import Grid, Labels

DIAGONAL = math.sqrt((5 * 1) ** 2 + (5 * 2) ** 2 + (9 * 3) ** 2)
SEVERAL = ["dice", "hd95", "nsd", "precision", "recall", "false_positive_rate", "volume_predicted"]
WORST = Rules(empty="worst")


def columns(scores: Scores, label: int = 1) -> dict[str, float]:
    return {row.metric: row.value for row in scores if row.label == label}


# rules


@pytest.mark.parametrize(
    ("field", "given"),
    [("empty", "best"), ("missing", "skip"), ("resample", "linear"), ("ignore", 0)],
)
def test_other_rules_are_refused(field: str, given: object) -> None:
    with pytest.raises(ValueError, match=field):
        Rules(**{field: given})  # type: ignore[arg-type]


def test_a_missed_structure_gets_the_worst_scores_if_the_rules_say_so() -> None:
    pair = drawn(), drawn((1, 2))
    usual, worst = (columns(evaluate(*pair, metrics=SEVERAL, rules=r)) for r in (Rules(), WORST))
    assert (usual["hd95"], worst["hd95"]) == (math.inf, pytest.approx(DIAGONAL))
    assert math.isnan(usual["precision"])
    assert (worst["dice"], worst["nsd"], worst["precision"], worst["recall"]) == (0, 0, 0, 0)
    assert worst["false_positive_rate"] == usual["false_positive_rate"] == 0
    assert worst["volume_predicted"] == 0


def test_a_spurious_structure_gets_the_worst_scores_too() -> None:
    metrics = ["hd95", "recall", "false_negative_rate", "relative_volume_difference"]
    pair = drawn((1, 2)), drawn()
    usual, worst = (columns(evaluate(*pair, metrics=metrics, rules=r)) for r in (Rules(), WORST))
    assert worst["hd95"] == pytest.approx(DIAGONAL)
    assert (worst["recall"], worst["false_negative_rate"]) == (0, 1)
    assert repr(worst["relative_volume_difference"]) == repr(usual["relative_volume_difference"])


def test_what_neither_side_has_stays_undefined() -> None:
    scores = evaluate(drawn(), drawn(names={1: "kidney"}), metrics=["dice", "hd"], rules=WORST)
    assert [(row.status, math.isnan(row.value)) for row in scores] == [("both_empty", True)] * 2


def test_the_worst_distance_in_brats_is_that_of_its_organisers() -> None:
    empty = Labels.from_array(np.zeros((240, 240, 155), np.uint8))
    array = empty.array.copy()
    array[100, 100, 100] = 1
    scores = evaluate(empty, Labels.from_array(array), metrics=["hd95"], rules=WORST)
    assert value(scores, 1, "hd95") == pytest.approx(373.128, abs=1e-3)


# a label to ignore


def test_what_is_ignored_counts_for_nothing() -> None:
    reference = drawn((1, 2), (3, 6), names=NAMES)
    astray = drawn((1, 2), (2, 6))
    metrics = ["dice", "specificity", "accuracy", "hd"]
    plain = evaluate(astray, reference, metrics=metrics, rules=Rules(ignore=3))
    assert [label for label in plain.labels if label != 2] == [1]
    assert {row.status for row in plain if row.label == 2} == {"both_empty"}
    assert columns(plain) == {"dice": 1, "specificity": 1, "accuracy": 1, "hd": 0}


def test_voxels_that_are_ignored_are_no_true_negatives() -> None:
    predicted, reference = drawn((1, 3)), drawn((1, 2), (3, 6))
    rules = Rules(ignore=3)
    inside = reference.array != 3
    mask, known = (labels.array[inside] == 1 for labels in (predicted, reference))
    scores = columns(evaluate(predicted, reference, "", ["accuracy", "specificity"], rules=rules))
    assert scores["accuracy"] == pytest.approx((mask == known).mean())
    assert scores["specificity"] == pytest.approx(1 - mask[~known].mean())


def test_the_label_to_ignore_is_no_structure() -> None:
    predicted, reference = drawn((1, 2), (3, 4)), drawn((1, 2), (3, 6))
    scores = evaluate(predicted, reference, metrics=["dice"], rules=Rules(ignore=3))
    assert scores.labels == (1,)


def test_the_label_to_ignore_may_be_part_of_no_reference() -> None:
    pair = drawn((1, 3)), drawn((1, 2))
    assert evaluate(*pair, rules=Rules(ignore=9)) == evaluate(*pair)


# other grids


def test_a_prediction_on_another_grid_is_put_on_that_of_the_reference() -> None:
    fine = Labels(
        np.repeat(drawn((1, 2)).array, 3, axis=2),
        Grid((5, 5, 27), np.array([[1.0, 0, 0, 0], [0, 2, 0, 0], [0, 0, 1, -1], [0, 0, 0, 1]])),
    )
    with pytest.raises(ValueError, match=r"the prediction lies on another grid than the reference"):
        evaluate(fine, drawn((1, 2)))
    scores = evaluate(fine, drawn((1, 2)), metrics=["dice"], rules=Rules(resample="nearest"))
    assert value(scores, 1, "dice") == 1


def test_a_turned_prediction_is_said_to_lie_elsewhere_than_the_reference() -> None:
    moved = Labels(drawn().array, Grid(drawn().grid.shape, np.diag([-1.0, 2, 3, 1])))
    with pytest.raises(ValueError, match="elsewhere in the world than the reference"):
        evaluate(moved, drawn((1, 2)))


# missing predictions


def test_a_missing_prediction_may_count_as_worst(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    predicted, reference = folders(tmp_path, TWO_CASES)
    (predicted / "a.nii.gz").unlink()
    with caplog.at_level(logging.WARNING, "medseg"):
        scores = evaluate_cases(predicted, reference, ["dice", "hd"], rules=Rules(missing="worst"))
    assert "1 of 2 references, scored as worst: a" in caplog.text
    assert value(scores, 1, "dice", "a") == 0
    assert value(scores, 1, "hd", "a") == pytest.approx(DIAGONAL)
    assert value(scores, 1, "hd", "b") == 3
    assert scores.records["a"].prediction is None


def test_predictions_that_are_all_missing_are_refused(tmp_path: Path) -> None:
    _, reference = folders(tmp_path, TWO_CASES)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="no prediction for 2 of 2 references: a, b"):
        evaluate_cases(tmp_path / "empty", reference, rules=Rules(missing="worst"))


def test_predictions_may_be_a_data_set(tmp_path: Path) -> None:
    predicted, reference = folders(tmp_path, TWO_CASES)
    lines = [f"{case},none.nii.gz,predicted/{case}.nii.gz" for case in TWO_CASES]
    (tmp_path / "found.csv").write_text("\n".join(["case,image:t1,label", *lines]))
    metrics = ["dice", "hd"]
    assert (
        evaluate_cases(tmp_path / "found.csv", reference, metrics).rows
        == evaluate_cases(predicted, reference, metrics).rows
    )


# what is known of each case


def test_a_label_that_one_case_has_gets_a_row_in_each(tmp_path: Path) -> None:
    cases = {"a": (drawn((1, 2)), drawn((1, 2))), "b": (drawn((1, 2), (2, 5)), drawn((1, 2)))}
    scores = evaluate_cases(*folders(tmp_path, cases), ["dice", "accuracy"])
    assert [(row.case, row.label, row.status) for row in scores if row.metric == "dice"] == [
        ("a", 1, "ok"),
        ("a", 2, "both_empty"),
        ("b", 1, "ok"),
        ("b", 2, "spurious"),
    ]
    direct = evaluate(*cases["a"], metrics=["accuracy"]) + evaluate(
        drawn(), drawn(names={2: ""}), metrics=["accuracy"]
    )
    assert value(scores, 2, "accuracy", "a") == value(direct, 2, "accuracy")
    assert asdict(scores.records["a"].counts[2]) == {
        "labels": (2,), "tp": 0, "fp": 0, "fn": 0, "tn": 5 * 5 * 9
    }  # fmt: skip


def test_it_is_counted_which_label_was_taken_for_which() -> None:
    predicted, reference = drawn((2, 2), (3, 5)), drawn((1, 2), (3, 6))
    assert confused(predicted, reference) == {(1, 2): 8, (3, 0): 4, (0, 3): 4}
    assert confused(reference, reference) == {}


@pytest.mark.parametrize("threads", ["1", "3"])
def test_threads_change_nothing(
    tmp_path: Path, threads: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    cases = {f"{n}": (drawn((1, n % 5)), drawn((1, 2), (2, 5))) for n in range(12)}
    scores = evaluate_cases(*folders(tmp_path, cases), ["dice", "hd95"])
    expected = sum((evaluate(*cases[n], n, ["dice", "hd95"]) for n in cases), Scores())
    in_order = sorted(expected, key=lambda row: sorted(cases).index(row.case))
    assert [str(row) for row in scores] == [str(row) for row in in_order]


def test_nnunet_finds_what_its_own_summary_has(tmp_path: Path) -> None:
    where = folders(tmp_path, {**TWO_CASES, "c": (drawn(), drawn((1, 2), (2, 6)))})
    scores = evaluate_cases(*where, ["dice"], {"all": (1, 2)})
    scores.save(tmp_path / "summary.json")
    found = json.loads((tmp_path / "summary.json").read_text())
    case = found["metric_per_case"][1]
    assert case["reference_file"] == str(where[1] / "b.nii.gz")
    assert case["prediction_file"] == str(where[0] / "b.nii.gz")
    assert case["metrics"]["1"] == {
        "Dice": 0.5, "IoU": 1 / 3, "TP": 4, "FP": 4, "FN": 4, "TN": 213, "n_pred": 8, "n_ref": 8
    }  # fmt: skip
    assert case["metrics"]["2"]["Dice"] is None
    assert list(found["mean"]) == ["1", "2", "(1, 2)"]
    assert found["mean"]["1"]["Dice"] == 0.5
    assert found["mean"]["2"]["n_ref"] == pytest.approx(8 / 3)
    assert found["foreground_mean"]["Dice"] == pytest.approx((0.5 + 0 + 0.5) / 3)


# together


def of_one_metric(*values: float) -> Scores:
    return Scores(tuple(Score(f"{i}", 1, "", "hd", v, "ok") for i, v in enumerate(values)))


def test_quartiles_are_those_of_numpy() -> None:
    values = (3.0, 1.0, 4.0, 1.5, 9.0)
    (found,) = of_one_metric(*values, math.inf).summary()
    assert [found.q1, found.median, found.q3] == np.percentile(values, [25, 50, 75]).tolist()


def test_the_interval_of_the_mean_is_that_of_a_plain_bootstrap() -> None:
    values = np.random.default_rng(1).gamma(2, size=30)
    (found,) = of_one_metric(*values).summary()
    draws = np.random.default_rng(2).integers(0, 30, (20_000, 30))
    low, high = np.percentile(values[draws].mean(axis=1), [2.5, 97.5])
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.02)
    assert found.low < found.mean < found.high


def test_the_interval_comes_from_its_seed_alone() -> None:
    scores = of_one_metric(*np.random.default_rng(1).normal(size=20), math.inf)
    first, again, other = (scores.summary(Bootstrap(seed=s))[0] for s in (3, 3, 4))
    assert (first.low, first.high) == (again.low, again.high)
    assert (first.low, first.high) != (other.low, other.high)


def test_one_case_has_no_interval() -> None:
    (found,) = of_one_metric(1.0, math.inf).summary()
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def test_what_is_infinite_is_left_out_of_the_interval_too() -> None:
    (found,) = of_one_metric(2.0, 2.0, math.inf).summary()
    assert (found.low, found.high) == (2, 2)


def test_a_case_that_is_scored_twice_is_refused() -> None:
    scores = of_one_metric(1.0) + of_one_metric(2.0)
    with pytest.raises(ValueError, match="case '0' has hd of 1 twice"):
        scores.summary()


# against MedPy


def test_medpy_finds_the_same(tmp_path: Path) -> None:
    pytest.importorskip("medpy")
    rng = np.random.default_rng(0)
    cases = {
        name: tuple(Labels.from_array(rng.integers(0, 4, (6, 7, 8)), (1, 2, 3)) for _ in range(2))
        for name in "ab"
    }
    metrics = [*medseg.DEFAULT_METRICS, "specificity", "asd_to_reference"]
    rules = Rules(ignore=3)
    scores = evaluate_cases(*folders(tmp_path, cases), metrics, {"both": (1, 2)}, rules=rules)
    found = verify_with_medpy(scores, rules)
    assert list(found) == [m for m in metrics if m != "nsd"]
    assert max(found.values()) < 1e-12


def test_medpy_sees_a_wrong_score(tmp_path: Path) -> None:
    pytest.importorskip("medpy")
    scores = evaluate_cases(*folders(tmp_path, TWO_CASES), ["dice"])
    (right, *rest) = scores.rows
    wrong = Score(right.case, right.label, right.name, right.metric, right.value - 0.25, "ok")
    assert verify_with_medpy(Scores((wrong, *rest), {}, scores.records)) == {"dice": 0.25}


def test_nothing_to_verify_is_refused() -> None:
    pytest.importorskip("medpy")
    with pytest.raises(ValueError, match="MedPy is compared in dice, jaccard"):
        verify_with_medpy(evaluate(*TWO_CASES["a"], metrics=["dice"]))


def test_what_a_data_set_ignores_is_ignored(tmp_path: Path) -> None:
    labels = {"background": 0, "shell": 1, "core": 2, "ignore": 3}
    index = {"channel_names": {"0": "t1"}, "labels": labels}
    reference = drawn((1, 2))
    unsure = np.where(np.indices(reference.grid.shape)[0] < 3, 3, reference.array)
    medseg.write(Labels(unsure, reference.grid), tmp_path / "data" / "labelsTr" / "a.nii.gz")
    medseg.write(drawn((1, 3)), tmp_path / "found" / "a.nii.gz")
    (tmp_path / "data" / "imagesTr").mkdir()
    (tmp_path / "data" / "dataset.json").write_text(json.dumps(index))
    files = tmp_path / "found", tmp_path / "data"
    own, said = (evaluate_cases(*files, rules=rules) for rules in (Rules(), Rules(ignore=3)))
    assert [row.value for row in own.rows] == pytest.approx(
        [row.value for row in said.rows], nan_ok=True
    )
    assert 3 not in own.labels
