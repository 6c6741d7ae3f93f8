"""Tuning finds what was drawn, says what it did, and holds out what it is scored on."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import command, complaint
from drawn import oblique_affine

import medseg
from medseg import Case, Chain, Dataset, Grid, Image, Labels, Search, orientation, reorient, tune
from medseg.tuning import seeds_of
from medseg.tuning.classes import matched, table_of
from medseg.tuning.halving import finalists
from medseg.tuning.judging import Judge
from medseg.tuning.searching import Sides
from medseg.tuning.shelf import Shelf
from medseg.tuning.space import Space
from medseg.tuning.trials import Trials

SHAPE = (10, 11, 12)
QUICK = Search(trials=9, folds=2, device="cpu")


def tissue(seed: int) -> np.ndarray:
    """0 with a box of 2, and in it a box of 1, where the seed puts them."""
    rng = np.random.default_rng(seed)
    values = np.zeros(SHAPE, np.uint8)
    first = rng.integers(1, 3, 3)
    values[tuple(slice(a, a + 7) for a in first)] = 2
    values[tuple(slice(a + 2, a + 5) for a in first)] = 1
    return values


def write_cases(
    folder: Path, intensities: tuple[float, float, float], cases: int = 6, noise: float = 1.0
) -> Dataset:
    """A data set of boxes with these intensities for background, label 1 and label 2."""
    grid = Grid(SHAPE, oblique_affine((1, 2, 3)))
    for seed in range(cases):
        values = tissue(seed)
        array = np.array(intensities)[values]
        array = array + noise * np.random.default_rng(seed).normal(size=SHAPE)
        medseg.write(Image(array[None], grid), folder / "images" / f"case_{seed}.nii.gz")
        medseg.write(Labels(values, grid), folder / "labels" / f"case_{seed}.nii.gz")
    return Dataset.read(folder)


@pytest.fixture
def boxes(tmp_path: Path, one_thread: None) -> Dataset:
    return write_cases(tmp_path / "boxes", (10, 50, 90))


def trials_of(steps: list[dict[str, Any]], data: Dataset, *, matching: bool = True) -> Trials:
    judge = Judge("dice", (1, 2))
    return Trials(steps, Shelf(), judge, matching=matching, device="cpu")


# --- seeds out of an annotation


def test_a_label_is_marked_where_it_is_deepest() -> None:
    array = np.zeros((9, 9), np.uint8)
    array[1:8, 2:7] = 3
    seeds = seeds_of(Labels.from_array(array)).array
    # 5 columns wide, so the middle column is deepest, from the 3rd row of 7 to the 5th.
    assert np.argwhere(seeds == 3).tolist() == [[3, 4]]
    assert seeds[0, 0] == -1
    assert seeds[0, 4] == 0


def test_depth_is_in_millimetres() -> None:
    array = np.zeros((5, 9), np.uint8)
    array[1:4, 1:8] = 1
    assert seeds_of(Labels.from_array(array, (1, 1))).array[2, 2] == 1
    # A row is 9 mm high now, so depth goes by columns.
    assert np.argwhere(seeds_of(Labels.from_array(array, (9, 1))).array == 1).tolist() == [[1, 4]]


def test_background_seeds_are_at_least_half_as_far_as_the_farthest() -> None:
    array = np.zeros((1, 11), np.uint8)
    array[0, 0] = 1
    assert seeds_of(Labels.from_array(array)).array.tolist() == [[1, 0, 0, 0, 0, *[-1] * 6]]


def test_seeds_lie_inside_the_mask() -> None:
    labels = Labels.from_array(tissue(0))
    inside = np.zeros(SHAPE, np.uint8)
    inside[:, :6] = 1
    seeds = seeds_of(labels, Labels(inside, labels.grid))
    assert set(seeds.values()) == {-1, 1, 2}
    assert not seeds.array[inside == 0].any()


@pytest.mark.parametrize("code", ["LPS", "SAR", "PIR"])
def test_seeds_are_the_same_however_the_annotation_is_stored(code: str) -> None:
    labels = Labels(tissue(1), Grid.from_spacing(SHAPE, (1, 2, 3)))
    turned = seeds_of(reorient(labels, code))
    assert orientation(turned.grid) == code
    np.testing.assert_array_equal(reorient(turned).array, seeds_of(labels).array)


def test_a_label_that_fills_the_volume_has_a_middle() -> None:
    seeds = seeds_of(Labels.from_array(np.ones((5, 5), np.uint8)))
    assert np.argwhere(seeds.array).tolist() == [[2, 2]]


def test_there_are_no_seeds_without_a_label() -> None:
    with pytest.raises(ValueError, match="no label"):
        seeds_of(Labels.from_array(np.zeros((3, 3), np.uint8)))


# --- which class is which label


def test_classes_are_matched_one_for_one_for_most_dice_in_all() -> None:
    # Class 1 overlaps label 1 best, but label 2 has nothing else; class 2 is nearly as good.
    table = {(1, 1): 60, (1, 2): 50, (2, 1): 50, (0, 0): 900}
    assert matched([table], (1, 2)) == ((1, 2), (2, 1))


def test_tables_of_all_cases_count_together() -> None:
    assert matched([{(1, 1): 10}, {(2, 1): 30}], (1,)) == ((2, 1),)


def test_a_table_counts_each_class_in_each_label() -> None:
    found = Labels.from_array(np.array([[0, 1, 1, 2]]))
    reference = Labels.from_array(np.array([[0, 1, 2, 2]]))
    assert table_of(found, reference) == {(0, 0): 1, (1, 1): 1, (1, 2): 1, (2, 2): 1}


def test_a_class_that_meets_no_label_becomes_nothing() -> None:
    assert matched([{(1, 1): 5, (2, 0): 7}], (1, 3)) == ((1, 1),)


def test_regions_without_a_meaning_are_refused() -> None:
    parts = Labels.from_array(np.arange(400).reshape(20, 20))
    with pytest.raises(ValueError, match="v_rand"):
        table_of(parts, parts)


# --- where to look


def test_draws_lie_in_their_ranges() -> None:
    space = Space.of(
        [{"name": "gaussian"}, {"name": "watershed"}],
        {"watershed.lines": False},
        {"gaussian.sigma": (2.0, 3.0), "watershed.compactness": [0.0, 0.5]},
    )
    assert set(space.axes) == {
        "gaussian.sigma",
        "watershed.relief",
        "watershed.scale",
        "watershed.compactness",
    }
    rng = np.random.default_rng(0)
    draws = [space.draw(rng) for _ in range(200)]
    assert all(2 <= draw["gaussian.sigma"] <= 3 for draw in draws)
    assert {draw["watershed.compactness"] for draw in draws} == {0.0, 0.5}
    assert {draw["watershed.relief"] for draw in draws} == {"gradient", "image"}


def test_intensities_are_looked_for_among_those_of_the_images() -> None:
    space = Space.of([{"name": "threshold"}], {}, {})
    assert space.open
    space = space.within(-100, 300)
    rng = np.random.default_rng(0)
    lows = [space.draw(rng)["threshold.low"] for _ in range(300)]
    assert 50 < lows.count(None) < 150
    assert all(-100 <= low <= 300 for low in lows if low is not None)


def test_constant_images_have_no_range() -> None:
    with pytest.raises(ValueError, match="constant"):
        Space.of([{"name": "threshold"}], {}, {}).within(3, 3)


@pytest.mark.parametrize(
    ("ranges", "message"),
    [
        ({"otsu.classes": (0, 4)}, "otsu.classes is of at least 2"),
        ({"otsu.classes": (4, 4)}, "a range is low:high"),
        ({"otsu.clases": (2, 4)}, "did you mean 'otsu.classes'"),
        ({"otsu.device": (2, 4)}, "takes no range but values"),
        ({"otsu.bins": (10, 20)}, "both a value and a range"),
    ],
)
def test_ranges_that_cannot_be_are_refused(ranges: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Space.of([{"name": "otsu"}], {"otsu.bins": 64}, ranges)


# --- one number for a case


def test_the_score_of_a_case_is_the_mean_over_labels_and_the_worst_where_one_is_missed() -> None:
    reference = Labels.from_array(np.array([[1, 1, 2, 0]]))
    half = Labels.from_array(np.array([[1, 1, 0, 0]]))
    assert Judge("dice", (1, 2)).score(half, reference) == 0.5
    assert Judge("hd", (1, 2)).score(half, reference) == pytest.approx(np.sqrt(17) / 2)
    assert np.isnan(Judge("dice", (5,)).score(half, reference))


def test_more_is_better_whatever_the_metric() -> None:
    assert Judge("hd95", (1,)).gain(2) > Judge("hd95", (1,)).gain(3)
    assert Judge("dice", (1,)).gain(0.9) > Judge("dice", (1,)).gain(0.8)


@pytest.mark.parametrize("metric", ["volume_predicted", "relative_volume_difference"])
def test_a_metric_without_a_direction_is_refused(metric: str) -> None:
    with pytest.raises(ValueError, match="neither good nor bad"):
        Judge(metric, (1,))


def test_objects_are_the_components_of_each_label() -> None:
    reference = Labels.from_array(np.array([[1, 1, 0, 1, 1]]))
    split = Labels.from_array(np.array([[7, 7, 8, 9, 9]]))
    assert Judge("v_rand", ()).score(split, reference) == 1
    whole = Labels.from_array(np.array([[1, 1, 1, 1, 1]]))
    assert Judge("v_rand", ()).score(whole, reference) == pytest.approx(2 / 3)


# --- the search


def test_otsu_learns_how_many_classes_there_are_and_what_they_mean(boxes: Dataset) -> None:
    found = tune("otsu", boxes, QUICK)
    assert found.chain.steps()[0]["classes"] == 3
    assert found.chain.steps()[1] == {"name": "relabel", "pairs": ((1, 1), (2, 2))}
    assert found.score == found.training_score == 1
    assert set(found.scores) == {case.name for case in boxes.cases}


def test_brightness_may_be_the_other_way_round(tmp_path: Path, one_thread: None) -> None:
    data = write_cases(tmp_path, (10, 90, 50))
    assert tune("otsu", data, QUICK).chain.steps()[1]["pairs"] == ((1, 2), (2, 1))


def test_a_threshold_is_found_among_the_intensities(tmp_path: Path, one_thread: None) -> None:
    data = write_cases(tmp_path, (10, 90, 90))
    one = replace(QUICK, trials=60, fixed={"relabel.pairs": ((1, 2),), "threshold.high": None})
    found = tune("threshold", data, one)
    assert 13 < found.chain.steps()[0]["low"] < 87
    assert found.trials == 60


def test_what_is_saved_segments_as_well_as_was_said(boxes: Dataset, tmp_path: Path) -> None:
    found = tune("gaussian+otsu+keep-largest", boxes, replace(QUICK, trials=12))
    found.save(tmp_path / "params.json", "boxes")
    chain = Chain.load(tmp_path / "params.json")
    assert chain.steps() == found.chain.steps()
    scores = medseg.Scores()
    for case in boxes.cases:
        scores += medseg.evaluate(chain.segment(case.image()), case.labels(), case.name, ["dice"])
    assert scores.mean("dice") == pytest.approx(found.training_score)
    told = json.loads((tmp_path / "params.json").read_text())["tuned"]
    assert (told["data"], told["metric"], told["version"]) == ("boxes", "dice", medseg.__version__)
    assert (told["seed"], told["trials"], len(told["folds"])) == (0, 12, 2)
    assert told["held_out_score"] == pytest.approx(found.score)


def test_the_same_seed_finds_the_same_and_another_looks_elsewhere(boxes: Dataset) -> None:
    search = replace(QUICK, fixed={"otsu.classes": 3})
    first, again = (tune("gaussian+otsu", boxes, search) for _ in range(2))
    assert first == again
    other = tune("gaussian+otsu", boxes, replace(search, seed=1))
    assert other.space == first.space
    assert other.chain != first.chain


def test_settings_that_fail_count_as_worst(tmp_path: Path, one_thread: None) -> None:
    data = write_cases(tmp_path, (10, 50, 90), noise=0)  # three intensities: no four classes
    found = tune("otsu", data, QUICK)
    assert found.chain.steps()[0]["classes"] == 3
    assert (found.trials, found.refused) == (5, 3)


def test_if_all_fail_the_error_says_why(boxes: Dataset) -> None:
    with pytest.raises(ValueError, match=r"needs seeds.*seeds can be made from the reference"):
        tune("region-growing", boxes, QUICK)


def test_seeds_may_come_from_the_reference_and_it_is_written_down(boxes: Dataset) -> None:
    found = tune("region-growing", boxes, replace(QUICK, seeds="reference"))
    assert found.score > 0.9
    assert [step["name"] for step in found.chain.steps()] == ["region-growing"]
    assert found.to_json()["seeds"] == "reference"


def test_masks_are_used(tmp_path: Path, one_thread: None) -> None:
    data = write_cases(tmp_path, (10, 90, 90))
    masked = []
    for case in data.cases:
        image, labels = case.image(), case.labels()
        array = image.array.copy()
        array[0, 9] = 90  # as bright as what is sought, and outside the mask
        inside = np.ones(SHAPE, np.uint8)
        inside[9] = 0
        medseg.write(image.on(array, image.grid), case.channels[0])
        mask_file = tmp_path / "masks" / f"{case.name}.nii.gz"
        medseg.write(labels.on(inside, labels.grid), mask_file)
        masked.append(replace(case, mask_file=mask_file))
    fixed = replace(QUICK, fixed={"relabel.pairs": ((1, 2),)})
    lesser = tune("otsu", data, replace(fixed, ranges={"otsu.classes": [2]}))
    better = tune("otsu", Dataset(tuple(masked)), replace(fixed, ranges={"otsu.classes": [2]}))
    assert better.score > lesser.score + 0.05


def test_no_patient_is_on_both_sides() -> None:
    cases = tuple(Case(f"c{i}", (Path("x"),), patient=f"p{i // 3}") for i in range(12))
    sides = Sides.of(Dataset(cases), cases, 5)
    assert len(sides.held_out) == 4
    assert {case.name for part in sides.held_out for case in part} == {c.name for c in cases}
    for fitting, held_out in zip(sides.fitting, sides.held_out, strict=False):
        assert not {c.patient for c in fitting} & {c.patient for c in held_out}
    assert set(sides.fitting[-1]) == set(cases)


def test_held_out_scores_are_those_of_what_was_found_without_them(
    tmp_path: Path, one_thread: None
) -> None:
    # In one case the labels are the other way round: fitted with it or not, it is held out
    # with the meaning that the others have, and gets none of it right.
    data = write_cases(tmp_path, (10, 50, 90), cases=4)
    odd = data.cases[0].labels()
    swapped = np.array([0, 2, 1], np.uint8)[odd.array]
    assert data.cases[0].reference is not None
    medseg.write(odd.on(swapped, odd.grid), data.cases[0].reference)
    found = tune("otsu", data, replace(QUICK, folds=4, fixed={"otsu.classes": 3}))
    assert found.scores == {"case_0": 0, "case_1": 1, "case_2": 1, "case_3": 1}
    assert found.training_score == 0.75


def test_one_patient_is_not_cross_validated(boxes: Dataset) -> None:
    found = tune("otsu", Dataset(boxes.cases[:1]), QUICK)
    assert found.training_score == 1
    assert np.isnan(found.score)
    assert found.to_json()["held_out_score"] is None


def test_only_the_best_settings_see_all_cases(boxes: Dataset) -> None:
    trials = trials_of(
        [{"name": "gaussian"}, {"name": "otsu", "classes": 3}, {"name": "relabel"}], boxes
    )
    sigmas = [0.5 + 0.1 * n for n in range(9)]
    numbers = [
        n for n in (trials.add({"gaussian.sigma": sigma}) for sigma in sigmas) if n is not None
    ]
    fits = finalists(trials, numbers, boxes.cases)
    # 9 on a third of the six, a third of them on all.
    assert len(fits) == 3
    assert all(len(fit.scores) == 6 for fit in fits.values())
    assert min(fits) == 0, "the less these sharp boxes are blurred, the better"


def test_nothing_is_computed_twice(boxes: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    trials = trials_of([{"name": "otsu", "classes": 3}, {"name": "relabel"}], boxes)
    number = trials.add({})
    assert number == 0
    assert trials.add({"otsu.classes": 3}) is None, "that is the same"
    first = trials.fit(number, boxes.cases)
    monkeypatch.setattr(Trials, "_tried", None)
    assert trials.fit(number, boxes.cases) == first


def test_a_limit_of_time_ends_the_search(boxes: Dataset) -> None:
    found = tune("gaussian+otsu", boxes, replace(QUICK, trials=500, minutes=1e-6))
    assert found.trials == 3


def test_a_limit_of_time_that_is_not_reached_ends_nothing(boxes: Dataset) -> None:
    found = tune("gaussian+otsu", boxes, replace(QUICK, trials=14, minutes=60))
    assert found.trials == 14


def test_classes_are_matched_where_the_chain_says(boxes: Dataset) -> None:
    found = tune("otsu+keep-largest+relabel", boxes, replace(QUICK, fixed={"classes": 3}))
    assert [step["name"] for step in found.chain.steps()] == ["otsu", "keep-largest", "relabel"]
    assert found.score == 1


def test_filters_that_do_not_vary_are_computed_once(
    boxes: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    from medseg.filters.smooth import Gaussian

    calls = []
    smooth: Callable[..., Any] = Gaussian.run
    monkeypatch.setattr(Gaussian, "run", lambda *given: calls.append(1) or smooth(*given))
    tune("gaussian+otsu", boxes, replace(QUICK, fixed={"gaussian.sigma": 0.7}))
    assert len(calls) == len(boxes)


def test_objects_are_tuned_by_a_metric_of_partitions(boxes: Dataset) -> None:
    found = tune("basins", boxes, replace(QUICK, metric="v_rand", fixed={"lines": False}))
    assert found.score > 0.5
    assert [step["name"] for step in found.chain.steps()] == ["basins"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"trials": 0}, "1 or more trials"),
        ({"minutes": -1}, "more than 0 minutes"),
        ({"folds": 1}, "2 or more folds"),
        ({"seeds": "clicks"}, "seeds are none or made"),
    ],
)
def test_searches_that_cannot_be_are_refused(fields: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Search(**fields)


def test_a_case_without_an_annotation_is_named(boxes: Dataset) -> None:
    bare = replace(boxes.cases[2], reference=None)
    data = Dataset((*boxes.cases[:2], bare), {1: "a", 2: "b"})
    with pytest.raises(ValueError, match="case case_2 can't be tuned to"):
        tune("otsu", data, QUICK)


# --- the command


def test_tuned_on_the_command_line_then_segmented_and_evaluated(
    boxes: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, params = tmp_path / "boxes", tmp_path / "params.json"
    given = ("tune", "otsu", data, "-o", params, "--range", "classes=2:4", "--folds", "3")
    code, out, _ = command(capsys, *given)
    assert code == 0
    assert "classes=3" in out
    assert "dice 1.0000 held out, 6 cases in 3 folds" in out
    assert "exists already" in complaint(capsys, *given)
    assert command(capsys, "segment", data, "-o", tmp_path / "out", "-m", params)[0] == 0
    code, out, _ = command(capsys, "evaluate", tmp_path / "out", data, "--metric", "dice")
    assert code == 0
    assert "1.000" in out


def test_seeds_from_the_reference_are_said_to_be(
    boxes: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, params = tmp_path / "boxes", tmp_path / "params.json"
    given = ("tune", "region-growing", data, "-o", params, "--trials", 3, "--folds", 0)
    code, out, _ = command(capsys, *given, "--seeds-from", "reference")
    assert code == 0
    assert "Seeds were made of the annotations" in out
    seeded = ("segment", data, "-o", tmp_path / "out", "-m", params, "--seeds", "reference")
    code, _, err = command(capsys, *seeded)
    assert code == 0
    assert "the seeds are made of the annotations" in err
    assert len(list((tmp_path / "out").glob("*.nii.gz"))) == 6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--range", "classes=3"), "--range takes classes=low:high"),
        (("--range", "classes=a:b"), "--range takes classes=low:high"),
        (("--metric", "dicee"), "did you mean 'dice'"),
        (("--set", "clases=3"), "clases"),
        (("--seeds-from", "nowhere"), "seeds are none or made from the reference"),
    ],
)
def test_what_a_user_can_mend_is_one_line(
    boxes: Dataset,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: tuple[str, ...],
    message: str,
) -> None:
    given = ("tune", "otsu", tmp_path / "boxes", "-o", tmp_path / "p.json", *options)
    assert message in complaint(capsys, *given)


def test_values_may_be_listed(
    boxes: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    params = tmp_path / "p.json"
    given = ("tune", "basins", tmp_path / "boxes", "-o", params, "--metric", "v_rand")
    more = ("--range", "relief=gradient,image", "--range", "scale=0.5,1", "--trials", "4")
    assert command(capsys, *given, *more)[0] == 0
    space = json.loads(params.read_text())["tuned"]["space"]
    assert space["basins.relief"] == {"values": ["gradient", "image"]}
    assert space["basins.scale"] == {"values": [0.5, 1]}
