"""Metrics of many objects: by-hand figures, what may not matter, and scikit-image."""

import math
from itertools import permutations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from medseg.metrics import PARTITION
from medseg.metrics.partition import Partition

OF_LESIONS = ["lesion_precision", "lesion_recall", "lesion_f1", "panoptic_quality"]

# Two of three found, one of four made up; the IoUs are 2/3, 1/2, 1/3 of the object in halves.
REFERENCE = np.array([1, 1, 1, 0, 2, 2, 0, 0, 3, 3, 3, 3, 0, 0])
PREDICTED = np.array([1, 1, 0, 0, 4, 0, 0, 0, 5, 5, 5, 6, 0, 7])


def value(name: str, predicted: NDArray, reference: NDArray) -> float:
    return PARTITION[name].compute(Partition.of(predicted, reference))


def regions(seed: int, shape: tuple[int, ...] = (30, 30), objects: int = 9) -> NDArray[np.intp]:
    """Cells around random points, with background between some of them."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(0, shape[0], (objects, len(shape)))
    away = np.linalg.norm(np.indices(shape).T[..., None, :] - points, axis=-1)
    found = away.argmin(axis=-1) + 1
    found[np.ptp(np.sort(away, axis=-1)[..., :2], axis=-1) < 1] = 0
    return found


@pytest.mark.parametrize("name", PARTITION)
def test_an_entry_is_called_as_in_its_registry(name: str) -> None:
    assert PARTITION[name].name == name
    assert PARTITION.summary(name)


@pytest.mark.parametrize("name", PARTITION)
def test_a_perfect_partition_has_1(name: str) -> None:
    assert value(name, regions(0), regions(0)) == pytest.approx(1)


@pytest.mark.parametrize("name", PARTITION)
def test_only_a_symmetric_metric_stays_when_the_two_change_places(name: str) -> None:
    found = value(name, PREDICTED, REFERENCE), value(name, REFERENCE, PREDICTED)
    assert (found[0] == pytest.approx(found[1])) == PARTITION[name].symmetric


@pytest.mark.parametrize("name", PARTITION)
def test_numbers_of_objects_do_not_matter(name: str) -> None:
    shuffled = np.random.default_rng(0).permutation(np.arange(1, 9))
    other = np.append(0, shuffled)[PREDICTED] * 100_000  # too many for a table of all by all
    other[PREDICTED == 0] = 0
    assert value(name, other, REFERENCE) == pytest.approx(value(name, PREDICTED, REFERENCE))


@pytest.mark.parametrize(
    ("name", "iou", "expected"),
    [
        ("lesion_precision", 0.5, 2 / 5),  # of 2/3, 1/2, 3/4 and 1/4 two are above a half
        ("lesion_recall", 0.5, 2 / 3),
        ("lesion_f1", 0.5, 4 / 8),
        ("panoptic_quality", 0.5, (2 / 3 + 3 / 4) / 4),
        ("lesion_precision", 0.4, 3 / 5),
        ("lesion_recall", 0.4, 1.0),
        ("lesion_f1", 0.7, 2 / 8),
        ("lesion_f1", 0.0, 6 / 8),  # the other half of the third has no partner left
    ],
)
def test_lesions_by_hand(name: str, iou: float, expected: float) -> None:
    metric = PARTITION[name]
    assert metric.at
    assert metric.at(iou).compute(Partition.of(PREDICTED, REFERENCE)) == pytest.approx(expected)
    assert metric.at(iou).name == (name if iou == 0.5 else f"{name}_iou{iou:g}")


def test_below_a_half_the_matches_have_the_most_iou() -> None:
    for seed in range(10):
        rng = np.random.default_rng(seed)
        partition = Partition.of(rng.integers(0, 4, 40), rng.integers(0, 4, 40))
        row, column, values = partition.iou
        table = np.zeros((4, 4))
        table[row, column] = np.where(values > 0.1, values, 0)
        best = max(
            sum(table[i, j] for i, j in enumerate(order)) for order in permutations(range(4))
        )
        assert partition.matched(0.1).sum() == pytest.approx(best)


@pytest.mark.parametrize(
    ("name", "missed", "spurious"),
    [
        ("lesion_precision", math.nan, 0),
        ("lesion_recall", 0, math.nan),
        ("lesion_f1", 0, 0),
        ("panoptic_quality", 0, 0),
        ("v_rand", 1, math.nan),  # a single object, as the predicted background is one
        ("v_info", 1, math.nan),
    ],
)
def test_empty_maps_are_scored_as_declared(name: str, missed: float, spurious: float) -> None:
    full, empty = np.ones((4, 4), int), np.zeros((4, 4), int)
    found = [value(name, *maps) for maps in ((empty, full), (full, empty), (empty, empty))]
    assert found == pytest.approx([missed, spurious, math.nan], nan_ok=True)


def test_scores_v_of_halves_by_hand() -> None:
    reference, predicted = np.array([1, 1, 1, 1, 2, 2, 0, 0]), np.array([1, 1, 2, 2, 2, 2, 5, 0])
    # Shares are 2/6 three times; 2/6, 4/6 on either side.
    assert value("v_rand", predicted, reference) == pytest.approx(2 * 3 / 9 / (2 * 5 / 9))
    entropy = -(np.log(1 / 3) / 3 + np.log(2 / 3) * 2 / 3)
    mutual = 2 * entropy - np.log(3)
    assert value("v_info", predicted, reference) == pytest.approx(mutual / entropy)


@pytest.mark.parametrize("seed", range(4))
def test_scikit_image_has_the_same_rand_and_information(seed: int) -> None:
    metrics = pytest.importorskip("skimage.metrics")
    reference, predicted = regions(seed), regions(seed + 50)
    inside = reference > 0
    split, merge = metrics.variation_of_information(
        reference[inside], predicted[inside], ignore_labels=()
    )
    shares = np.unique(reference[inside], return_counts=True)[1] / inside.sum()
    entropy = -(shares * np.log2(shares)).sum()
    mutual = entropy - merge  # what remains of it when the prediction is known
    expected = 2 * mutual / (entropy + mutual + split)
    assert value("v_info", predicted, reference) == pytest.approx(expected, abs=1e-12)
    # scikit-image leaves out a voxel's pair with itself, which is little of many.
    error, _, _ = metrics.adapted_rand_error(reference, predicted)
    assert value("v_rand", predicted, reference) == pytest.approx(1 - error, abs=0.01)


def test_two_halves_and_a_whole_are_told_apart() -> None:
    whole, halves = np.ones((10, 10), int), np.ones((10, 10), int)
    halves[5:] = 2
    for name in ("v_rand", "v_info"):
        assert value(name, halves, whole) < 1
        assert value(name, whole, halves) < 1


def test_objects_come_from_masks_by_their_components() -> None:
    from medseg.components import components

    mask = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(20, 20)), 1) > 0.1
    numbered, count = components(mask)
    assert Partition.of(numbered, numbered).objects == (count, count)


@pytest.mark.parametrize(
    ("predicted", "reference", "message"),
    [([1, 2], [1, 2, 3], "predicted has shape"), ([-1, 0], [0, 0], "got a negative number")],
)
def test_what_is_no_map_of_objects_is_refused(
    predicted: list[int], reference: list[int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Partition.of(predicted, reference)


@pytest.mark.parametrize("iou", [-0.1, 1, math.nan])
def test_an_iou_is_a_share(iou: float) -> None:
    at = PARTITION["lesion_f1"].at
    assert at
    with pytest.raises(ValueError, match="an IoU to match from"):
        at(iou)
