"""Evaluation: which rows there are, what they say together, files in and files out."""

import csv
import json
import logging
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import typer
from scored import NAMES, TWO_CASES, drawn, folders, value
from typer.testing import CliRunner, Result

import medseg
from medseg.cli.evaluate import evaluate as evaluate_command
from medseg.evaluation import DEFAULT_METRICS, Rules, Score, Scores, evaluate, evaluate_cases
from medseg.io import write
from medseg.volume import Grid, Labels

# one case


def test_a_row_says_what_was_scored() -> None:
    scores = evaluate(drawn((1, 3)), drawn((1, 2), names=NAMES), "anna", ["dice"])
    assert scores.rows[0] == Score("anna", 1, "kidney", "dice", 0.5, "ok")


def test_every_label_that_either_has_or_that_has_a_name_is_scored() -> None:
    reference = drawn((1, 2), (2, 5), names={**NAMES, 0: "background"})
    scores = evaluate(drawn((1, 2), (4, 5)), reference)
    statuses = {(row.label, row.name, row.status) for row in scores}
    assert statuses == {
        (1, "kidney", "ok"),
        (2, "tumour", "missed"),
        (3, "cyst", "both_empty"),
        (4, "", "spurious"),
    }
    assert scores.metrics == DEFAULT_METRICS
    assert len(scores) == 4 * len(DEFAULT_METRICS)


def test_a_region_is_scored_as_one_structure() -> None:
    predicted, reference = drawn((1, 2), (2, 4)), drawn((2, 2), (1, 4))
    scores = evaluate(predicted, reference, metrics=["dice", "hd"], regions={"whole": (1, 2)})
    assert (value(scores, 1, "dice"), value(scores, "whole", "dice")) == (0, 1)
    assert value(scores, "whole", "hd") == 0
    assert {row.name for row in scores if row.label == "whole"} == {"whole"}


def test_the_tolerance_is_that_of_nsd_and_stands_in_its_name() -> None:
    pair = drawn((1, 3)), drawn((1, 2))
    assert value(evaluate(*pair), 1, "nsd") == 0.5
    assert value(evaluate(*pair, rules=Rules(tolerance_mm=3)), 1, "nsd_3mm") == 1
    several = evaluate(*pair, metrics=["nsd", "nsd_3mm", "nsd_1mm"])
    assert several.metrics == ("nsd", "nsd_3mm")


def test_other_grids_are_refused() -> None:
    moved = Labels(drawn().array, Grid(drawn().grid.shape, np.diag([1.0, 2, 4, 1])))
    with pytest.raises(ValueError, match="the prediction lies on another grid than the reference"):
        evaluate(moved, drawn((1, 2)))


def test_a_region_with_a_number_for_a_name_is_refused() -> None:
    with pytest.raises(ValueError, match="a region has a name, not a number, got '12'"):
        evaluate(drawn(), drawn(), regions={"12": (1, 2)})


# many scores


def rows(*values: float, label: int | str = 1, metric: str = "hd") -> Scores:
    def status(value: float) -> str:
        return "both_empty" if math.isnan(value) else "missed" if math.isinf(value) else "ok"

    return Scores(
        tuple(
            Score(f"case {i}", label, "kidney", metric, value, status(value))  # type: ignore[arg-type]
            for i, value in enumerate(values)
        )
    )


def test_a_summary_is_over_finite_values_and_counts_the_others() -> None:
    (found,) = rows(1.0, 2.0, 6.0, math.inf, math.inf, math.nan).summary()
    assert (found.label, found.name, found.metric) == (1, "kidney", "hd")
    assert (found.scored, found.missed, found.spurious, found.both_empty) == (3, 2, 0, 1)
    assert (found.mean, found.median, found.min, found.max) == (3, 2, 1, 6)
    assert found.sd == pytest.approx(math.sqrt(7))


def test_a_summary_of_too_few_values_has_no_numbers() -> None:
    (none,), (one,) = rows(math.inf).summary(), rows(2.0).summary()
    assert all(map(math.isnan, (none.mean, none.sd, none.median, none.min, none.max, one.sd)))
    assert (none.scored, none.missed, one.mean) == (0, 1, 2)


def test_a_missed_structure_counts_in_the_mean_dice() -> None:
    missed = evaluate(drawn(), drawn((1, 2)), "b")
    scores = evaluate(drawn((1, 2)), drawn((1, 2)), "a") + missed
    assert scores.mean("dice") == 0.5
    dice, hd = (next(s for s in scores.summary() if s.metric == m) for m in ("dice", "hd"))
    assert (dice.scored, dice.missed) == (2, 1)
    assert (hd.scored, hd.missed) == (1, 1)


def test_a_mean_is_over_all_labels_or_one() -> None:
    scores = rows(1.0, 3.0) + rows(7.0, 9.0, math.inf, label="whole") + rows(100.0, metric="assd")
    assert scores.mean("hd") == 5
    assert (scores.mean("hd", 1), scores.mean("hd", "whole")) == (2, 8)
    assert math.isnan(rows(math.inf).mean("hd"))


@pytest.mark.parametrize(
    ("asked", "message"), [(("dice",), "no scores of dice; there are hd"), (("hd", 2), "label 2")]
)
def test_a_mean_of_what_was_not_scored_is_refused(asked: tuple[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rows(1.0).mean(*asked)


def test_labels_come_in_order_and_regions_last() -> None:
    scores = rows(1.0, label="whole") + rows(1.0, label=10) + rows(1.0, label=2)
    assert scores.labels == (2, 10, "whole")
    assert [summary.label for summary in scores.summary()] == [2, 10, "whole"]


# files out


def awkward() -> Scores:
    odd = Scores((Score('a,"b"', "whole", "Größe", "dice", 1 / 3, "ok"),), {"c": "is damaged"})
    return odd + rows(0.1, math.nan, math.inf)


def test_a_csv_has_a_line_for_each_label_and_a_column_for_each_metric(tmp_path: Path) -> None:
    awkward().save(tmp_path / "new" / "scores.csv")
    with (tmp_path / "new" / "scores.csv").open(newline="", encoding="utf-8") as file:
        header, *lines = csv.reader(file)
    assert header == ["case", "label", "name", "status", "dice", "hd"]
    assert lines[0] == ['a,"b"', "whole", "Größe", "ok", repr(1 / 3), ""]
    assert [line[5] for line in lines[1:]] == ["0.1", "nan", "inf"]


def test_a_csv_is_read_as_it_was_written(tmp_path: Path) -> None:
    awkward().save(str(tmp_path / "scores.csv"))
    back = Scores.read(str(tmp_path / "scores.csv"))
    assert [str(row) for row in back] == [str(row) for row in awkward()]  # nan is not nan


def test_json_has_null_for_what_is_no_number(tmp_path: Path) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    awkward().save(tmp_path / "summary.json")
    text = (tmp_path / "summary.json").read_text(encoding="utf-8")
    content = json.loads(text, parse_constant=refuse)
    dice, hd = content["summary"]["whole"]["dice"], content["summary"]["1"]["hd"]
    assert (dice["name"], dice["n"], dice["mean"], dice["sd"]) == ("Größe", 1, 1 / 3, None)
    assert (hd["n"], hd["mean"], hd["missed"], hd["both_empty"]) == (1, 0.1, 1, 1)
    assert hd["interval"] == [None, None]
    assert content["failures"] == {"c": "is damaged"}
    assert content["definitions"]["hd"]["unit"] == "mm"
    assert content["bootstrap"]["seed"] == 0
    assert content["versions"]["medseg"] == medseg.__version__


def test_no_other_suffix_is_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"written as \.csv or \.json"):
        rows(1.0).save(tmp_path / "scores.xlsx")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "needs the header"),
        ("a,b\n", "needs the header"),
        ("case,label,name,status,hd\na,1,,ok\n", "holds the row a,1,,ok: expected 5 cells, got 4"),
        ("case,label,name,status,hd\na,1,,fine,2\n", "got 'fine'"),
        ("case,label,name,status,hd\na,1,,ok,x\n", "could not convert"),
        ("case,label,name,status,hd,hd\na,1,,ok,1,2\n", "needs the header"),
        ("case,label,name,status,hdd\na,1,,ok,1\n", "no metric is called 'hdd'"),
    ],
)
def test_another_csv_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "scores.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        Scores.read(tmp_path / "scores.csv")


# many cases


def test_files_are_matched_by_name_whatever_their_suffix(tmp_path: Path) -> None:
    predicted, reference = folders(tmp_path, TWO_CASES)
    (predicted / "a.nii.gz").rename(predicted / "a.nii.gz.old")
    write(TWO_CASES["a"][0], predicted / "a.nii")
    scores = evaluate_cases(predicted, str(reference), ["dice"], {"all": (1,)}, names=NAMES)
    assert {(row.case, row.label): row.value for row in scores if row.status == "ok"} == {
        ("a", 1): 1,
        ("a", "all"): 1,
        ("b", 1): 0.5,
        ("b", "all"): 0.5,
    }
    assert {row.name for row in scores} == {"kidney", "tumour", "cyst", "all"}


def test_two_files_are_one_case(tmp_path: Path) -> None:
    predicted, reference = folders(tmp_path, TWO_CASES)
    scores = evaluate_cases(
        predicted / "b.nii.gz", reference / "b.nii.gz", ["nsd"], rules=Rules(tolerance_mm=3)
    )
    assert scores.rows == (Score("b", 1, "", "nsd_3mm", 1.0, "ok"),)


def test_a_data_set_says_what_its_labels_are_called(tmp_path: Path) -> None:
    predicted, reference = folders(tmp_path, TWO_CASES)
    reference.rename(tmp_path / "labelsTr")
    (tmp_path / "imagesTr").mkdir()
    labels = {"background": 0, "kidney": 1, "both": [1, 2]}
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": labels}))
    scores = evaluate_cases(predicted, tmp_path, ["dice"])
    assert {(row.label, row.name) for row in scores} == {
        (1, "kidney"),
        (2, "label 2"),
        ("both", "both"),
    }
    assert scores.mean("dice", "both") == 0.75


def test_missing_predictions_are_all_named_before_any_work(tmp_path: Path) -> None:
    predicted, reference = folders(tmp_path, TWO_CASES)
    (reference / "c.nii.gz").write_text("damaged, but nobody looks")
    (predicted / "a.nii.gz").unlink()
    with pytest.raises(FileNotFoundError, match="no prediction for 2 of 3 references: a, c;"):
        evaluate_cases(predicted, reference)


def test_a_prediction_without_a_reference_is_left_out_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    predicted, reference = folders(tmp_path, TWO_CASES)
    (reference / "a.nii.gz").unlink()
    with caplog.at_level(logging.WARNING, "medseg"):
        scores = evaluate_cases(predicted, reference)
    assert {row.case for row in scores} == {"b"}
    assert "not scored, as they have no reference: a" in caplog.text


def test_one_bad_case_keeps_no_other_from_being_scored(tmp_path: Path) -> None:
    moved = Labels(drawn((1, 2)).array, Grid(drawn().grid.shape, np.diag([2.0, 2, 3, 1])))
    cases = {**TWO_CASES, "c": (moved, drawn((1, 2))), "d": TWO_CASES["a"]}
    predicted, reference = folders(tmp_path, cases)
    (reference / "d.nii.gz").write_bytes(b"nothing that is an image")
    scores = evaluate_cases(predicted, reference)
    assert {row.case for row in scores} == {"a", "b"}
    assert list(scores.failures) == ["c", "d"]
    assert "the prediction lies on another grid than the reference" in scores.failures["c"]
    assert str(reference / "d.nii.gz") in scores.failures["d"]


@pytest.mark.parametrize(
    ("first", "second", "error", "message"),
    [
        ("predicted", "nowhere", FileNotFoundError, "nowhere does not exist"),
        ("nowhere", "reference", FileNotFoundError, "nowhere does not exist"),
        ("predicted/a.nii.gz", "reference", ValueError, "two folders or two files"),
        ("predicted", "reference/a.nii.gz", ValueError, "two folders or two files"),
        ("predicted", "empty", ValueError, "holds no label map"),
        ("twice", "reference", ValueError, "are two files for one case"),
    ],
)
def test_what_can_not_be_matched_is_refused(
    tmp_path: Path, first: str, second: str, error: type[Exception], message: str
) -> None:
    folders(tmp_path, TWO_CASES)
    (tmp_path / "empty").mkdir()
    for suffix in (".nii", ".nii.gz"):
        write(drawn((1, 2)), tmp_path / "twice" / f"a{suffix}")
    with pytest.raises(error, match=message):
        evaluate_cases(tmp_path / first, tmp_path / second)


def test_an_unknown_metric_is_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no metric is called 'dise'"):
        evaluate_cases(tmp_path / "nowhere", tmp_path / "nowhere", ["dise"])


# the command


def run(*arguments: object) -> Result:
    app = typer.Typer()
    app.command()(evaluate_command)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_the_command_prints_a_table_and_writes_two_files(tmp_path: Path) -> None:
    where = folders(tmp_path, TWO_CASES)
    options = ("--metric", "dice", "--metric", "nsd", "--tolerance", "3", "--region", "whole=1,2")
    result = run(*where, "-o", tmp_path / "out", *options)
    assert result.exit_code == 0
    assert "0.750 ± 0.354" in result.stdout
    scores = Scores.read(tmp_path / "out" / "scores.csv")
    assert (scores.labels, scores.metrics) == ((1, "whole"), ("dice", "nsd_3mm"))
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())["summary"]
    assert {label: list(found) for label, found in summary.items()} == {
        "1": ["dice", "nsd_3mm"],
        "whole": ["dice", "nsd_3mm"],
    }


def test_the_command_replaces_nothing_unless_told(tmp_path: Path) -> None:
    where = folders(tmp_path, TWO_CASES)
    (tmp_path / "scores.csv").write_text("precious")
    refused = run(*where, "-o", tmp_path)
    assert isinstance(refused.exception, FileExistsError)
    assert "--overwrite" in str(refused.exception)
    assert (tmp_path / "scores.csv").read_text() == "precious"
    assert run(*where, "-o", tmp_path, "--overwrite").exit_code == 0
    assert len(Scores.read(tmp_path / "scores.csv")) == 2 * len(DEFAULT_METRICS)


def test_the_command_ends_with_3_if_a_case_failed(tmp_path: Path) -> None:
    where = folders(tmp_path, TWO_CASES)
    (where[0] / "a.nii.gz").write_bytes(b"nothing that is an image")
    result = run(*where)
    assert result.exit_code == 3
    assert "medseg: a was not scored" in result.stderr
    assert "dice" in result.stdout


@pytest.mark.parametrize("region", ["whole", "=1", "whole=", "whole=1,x", "whole=1,,2"])
def test_the_command_refuses_what_is_no_region(tmp_path: Path, region: str) -> None:
    result = run(tmp_path, tmp_path, "--region", region)
    assert isinstance(result.exception, ValueError)
    assert "a region is NAME=LABEL,LABEL,..." in str(result.exception)


def test_the_command_refuses_a_region_given_twice(tmp_path: Path) -> None:
    result = run(tmp_path, tmp_path, "--region", "a=1", "--region", "a=2")
    assert "'a' is given twice" in str(result.exception)


# weight


def test_evaluating_imports_neither_torch_nor_monai() -> None:
    assert medseg.evaluate is evaluate
    code = (
        "import sys, medseg, numpy\n"
        "import medseg.cli.evaluate\n"
        "labels = medseg.Labels.from_array(numpy.eye(3))\n"
        "assert medseg.evaluate(labels, labels).mean('hd95') == 0\n"
        "print(sorted({'torch', 'monai', 'SimpleITK', 'skimage'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_real_hippocampi_are_scored(data: Path) -> None:
    reference = data / "hippocampus"
    case = medseg.Dataset.read(reference).cases[0]
    scores = evaluate(case.labels(), case.labels(), case.name)
    assert (scores.mean("dice"), scores.mean("hd")) == (1, 0)
