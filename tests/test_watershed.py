"""The watershed: by hand, against scikit-image and SimpleITK, on plateaus, and in torch."""

import numpy as np
import pytest
import torch

from medseg import Image, Labels, method
from medseg.classical.flooding import flooded, flooded_compactly, lined
from medseg.classical.spanning_forest import flooded_in_torch

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.cuda)]
WAYS = [flooded, flooded_in_torch]
SHAPES = [(50,), (21, 30), (9, 12, 11), (1, 8, 5)]


def relief_of(shape: tuple[int, ...], heights: int, seed: int = 0) -> torch.Tensor:
    """Random heights, negative ones too; no two are equal if `heights` is 0."""
    rng = np.random.default_rng(seed)
    size = int(np.prod(shape))
    values = rng.integers(0, heights, size) if heights else rng.permutation(size)
    return torch.from_numpy(values.reshape(shape).astype(np.float32) - 20)


def markers_of(shape: tuple[int, ...], count: int, seed: int = 0) -> torch.Tensor:
    markers = np.zeros(shape, np.int32)
    rng = np.random.default_rng(seed)
    markers.flat[rng.choice(markers.size, count, replace=False)] = np.arange(1, count + 1)
    return torch.from_numpy(markers)


def line(*values: float, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.tensor(values, dtype=dtype)


def marks(*values: int) -> torch.Tensor:
    return line(*values, dtype=torch.int32)


# By hand


@pytest.mark.parametrize("way", WAYS)
def test_waters_meet_on_the_highest_voxel_between_them(way: type) -> None:
    found = way(line(0, 1, 2, 9, 3, 1, 0), marks(1, 0, 0, 0, 0, 0, 2))
    # The summit is taken by the water that stands beside it first.
    assert found.tolist() == [1, 1, 1, 1, 2, 2, 2]


@pytest.mark.parametrize("way", WAYS)
def test_a_valley_without_marker_fills_over_its_lower_pass(way: type) -> None:
    found = way(line(0, 5, 1, 2, 7, 0), marks(1, 0, 0, 0, 0, 2))
    assert found.tolist() == [1, 1, 1, 1, 2, 2]


@pytest.mark.parametrize("way", WAYS)
def test_water_rises_in_a_marker_before_it_runs_off(way: type) -> None:
    # The marker on the hill gets its turn at height 6, when the other water is at 5.
    found = way(line(0, 5, 4, 6), marks(1, 0, 0, 2))
    assert found.tolist() == [1, 1, 1, 2]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("height", [0.0, 7.5, -3.0])
def test_on_a_plateau_waters_meet_half_way(way: type, height: float) -> None:
    markers = torch.zeros((5, 9), dtype=torch.int32)
    markers[2, 0], markers[2, 8] = 1, 2
    found = way(torch.full((5, 9), height), markers)
    assert (found[:, :4] == 1).all()
    assert (found[:, 5:] == 2).all()


@pytest.mark.parametrize("way", WAYS)
def test_a_lake_on_the_way_over_a_plateau_takes_no_time(way: type) -> None:
    plateau = line(0, 3, 3, 3, 3, 3, 3, 3, 0)
    markers = marks(1, *[0] * 7, 2)
    assert way(plateau, markers).tolist() == [1, 1, 1, 1, 1, 2, 2, 2, 2]
    plateau[2:5] = 1  # two steps to the far shore, while the other water makes two
    assert way(plateau, markers).tolist() == [1, 1, 1, 1, 1, 1, 2, 2, 2]


@pytest.mark.parametrize("way", WAYS)
def test_where_no_water_comes_nothing_is_labelled(way: type) -> None:
    mask = torch.tensor([True, True, False, True, True])
    assert way(torch.zeros(5), marks(0, 4, 0, 0, 0), mask).tolist() == [4, 4, 0, 0, 0]
    assert not way(torch.zeros(5), marks(0, 0, 0, 0, 0)).any()
    assert not way(torch.zeros(5), marks(1, 0, 0, 0, 0) * 0, mask & False).any()


# Against other libraries, where no two voxels are equally high


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("count", [2, 6, 40])
@pytest.mark.parametrize("shape", SHAPES[1:], ids=str)
def test_without_ties_it_is_the_watershed_of_scikit_image(
    shape: tuple[int, ...], count: int, way: type
) -> None:
    from skimage.segmentation import watershed

    relief, markers = relief_of(shape, 0), markers_of(shape, count)
    mask = torch.from_numpy(np.random.default_rng(3).random(shape) < 0.9)
    markers *= mask
    wanted = watershed(relief.numpy(), markers.numpy(), mask=mask.numpy())
    np.testing.assert_array_equal(way(relief, markers, mask), wanted)


@pytest.mark.parametrize("way", WAYS)
def test_without_ties_it_is_the_watershed_of_simpleitk(way: type) -> None:
    import SimpleITK as sitk  # noqa: N813

    relief, markers = relief_of((14, 15, 16), 0), markers_of((14, 15, 16), 12)
    images = (sitk.GetImageFromArray(each.numpy()) for each in (relief, markers))
    wanted = sitk.MorphologicalWatershedFromMarkers(*images, markWatershedLine=False)
    np.testing.assert_array_equal(way(relief, markers), sitk.GetArrayFromImage(wanted))


def test_with_many_ties_it_agrees_with_scikit_image_in_most_voxels() -> None:
    from scipy import ndimage
    from skimage.segmentation import watershed

    values = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(60, 60, 60)), 3)
    relief = np.round(255 * (values - values.min()) / np.ptp(values)).astype(np.float32)
    markers = markers_of(relief.shape, 20)
    found = flooded(torch.from_numpy(relief), markers).numpy()
    assert (found == watershed(relief, markers.numpy())).mean() > 0.95


@pytest.mark.parametrize("compactness", [0.5, 20.0])
@pytest.mark.parametrize("shape", SHAPES[1:], ids=str)
def test_the_compact_watershed_is_that_of_scikit_image(
    shape: tuple[int, ...], compactness: float
) -> None:
    from skimage.segmentation import watershed

    relief, markers = relief_of(shape, 0), markers_of(shape, 6)
    wanted = watershed(relief.numpy(), markers.numpy(), compactness=compactness)
    found = flooded_compactly(relief, markers, (1.0,) * len(shape), compactness)
    np.testing.assert_array_equal(found, wanted)


def test_compact_regions_on_a_plateau_are_round_in_mm() -> None:
    markers = torch.zeros((21, 21), dtype=torch.int32)
    markers[4, 10], markers[16, 10], markers[10, 2] = 1, 2, 3
    spacing = (1.0, 3.0)
    found = flooded_compactly(torch.zeros((21, 21)), markers, spacing, 1.0)
    places = np.stack(np.indices((21, 21)), -1) * spacing
    seeds = np.array([[4, 10], [16, 10], [10, 2]]) * spacing
    away = np.linalg.norm(places[..., None, :] - seeds, axis=-1)
    clear = np.ptp(np.sort(away, axis=-1)[..., :2], axis=-1) > 1e-9
    np.testing.assert_array_equal(found.numpy()[clear], away.argmin(-1)[clear] + 1)


# In torch as on the CPU, whatever the ties


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("heights", [1, 2, 3, 6, 40, 0])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_torch_gives_what_the_kernels_give(
    shape: tuple[int, ...], heights: int, device: str
) -> None:
    for seed in range(12):
        relief = relief_of(shape, heights, seed)
        mask = torch.from_numpy(np.random.default_rng(seed).random(shape) < 0.6 + seed / 20)
        markers = (markers_of(shape, 1 + seed // 2, seed) - 2 * (seed % 2)) * mask
        wanted = flooded(relief, markers, mask)
        found = flooded_in_torch(*(each.to(device) for each in (relief, markers, mask)))
        np.testing.assert_array_equal(found.cpu(), wanted)
        assert found.dtype == torch.int32


# Lines


def test_lines_part_all_regions_and_are_one_voxel_wide() -> None:
    relief, markers = relief_of((20, 21, 12), 30), markers_of((20, 21, 12), 9)
    whole = flooded(relief, markers)
    found = lined(whole, relief, markers)
    for axis in range(3):
        one, two = found.narrow(axis, 1, found.shape[axis] - 1), found.diff(dim=axis)
        before = one - two
        assert not ((one != before) & (one != 0) & (before != 0)).any()
    assert torch.equal(found[found != 0], whole[found != 0])
    assert torch.equal(found[markers != 0], markers[markers != 0])
    assert lined(marks(1, 1, 1, 2, 2), line(0, 2, 5, 4, 0), marks(1, 0, 0, 0, 2)).tolist() == [
        *(1, 1, 0, 2, 2)
    ]


def test_markers_that_touch_stay() -> None:
    assert lined(marks(1, 2, 2), line(5, 3, 1), marks(1, 2, 0)).tolist() == [1, 2, 2]


# The methods


def image_of(values: object) -> Image:
    return Image.from_array(np.asarray(values, dtype=np.float32))


def test_the_image_itself_can_be_the_relief() -> None:
    image = image_of([[0, 3, 1, 7, 0]])
    seeds = Labels(np.array([[5, 0, 0, 0, -1]]), image.grid)
    found = method("watershed", relief="image").segment(image, seeds)
    np.testing.assert_array_equal(found.array, [[5, 5, 5, 0, 0]])


def test_a_weak_edge_does_not_stop_the_water_of_a_marker_on_both_sides() -> None:
    image = image_of([[0, 0, 0, 2, 2, 2, 9, 9, 9]])
    seeds = Labels(np.array([[1, 0, 0, 0, 0, 0, 0, 0, 2]]), image.grid)
    found = method("watershed", scale=0).segment(image, seeds)
    np.testing.assert_array_equal(found.array, [[1] * 6 + [2] * 3])


def test_options_of_the_watershed_change_what_they_say() -> None:
    values = np.random.default_rng(0).normal(size=(24, 24))
    image = image_of(values)
    seeds = np.zeros((24, 24), np.int8)
    seeds[4, 4], seeds[20, 20], seeds[4, 20] = 1, 2, 3
    known = Labels(seeds, image.grid)
    plain = method("watershed").segment(image, known).array
    compact = method("watershed", compactness=100).segment(image, known).array
    with_lines = method("watershed", lines=True).segment(image, known).array
    assert (plain != compact).any()
    assert set(np.unique(with_lines)) == {0, 1, 2, 3}
    np.testing.assert_array_equal(with_lines[with_lines > 0], plain[with_lines > 0])


def test_there_are_as_many_basins_as_valleys_that_are_deep_enough() -> None:
    image = image_of([[0, 9, 0, 1, 0, 9, 0, 9]])
    one, two = (
        method("basins", relief="image", depth=depth).segment(image).array for depth in (0.1, 1.0)
    )
    assert one.max() == 4
    assert two.max() == 3
    assert (two > 0).all()


def test_each_part_of_a_flat_image_is_one_basin() -> None:
    image = image_of(np.full((3, 5), 4))
    mask = Labels(np.array([[1, 1, 0, 1, 1]] * 3), image.grid)
    found = method("basins").segment(image, mask=mask).array
    np.testing.assert_array_equal(found, [[1, 1, 0, 2, 2]] * 3)


def test_a_watershed_on_the_image_takes_one_channel() -> None:
    image = Image(np.zeros((2, 3, 3)), image_of(np.zeros((3, 3))).grid)
    with pytest.raises(ValueError, match="on the image itself takes one channel, got 2"):
        method("basins", relief="image").segment(image)
