"""Calibration: by-hand figures, MONAI, regions and bands."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from medseg.metrics import CALIBRATION
from medseg.metrics.calibration import Reliability, band

# Of four voxels said to be class 1 with 0.8 and of four with 0.3, three and one are.
SAID = np.repeat([0.8, 0.3], 4)
TRUE = np.array([1, 1, 1, 0, 1, 0, 0, 0])
TWO_CLASSES = np.stack([1 - SAID, SAID])


def value(name: str, table: Reliability) -> float:
    return CALIBRATION[name].compute(table)


def drawn(
    seed: int, classes: int = 3, shape: tuple[int, ...] = (9, 8, 7)
) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    rng = np.random.default_rng(seed)
    odds = rng.gamma(0.7, size=(classes, *shape))
    probabilities = (odds / odds.sum(axis=0)).astype(np.float32)
    return probabilities, rng.integers(0, classes, shape)


@pytest.mark.parametrize("name", CALIBRATION)
def test_an_entry_is_called_as_in_its_registry(name: str) -> None:
    assert CALIBRATION[name].name == name
    assert not CALIBRATION[name].higher_is_better
    assert CALIBRATION.summary(name)


@pytest.mark.parametrize("name", CALIBRATION)
def test_who_is_certain_and_right_has_0(name: str) -> None:
    labels = np.array([[0, 1, 2], [2, 1, 0]])
    certain = np.stack([labels == label for label in range(3)]).astype(float)
    for label in (None, 0, 1, 2):
        assert value(name, Reliability.of(certain, labels, label)) == 0


@pytest.mark.parametrize(
    ("name", "of_class", "of_all"),
    [
        ("ece", 0.05, 0.05),
        ("ace", 0.05, 0.05),
        ("mce", 0.05, 0.05),
        ("brier", (3 * 0.04 + 0.64 + 0.49 + 3 * 0.09) / 8, (3 * 0.04 + 0.64 + 0.49 + 3 * 0.09) / 4),
        ("nll", -math.log(0.8**3 * 0.2 * 0.3 * 0.7**3) / 8, None),
    ],
)
def test_two_bins_by_hand(name: str, of_class: float, of_all: float | None) -> None:
    table = Reliability.of(TWO_CLASSES, TRUE, 1, bins=10)
    assert value(name, table) == pytest.approx(of_class)
    # Of two classes the most likely one is said with 0.8 and 0.7, and is true in 3 of 4 each.
    every = Reliability.of(TWO_CLASSES, TRUE, bins=10)
    assert value(name, every) == pytest.approx(of_class if of_all is None else of_all)


def test_bins_that_differ_in_size_count_by_voxels_or_once_each() -> None:
    said, true = np.array([0.9, 0.9, 0.9, 0.2]), np.array([1, 1, 1, 1])
    table = Reliability.of(np.stack([1 - said, said]), true, 1, bins=5)
    gaps = {"ece": (3 * 0.1 + 0.8) / 4, "ace": (0.1 + 0.8) / 2, "mce": 0.8}
    assert {name: value(name, table) for name in gaps} == pytest.approx(gaps)


def test_a_reliability_table_has_a_row_for_each_bin() -> None:
    table = Reliability.of(TWO_CLASSES, TRUE, 1, bins=5)
    np.testing.assert_array_equal(table.counts, [0, 4, 0, 4, 0])
    np.testing.assert_allclose(table.confidence, [math.nan, 0.3, math.nan, 0.8, math.nan])
    np.testing.assert_allclose(table.frequency, [math.nan, 0.25, math.nan, 0.75, math.nan])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_edge_belongs_to_the_bin_below(dtype: type) -> None:
    said = (np.arange(11) / 10).astype(dtype)
    table = Reliability.of(np.stack([1 - said, said]), np.zeros(11, int), 1, bins=10)
    np.testing.assert_array_equal(table.counts, [2, 1, 1, 1, 1, 1, 1, 1, 1, 1])


def test_what_was_called_impossible_costs_much_but_not_all() -> None:
    certain = np.array([[1.0], [0.0]])
    assert value("nll", Reliability.of(certain, np.array([1]))) == pytest.approx(7 * math.log(10))


@pytest.mark.parametrize("label", [None, 0, 2])
def test_a_region_is_scored_as_if_there_were_nothing_else(label: int | None) -> None:
    probabilities, labels = drawn(0)
    inside = np.random.default_rng(1).random(labels.shape) < 0.3
    found = Reliability.of(probabilities, labels, label, inside)
    expected = Reliability.of(probabilities[:, inside], labels[inside], label)
    assert found.counts.sum() == inside.sum()
    for name in CALIBRATION:
        assert value(name, found) == value(name, expected)


@pytest.mark.parametrize("name", CALIBRATION)
def test_without_voxels_there_is_no_number(name: str) -> None:
    probabilities, labels = drawn(0)
    for label in (None, 1):
        table = Reliability.of(probabilities, labels, label, np.zeros(labels.shape, bool))
        assert math.isnan(value(name, table))


def test_a_band_lies_on_both_sides_of_a_border() -> None:
    mask = np.zeros((15, 15), bool)
    mask[3:12, 3:12] = True
    found = band(mask, (1.0, 2.0), 2.0)
    np.testing.assert_array_equal(np.flatnonzero(found[7]), [2, 3, 4, 10, 11, 12])
    np.testing.assert_array_equal(np.flatnonzero(found[:, 7]), [1, 2, 3, 4, 5, 9, 10, 11, 12, 13])
    assert not band(np.zeros((4, 4), bool), (1.0, 1.0), 3.0).any()


@pytest.mark.parametrize("label", [0, 1, 2])
def test_monai_has_the_same_errors(label: int) -> None:
    torch = pytest.importorskip("torch")
    calibration = pytest.importorskip("monai.metrics.calibration")
    probabilities, labels = drawn(3)
    one_hot = np.stack([labels == c for c in range(3)]).astype(np.float32)
    batch = torch.from_numpy(probabilities)[None], torch.from_numpy(one_hot)[None]
    table = Reliability.of(probabilities, labels, label)
    for name, reduction in {"ece": "expected", "ace": "average", "mce": "maximum"}.items():
        metric = calibration.CalibrationErrorMetric(
            num_bins=15, calibration_reduction=reduction, metric_reduction="none"
        )
        metric(*batch)
        expected = float(metric.aggregate()[0, label])
        assert value(name, table) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": np.zeros((2, 3), int)}, "need labels of shape"),
        ({"labels": np.full((9, 8, 7), 3)}, "labels are classes 0 to 2"),
        ({"label": 3}, "there are classes 0 to 2, got 3"),
        ({"bins": 0}, "at least 1 bin"),
        ({"probabilities": np.full((3, 9, 8, 7), 1.5)}, "probabilities are in"),
        ({"probabilities": np.full((3, 9, 8, 7), np.nan)}, "probabilities are in"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, object], message: str) -> None:
    probabilities, labels = drawn(0)
    arguments = {"probabilities": probabilities, "labels": labels, **change}
    with pytest.raises(ValueError, match=message):
        Reliability.of(**arguments)  # type: ignore[arg-type]
