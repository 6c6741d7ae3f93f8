"""How much each voxel weighs: by hand, by symmetry, and by the plainest way to find it."""

import numpy as np
import pytest
from numpy.typing import NDArray

from medseg.components import components
from medseg.distance import distance_to
from medseg.learning import VOXEL_WEIGHTS
from medseg.learning.voxel_weights import balance, balance_and_gaps, gaps

UNIT = (1.0, 1.0)


def two_squares(gap: int = 1) -> NDArray[np.uint8]:
    """Two squares of 8 pixels a side, so many pixels apart."""
    classes = np.zeros((12, 30), np.uint8)
    classes[2:10, 3:11] = 1
    classes[2:10, 11 + gap : 19 + gap] = 1
    return classes


def scattered(shape: tuple[int, ...], objects: int = 12) -> NDArray[np.int64]:
    """Objects that may touch, of many sizes."""
    rng = np.random.default_rng(0)
    numbers = np.zeros(shape, int)
    for number in range(1, objects + 1):
        first = [int(rng.integers(0, n - 2)) for n in shape]
        numbers[tuple(slice(f, f + int(rng.integers(1, 6))) for f in first)] = number
    return numbers


def plainly(objects: NDArray[np.integer], zooms: tuple[float, ...]) -> NDArray[np.float64]:
    """The term by the distances to all objects, everywhere."""
    each = [distance_to(objects == number, zooms) for number in np.unique(objects)[1:]]
    nearest, second = np.sort(np.stack(each), axis=0)[:2]
    return np.where(objects == 0, 10 * np.exp(-((nearest + second) ** 2) / 50), 0)


# By hand


def test_a_gap_of_one_pixel_weighs_9_23_more() -> None:
    classes = two_squares()
    weights = balance_and_gaps(classes, UNIT)
    of_class = balance(classes)
    assert weights[5, 11] == pytest.approx(of_class[5, 11] + 10 * np.exp(-4 / 50), rel=1e-6)
    assert weights[5, 11] - of_class[5, 11] == pytest.approx(9.23, abs=0.005)


def test_a_pixel_beyond_one_of_two_is_as_far_as_both_distances() -> None:
    term = gaps(components(two_squares())[0], UNIT)
    assert term[5, 2] == pytest.approx(10 * np.exp(-((1 + 10) ** 2) / 50), rel=1e-6)


def test_the_term_is_of_the_background_alone() -> None:
    classes = two_squares()
    np.testing.assert_array_equal(
        balance_and_gaps(classes, UNIT)[classes > 0], balance(classes)[classes > 0]
    )


def test_classes_weigh_the_same_in_all() -> None:
    classes = np.array([[0, 0, 0, 0, 0, 1, 1, 3]])
    weights = balance(classes)
    # 8 voxels over 3 classes that occur.
    np.testing.assert_allclose(weights[0, [0, 5, 7]], [8 / 15, 8 / 6, 8 / 3], rtol=1e-6)
    assert weights.mean() == pytest.approx(1)


def test_a_single_object_has_no_term() -> None:
    classes = two_squares()
    classes[:, 11:] = 0
    np.testing.assert_array_equal(balance_and_gaps(classes, UNIT), balance(classes))


@pytest.mark.parametrize("value", [0, 1])
def test_of_one_class_all_voxels_weigh_1(value: int) -> None:
    classes = np.full((4, 5), value, np.uint8)
    np.testing.assert_array_equal(balance_and_gaps(classes, UNIT), np.ones((4, 5)))


def test_touching_objects_of_different_classes_are_two() -> None:
    classes = np.zeros((9, 9), np.uint8)
    classes[4, 2:4], classes[4, 4:7] = 1, 2
    term = balance_and_gaps(classes, UNIT) - balance(classes)
    assert term[3, 3] == pytest.approx(10 * np.exp(-((1 + 2**0.5) ** 2) / 50), rel=1e-5)


# Properties


def test_the_numbers_of_the_objects_play_no_part() -> None:
    objects = scattered((40, 50))
    others = np.r_[0, np.random.default_rng(1).permutation(np.arange(3, 15))][objects]
    np.testing.assert_array_equal(gaps(objects, UNIT), gaps(others, UNIT))


def test_the_unit_of_the_spacing_plays_no_part() -> None:
    objects = scattered((20, 30))
    np.testing.assert_allclose(gaps(objects, (0.3, 0.6)), gaps(objects, (1.0, 2.0)), rtol=1e-5)


def test_a_slice_weighs_what_it_weighs_in_2d() -> None:
    objects = scattered((30, 30))
    thin = gaps(objects[:, :, None], (1.0, 1.0, 1.0))
    np.testing.assert_array_equal(thin[:, :, 0], gaps(objects, UNIT))


@pytest.mark.parametrize(
    ("shape", "spacing"),
    [((90, 110), (1.0, 1.0)), ((60, 40), (2.0, 1.0)), ((12, 20, 30), (3.0, 1.0, 2.0))],
    ids=str,
)
def test_the_plainest_way_gives_the_same(
    shape: tuple[int, ...], spacing: tuple[float, ...]
) -> None:
    objects = scattered(shape)
    np.testing.assert_allclose(gaps(objects, spacing), plainly(objects, spacing), atol=2e-6)


def test_it_is_found_by_the_name_of_its_network() -> None:
    assert VOXEL_WEIGHTS["unet-2015"] is balance_and_gaps
