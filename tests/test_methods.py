"""What is special to each classical method, against by-hand figures and slow obvious versions."""

from itertools import combinations

import numpy as np
import pytest
import torch
from scipy import ndimage

from medseg import Grid, Image, Labels, method
from medseg.classical.otsu import thresholds
from medseg.classical.region_growing import flooded, reachable


def image_of(values: object) -> Image:
    return Image.from_array(np.asarray(values, dtype=np.float32))


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("otso", {}, "did you mean 'otsu'"),
        ("zzz", {}, "there are threshold, otsu, li"),
        ("otsu", {"bin": 3}, "no parameter bin; did you mean 'bins'"),
        ("otsu", {"bins": 2, "classes": 3}, "as many bins.*got classes=3, bins=2"),
        ("otsu", {"classes": 1}, "classes is a whole number of at least 2 and at most 4096, got 1"),
        ("otsu", {"classes": 2.5}, "otsu can't be built"),
        ("otsu", {"bins": 5000}, "at most 4096, got 5000"),
        ("region-growing", {"tolerance": 0}, "tolerance is a number above 0, got 0"),
        ("region-growing", {"tolerance": float("nan")}, "finite number"),
    ],
)
def test_method_says_what_is_wrong_and_what_would_be_right(
    name: str, parameters: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        method(name, **parameters)


# Otsu


def test_otsu_parts_in_the_middle_of_a_gap() -> None:
    values = torch.tensor([0.0, 1, 2, 8, 9, 10])
    (threshold,) = thresholds(values, bins=100)
    assert threshold == pytest.approx(5, abs=0.1)


def test_otsu_numbers_its_classes_from_dark_to_bright() -> None:
    labels = method("otsu", classes=3).segment(image_of([[70, 0, 30], [31, 71, 1]]))
    np.testing.assert_array_equal(labels.array, [[2, 0, 1], [1, 2, 0]])


def test_otsu_puts_a_voxel_at_the_threshold_into_the_brighter_class() -> None:
    assert thresholds(torch.tensor([0.0, 1, 2]), bins=2) == (1.0,)
    labels = method("otsu", bins=2).segment(image_of([[0, 1, 2]]))
    np.testing.assert_array_equal(labels.array, [[0, 1, 1]])


def between_variance(groups: list[np.ndarray]) -> float:
    mean = np.concatenate(groups).mean()
    return float(sum(len(group) * (group.mean() - mean) ** 2 for group in groups))


@pytest.mark.parametrize("classes", [2, 3, 4, 5])
def test_otsu_is_the_best_of_all_choices(classes: int) -> None:
    rng = np.random.default_rng(classes)
    values = rng.integers(0, 10, 200).astype(np.float32)
    values[:2] = 0, 9  # ten bins of width 0.9 hold an integer each
    found = np.array(thresholds(torch.from_numpy(values), classes, bins=10))

    def variance(cuts: np.ndarray) -> float:
        class_of = np.searchsorted(cuts, values, side="right")
        return between_variance([values[class_of == c] for c in np.unique(class_of)])

    every = combinations(np.arange(0.5, 9), classes - 1)
    assert variance(found) == pytest.approx(max(variance(np.array(cuts)) for cuts in every))


@pytest.mark.parametrize("classes", [2, 3, 4])
def test_otsu_agrees_with_scikit_image_within_a_bin(classes: int) -> None:
    from skimage.filters import threshold_multiotsu

    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(m, 1, 4000) for m in (0, 4, 9, 16)]).astype(np.float32)
    ours = thresholds(torch.from_numpy(values), classes, bins=64)
    theirs = threshold_multiotsu(values, classes, nbins=64)
    np.testing.assert_allclose(ours, theirs, atol=np.ptp(values) / 64)


@pytest.mark.parametrize(("scale", "shift"), [(10.0, 0.0), (1.0, -2000.0), (-1.0, 0.0)])
def test_otsu_follows_scale_and_shift(scale: float, shift: float) -> None:
    array = np.random.default_rng(0).normal(size=(1, 20, 20)).round(3)
    array[0, :, 10:] += 8
    grid = Grid.from_spacing((20, 20))
    first = method("otsu").segment(Image(array, grid)).array
    second = method("otsu").segment(Image(scale * array + shift, grid)).array
    np.testing.assert_array_equal(second, first if scale > 0 else 1 - first)


def test_otsu_counts_what_a_float32_counter_cannot() -> None:
    dark = torch.zeros(2**24 + 1000)
    (threshold,) = thresholds(torch.cat([dark, torch.tensor([1.0, 10.0])]), bins=100)
    assert threshold == pytest.approx(5.5, abs=0.1)


def test_otsu_refuses_a_constant_image_and_says_so() -> None:
    with pytest.raises(ValueError, match="the image is constant, 7 everywhere it looked"):
        method("otsu").segment(image_of(np.full((4, 4), 7)))


def test_otsu_refuses_more_classes_than_there_are_intensities() -> None:
    with pytest.raises(ValueError, match=r"can't make 3 classes.*only 2 of the 256 bins"):
        method("otsu", classes=3).segment(image_of([[0, 0], [1, 1]]))


# Region growing


def grow(values: object, seeds: object, tolerance: float = 2.5, mask: object = None) -> np.ndarray:
    image = image_of(values)
    within = None if mask is None else Labels(np.asarray(mask, np.uint8), image.grid)
    known = Labels(np.asarray(seeds, np.int32), image.grid)
    return method("region-growing", tolerance=tolerance).segment(image, known, within).array


def test_region_growing_stops_where_intensities_change() -> None:
    # Seeds 4 and 6: mean 5, standard deviation 1.
    grown = grow([[4, 6, 7, 8, 5]], [[1, 1, 0, 0, 0]], tolerance=2)
    np.testing.assert_array_equal(grown, [[1, 1, 1, 0, 0]])


def test_region_growing_walks_over_faces_only() -> None:
    grown = grow([[5, 0], [0, 5]], [[1, 0], [0, 0]], tolerance=0.1)
    np.testing.assert_array_equal(grown, [[1, 0], [0, 0]])


def test_background_seeds_compete_and_come_out_as_0() -> None:
    values = [[0, 1, 2, 8, 9, 10]]
    grown = grow(values, [[-1, -1, 0, 0, 3, 3]], tolerance=100)
    np.testing.assert_array_equal(grown, [[0, 0, 0, 3, 3, 3]])


def test_paths_do_not_cross_seeds_of_another_label() -> None:
    values, seeds = np.full((3, 5), 5), np.zeros((3, 5), int)
    seeds[:, 2], seeds[1, 0] = -1, 1
    np.testing.assert_array_equal(grow(values, seeds), [[1, 1, 0, 0, 0]] * 3)


def test_a_voxel_joins_the_label_that_it_resembles_most() -> None:
    # 8 is 1 deviation of 4 from label 7, and 3 deviations of 1 from label 2.
    grown = grow([[0, 8, 8, 10, 12]], [[7, 7, 0, 2, 2]], tolerance=5)
    np.testing.assert_array_equal(grown, [[7, 7, 7, 2, 2]])


def test_a_seed_keeps_its_label_however_unlike_the_others_it_is() -> None:
    grown = grow([[0, 1, 0, 1, 9]], [[1, 1, 1, 1, 1]], tolerance=1)
    np.testing.assert_array_equal(grown, [[1, 1, 1, 1, 1]])


@pytest.mark.parametrize(("left", "right", "winner"), [(9, 4, 4), (4, 9, 4), (-1, 4, 4)])
def test_of_equally_alike_labels_the_lower_wins_and_background_comes_last(
    left: int, right: int, winner: int
) -> None:
    values = [[0, 2, 3, 4, 6]]  # 3 is two deviations from both
    grown = grow(values, [[left, left, 0, right, right]], tolerance=5)
    assert grown[0, 2] == winner


def test_a_single_voxel_takes_its_spread_from_around_it() -> None:
    values = np.random.default_rng(0).normal(size=(9, 9, 9))
    values[5:] += 50
    seeds = np.zeros(values.shape, int)
    seeds[2, 4, 4] = 1
    grown = grow(values, seeds, tolerance=4)
    assert grown[:5].mean() > 0.95
    assert not grown[5:].any()


def test_in_a_flat_surrounding_only_the_same_intensity_joins() -> None:
    values = np.full((5, 5), 2.0)
    values[:, 4] = 2.5
    seeds = np.zeros((5, 5), int)
    seeds[2, 1] = 1
    np.testing.assert_array_equal(grow(values, seeds), values == 2)


def test_paths_do_not_leave_the_mask() -> None:
    mask = np.ones((3, 5))
    mask[:, 2] = 0
    seeds = np.zeros((3, 5), int)
    seeds[0, 0] = 1
    np.testing.assert_array_equal(grow(np.zeros((3, 5)), seeds, mask=mask), [[1, 1, 0, 0, 0]] * 3)


@pytest.mark.parametrize(
    ("seeds", "mask", "message"),
    [
        ([[0, 0, 0]], None, "has nothing but 0"),
        ([[-1, 0, 0]], None, r"has only background \(-1\)"),
        ([[-3, 1, 0]], None, "or a label above 0, got -3"),
        ([[1, 2, 0]], [[1, 0, 1]], "all seeds of label 2 lie outside the mask"),
    ],
)
def test_seeds_that_mark_nothing_are_refused(seeds: object, mask: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        grow([[1, 2, 3]], seeds, mask=mask)


@pytest.mark.parametrize("share", [0.35, 0.6, 0.75])
@pytest.mark.parametrize("shape", [(40,), (30, 41), (11, 12, 13)], ids=str)
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.cuda)])
def test_flooding_reaches_what_scipy_reaches(
    shape: tuple[int, ...], share: float, device: str
) -> None:
    rng = np.random.default_rng(len(shape))
    passable = rng.random(shape) < share
    seeds = rng.random(shape) < 0.03
    wanted = ndimage.binary_propagation(seeds & passable, mask=passable)
    given = [torch.from_numpy(array).to(device) for array in (seeds, passable)]
    for reach in (flooded, reachable):
        np.testing.assert_array_equal(reach(*given).cpu(), wanted)


def test_flooding_follows_a_winding_path() -> None:
    passable = np.ones((15, 16), bool)
    passable[1::4, :-1] = passable[3::4, 1:] = False
    seeds = np.zeros_like(passable)
    seeds[0, 0] = True
    reached = flooded(torch.from_numpy(seeds), torch.from_numpy(passable))
    np.testing.assert_array_equal(reached, passable)
