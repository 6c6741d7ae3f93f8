"""What a data set is like, what is odd about it, and what follows for its normalisation."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medseg import Case, Dataset, Grid, Image, Labels, write
from medseg.intensity import Identity, Percentiles, Window, ZScore
from medseg.learning.fingerprint import CaseFacts, Fingerprint, LabelFacts, fingerprint_of
from medseg.learning.normalising import normalisations_of
from medseg.learning.oddities import oddities
from medseg.learning.reasons import class_weights
from medseg.learning.symmetry import allowed_mirror, sided_pairs


def written(folder: Path, *volumes: tuple[np.ndarray, np.ndarray, Grid], **options: Any) -> Dataset:
    """A case for each (array, labels, grid)."""
    cases = []
    for k, (array, labels, grid) in enumerate(volumes):
        files = (folder / f"image_{k}.nii.gz",), folder / f"labels_{k}.nii.gz"
        write(Image(array[None].astype(np.float32), grid), files[0][0])
        write(Labels(labels, grid), files[1])
        cases.append(Case(f"case_{k}", *files))
    return Dataset(tuple(cases), **options)


def drawn(affine: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray, Grid]:
    """A box of 6 x 4 x 2 in zeros; in it label 1, four voxels of 7, and label 5, one of 9."""
    array, labels = np.zeros((8, 6, 4)), np.zeros((8, 6, 4), np.uint8)
    array[1:7, 1:5, 1:3] = 3
    labels[2, 2:4, 1:3], labels[5, 2, 1] = 1, 5
    array[labels == 1], array[labels == 5] = 7, 9
    return array, labels, Grid((8, 6, 4), np.diag([2.0, 3, 4, 1]) if affine is None else affine)


def facts(name: str = "a", **changes: Any) -> CaseFacts:
    fields: dict[str, Any] = {
        "name": name,
        "shape": (10, 20, 30),
        "spacing": (1.0, 1.0, 1.0),
        "orientation": "RAS",
        "content": (10, 20, 30),
        "zeros": 0.0,
        "outside": 0,
        "lowest": (0.0,),
        "highest": (100.0,),
        "whole": True,
        "labels": {1: LabelFacts(600, (1.0, 1.0, 1.0))},
        "digest": name,
    }
    return CaseFacts(**fields | changes)


def found(*cases: CaseFacts, names: dict[int, str] | None = None, **changes: Any) -> Fingerprint:
    return replace(Fingerprint(cases, names or {1: "one"}, ("MR",), ()), **changes)


# Reading


def test_a_case_is_told_in_numbers(tmp_path: Path) -> None:
    (case,) = fingerprint_of(written(tmp_path, drawn())).cases
    assert (case.name, case.shape, case.spacing) == ("case_0", (8, 6, 4), (2, 3, 4))
    assert (case.orientation, case.content, case.outside) == ("RAS", (6, 4, 2), 0)
    assert case.zeros == pytest.approx(1 - 48 / 192)
    assert case.share == pytest.approx(48 / 192)
    assert (case.lowest, case.highest, case.whole) == ((0,), (9,), True)
    assert case.labels == {1: LabelFacts(4, (4, 7.5, 6)), 5: LabelFacts(1, (10, 6, 4))}


def test_axes_are_those_of_the_canonical_orientation(tmp_path: Path) -> None:
    array, labels, _ = drawn()
    affine = np.array([[0, 0, -4.0, 12], [0, 3, 0, 0], [2, 0, 0, 0], [0, 0, 0, 1]])
    dataset = written(tmp_path, (array, labels, Grid((8, 6, 4), affine)))
    (case,) = fingerprint_of(dataset).cases
    assert (case.orientation, case.shape, case.spacing) == ("SAL", (4, 6, 8), (4, 3, 2))
    assert case.content == (2, 4, 6)
    assert case.labels[5] == LabelFacts(1, (8, 6, 10))


def test_intensities_are_those_inside_the_labels_of_all_cases(tmp_path: Path) -> None:
    (inside,) = fingerprint_of(written(tmp_path, drawn(), drawn())).intensities
    values = [7] * 8 + [9] * 2
    assert (inside.lowest, inside.median, inside.highest) == (7, 7, 9)
    assert (inside.mean, inside.deviation) == pytest.approx((7.4, np.std(values)))
    assert (inside.low, inside.high) == pytest.approx((7, 9))


def test_pictures_have_a_fingerprint(tmp_path: Path) -> None:
    labels = np.eye(6, dtype=np.uint8)
    dataset = written(tmp_path, (labels * 2.5, labels, Grid((6, 6), np.eye(3))))
    dataset = Dataset(
        tuple(replace(case, channels=case.channels) for case in dataset.cases), names={1: "edge"}
    )
    (case,) = fingerprint_of(dataset).cases
    assert (case.shape[:2], case.whole, case.labels[1].voxels) == ((6, 6), False, 6)


def test_each_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset, read = written(tmp_path, drawn(), drawn()), []
    for name in ("image", "labels"):
        real = getattr(Case, name)

        def noted(case: Case, *args: Any, real: Any = real, name: str = name) -> Any:
            read.append((case.name, name))
            return real(case, *args)

        monkeypatch.setattr(Case, name, noted)
    fingerprint_of(dataset)
    assert sorted(read) == [
        (case, name) for case in ("case_0", "case_1") for name in ("image", "labels")
    ]


def test_its_file_has_a_case_a_line(tmp_path: Path) -> None:
    made = fingerprint_of(written(tmp_path, drawn(), drawn(), channels=("T1",)))
    made.save(tmp_path / "found.json")
    text = (tmp_path / "found.json").read_text()
    content = json.loads(text)
    assert (content["channels"], len(content["cases"])) == (["T1"], 2)
    assert content["cases"][1]["labels"]["5"] == {"voxels": 1, "centre": [10, 6, 4]}
    assert sum('"name": "case_' in line for line in text.splitlines()) == 2


def test_problems_are_refused_as_by_the_check(tmp_path: Path) -> None:
    dataset = written(tmp_path, drawn(), drawn(), names={1: "one"})
    with pytest.raises(ValueError, match=r"2 problems in the data set:\n.*labels \[1, 5\]"):
        fingerprint_of(dataset)


# What is odd


def test_nothing_is_odd_about_cases_alike() -> None:
    assert oddities(found(facts("a"), facts("b"), facts("c"))) == ()


@pytest.mark.parametrize(
    ("odd", "line"),
    [
        ({"spacing": (1, 1, 2.1)}, "spacing far from the median of 1 x 1 x 1 mm: odd"),
        ({"spacing": (0.45, 1, 1)}, "spacing far from the median of 1 x 1 x 1 mm: odd"),
        ({"shape": (10, 20, 61)}, "size far from the median of 10 x 20 x 30 mm: odd"),
        ({"digest": "b"}, "the same image: b, odd"),
        ({"labels": {}}, "no label at all: odd"),
        ({"outside": 3}, "labels outside of the image, where it is 0: odd"),
    ],
)
def test_a_case_that_is_odd_is_named(odd: dict[str, Any], line: str) -> None:
    assert line in oddities(found(facts("a"), facts("b"), facts("c"), facts("odd", **odd)))


def test_of_many_cases_a_few_are_named() -> None:
    cases = [facts(f"case_{k}", digest="x") for k in range(8)]
    expected = "the same image: case_0, case_1, case_2, case_3, case_4 and 3 more"
    assert oddities(found(*cases)) == (expected,)


def test_a_label_that_never_occurs_is_named() -> None:
    assert oddities(found(facts(), names={1: "one", 7: "lost"})) == (
        "label 7 (lost) occurs in no case",
    )


def test_labels_outside_of_the_image_are_found(tmp_path: Path) -> None:
    array, labels, grid = drawn()
    labels[0, 0, :2] = 1
    (case,) = (made := fingerprint_of(written(tmp_path, (array, labels, grid)))).cases
    assert case.outside == 2
    assert "labels outside of the image, where it is 0: case_0" in oddities(made)


# Left and right


@pytest.mark.parametrize(
    ("one", "other", "paired"),
    [
        ("left kidney", "right kidney", True),
        ("kidney_R", "kidney_L", True),
        ("LeftKidney", "RightKidney", True),
        ("ctx-lh-insula", "ctx-rh-insula", True),
        ("left kidney", "right lung", False),
        ("left kidney", "kidney", False),
        ("Anterior", "Posterior", False),
        ("L1", "L2", False),
        ("left of right", "right of left", False),
        ("bright spot", "spot", False),
    ],
)
def test_sides_are_told_by_names(one: str, other: str, *, paired: bool) -> None:
    made = found(facts(labels={}), names={3: one, 4: other})
    assert sided_pairs(made) == (((3, 4),) if paired else ())
    assert allowed_mirror(made) == ((1, 2) if paired else (0, 1, 2))


def side_by_side(apart: tuple[float, ...], voxels: int = 100, *, turned: bool = False) -> CaseFacts:
    first, second = (2.0, 5.0, 5.0), tuple(np.add((2.0, 5.0, 5.0), apart).tolist())
    places = (second, first) if turned else (first, second)
    return facts(labels={1: LabelFacts(100, places[0]), 2: LabelFacts(voxels, places[1])})


@pytest.mark.parametrize(
    ("cases", "paired"),
    [
        ([side_by_side((40, 2, -3))] * 3, True),
        ([side_by_side((-40, 2, -3), 190)] * 3, True),
        ([side_by_side((40, 2, -3))] * 2, False),  # too few to tell
        ([side_by_side((40, 2, -3), 210)] * 3, False),  # one is over twice as large
        ([side_by_side((40, 2, -14))] * 3, False),  # one is above the other
        ([side_by_side((40, 2, 3)), side_by_side((40, 2, 3), turned=True)] * 4, False),
    ],
)
def test_sides_are_told_by_where_they_lie(cases: list[CaseFacts], *, paired: bool) -> None:
    made = found(*cases, names={1: "one", 2: "two"})
    assert sided_pairs(made) == (((1, 2),) if paired else ())


# Normalisation


def ct_like(**changes: Any) -> Fingerprint:
    inside = fingerprint_inside()
    cases = [facts(lowest=(-1024.0,), highest=(1500.0,), **changes)] * 2
    return found(*cases, channels=("channel 0",), named=False, intensities=(inside,))


def fingerprint_inside() -> Any:
    from medseg.learning.fingerprint import Intensities

    return Intensities(50, 55, 20, -90, 300, -20, 110)


def test_ct_is_told_by_its_intensities_where_channels_have_no_names() -> None:
    assert normalisations_of(ct_like()) == (Window(-20, 110, 50, 20),)


@pytest.mark.parametrize(
    "changes",
    [{"lowest": (0.0,)}, {"lowest": (-32768.0,)}, {"highest": (40.0,)}, {"whole": False}],
    ids=str,
)
def test_other_intensities_are_not_taken_for_ct(changes: dict[str, Any]) -> None:
    made = ct_like()
    other = replace(made, cases=(made.cases[0], replace(made.cases[1], **changes)))
    assert normalisations_of(other) == (ZScore(),)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("CT", Window(-20, 110, 50, 20)),
        ("ct_venous", Window(-20, 110, 50, 20)),
        ("T1 of actors", ZScore()),
        ("noNorm", Identity()),
        ("rescale_to_0_1", Percentiles(0, 100)),
        ("rgb_to_0_1", Window(0, 255, 0, 255)),
    ],
)
def test_the_name_of_a_channel_says_how_it_is_normalised(name: str, expected: Any) -> None:
    made = replace(ct_like(), channels=(name,), named=True)
    assert normalisations_of(made) == (expected,)


def test_rare_labels_weigh_more() -> None:
    # Of 12,000 voxels in two cases, 10,800 are background, 1,080 and 120 the labels.
    labels = {1: LabelFacts(540, (0, 0, 0)), 2: LabelFacts(60, (0, 0, 0))}
    weights = class_weights(found(facts(labels=labels), facts(labels=labels)))
    assert weights["1"] / weights["0"] == pytest.approx(10, rel=1e-3)
    assert weights["2"] / weights["1"] == pytest.approx(9, rel=1e-3)
    assert np.mean(list(weights.values())) == pytest.approx(1, rel=1e-3)
