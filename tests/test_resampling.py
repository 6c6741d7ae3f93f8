"""Resampling: the world stays where it is, ramps stay ramps, no label is invented."""

from itertools import product

import numpy as np
import pytest
from drawn import oblique_affine, some_image, some_labels
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from medseg.resampling import crop, resample, with_spacing
from medseg.volume import Grid, Image, Labels, reorient

SPACINGS = [(0.5, 1.0, 1.5), (0.7, 2.0, 4.0), (2, 4, 6)]


def places(grid: Grid) -> NDArray[np.float64]:
    """World coordinates (n, *shape) of the voxel centres of a grid."""
    indices = np.indices(grid.shape).reshape(grid.ndim, -1)
    homogeneous = np.vstack([indices, np.ones((1, indices.shape[1]))])
    return (grid.affine @ homogeneous)[:-1].reshape(grid.ndim, *grid.shape)


def box(grid: Grid) -> NDArray[np.float64]:
    """World coordinates of the outer corners of a grid, half a voxel beyond the centres."""
    ends = product(*((-0.5, size - 0.5) for size in grid.shape))
    return np.array([(grid.affine @ (*end, 1))[:-1] for end in ends])


def ramp(grid: Grid) -> Image:
    """Image whose intensity is a linear function of the place in the world."""
    weights = np.arange(1.0, grid.ndim + 1)
    return Image(np.tensordot(weights, places(grid), 1)[None] + 7, grid)


# grids of another spacing


def test_the_same_spacing_is_the_same_grid() -> None:
    grid = some_image().grid
    assert with_spacing(grid, (1, 2, 3)) is grid


def test_half_the_spacing_is_twice_the_voxels_in_the_same_box() -> None:
    grid = Grid((4, 5, 6), oblique_affine())
    fine = with_spacing(grid, (0.5, 1, 1.5))
    assert fine.shape == (8, 10, 12)
    assert fine.spacing == (0.5, 1, 1.5)
    np.testing.assert_allclose(box(fine), box(grid), atol=1e-9)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(spacing=st.tuples(*[st.floats(0.2, 30)] * 3))
def test_the_box_stays_at_any_spacing(spacing: tuple[float, float, float]) -> None:
    grid = Grid((4, 5, 6), oblique_affine(), code=3, unit="um")
    other = with_spacing(grid, spacing)
    np.testing.assert_allclose(box(other), box(grid), atol=1e-9)
    assert (other.code, other.unit) == (3, "um")


def test_a_spacing_beyond_the_box_leaves_one_voxel() -> None:
    assert with_spacing(Grid.from_spacing((4, 4)), (100, 1)).shape == (1, 4)


# resampling


@pytest.mark.parametrize("volume", [some_image(channels=2), some_labels()])
def test_on_its_own_grid_a_volume_stays_as_it_is(volume: Image | Labels) -> None:
    np.testing.assert_array_equal(resample(volume, volume.grid).array, volume.array)


def test_the_result_lies_on_the_grid_that_was_asked_for() -> None:
    image = some_image()
    wanted = Grid(image.grid.shape, image.grid.affine, code=4, unit="um")
    assert resample(image, wanted).grid is wanted


@pytest.mark.parametrize("code", ["LPS", "SAR", "IRP"])
def test_on_a_turned_grid_it_is_the_turned_volume(code: str) -> None:
    for volume in (some_image(), some_labels()):
        turned = reorient(volume, code)
        np.testing.assert_allclose(
            resample(volume, turned.grid).array, turned.array, rtol=1e-6, atol=1e-6
        )


@pytest.mark.parametrize("spacing", SPACINGS)
def test_a_linear_ramp_stays_one_inside(spacing: tuple[float, ...]) -> None:
    image = ramp(Grid((8, 9, 10), oblique_affine()))
    there = resample(image, with_spacing(image.grid, spacing))
    # Beyond the outermost centres the border value goes on, and the ramp ends.
    first = np.linalg.inv(image.grid.affine)
    at = np.tensordot(first[:3, :3], places(there.grid), 1) + first[:3, 3].reshape(3, 1, 1, 1)
    last = np.array(image.grid.shape).reshape(3, 1, 1, 1) - 1
    inside = ((at >= 0) & (at <= last)).all(axis=0)
    assert inside.sum() > 50
    np.testing.assert_allclose(
        there.array[0][inside], ramp(there.grid).array[0][inside], rtol=1e-5, atol=1e-4
    )


def test_a_ramp_in_2d_stays_one_too() -> None:
    image = ramp(Grid((8, 9), np.diag([-0.5, 2.0, 1.0])))
    there = resample(image, with_spacing(image.grid, (0.25, 1)))
    inside = (slice(1, -1), slice(1, -1))
    np.testing.assert_allclose(there.array[0][inside], ramp(there.grid).array[0][inside], rtol=1e-5)


def test_a_ramp_survives_there_and_back_inside() -> None:
    image = ramp(Grid((8, 9, 10), oblique_affine()))
    back = resample(resample(image, with_spacing(image.grid, (0.5, 1, 1.5))), image.grid)
    inside = (slice(1, -1),) * 3
    np.testing.assert_allclose(back.array[0][inside], image.array[0][inside], rtol=1e-5, atol=1e-4)


def test_intensities_go_on_beyond_the_border() -> None:
    image = Image.from_array(np.full((1, 3, 3, 3), 5.0))
    assert resample(image, Grid.from_spacing((9, 3, 3))).array.tolist() == (
        np.full((1, 9, 3, 3), 5.0).tolist()
    )


def test_labels_end_in_background_beyond_the_border() -> None:
    labels = Labels.from_array(np.full((3, 3, 3), 2))
    there = resample(labels, Grid.from_spacing((5, 3, 3))).array
    assert (there[:3] == 2).all()
    assert (there[3:] == 0).all()


def test_channels_and_names_stay_apart() -> None:
    image = Image(
        np.stack([np.zeros((4, 4)), np.ones((4, 4))]), Grid.from_spacing((4, 4)), ("a", "b")
    )
    there = resample(image, with_spacing(image.grid, (0.5, 0.5)))
    assert there.names == ("a", "b")
    assert [channel.mean() for channel in there.array] == [0, 1]


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64])
def test_no_label_is_invented(spacing: tuple[float, ...], dtype: type) -> None:
    labels = Labels(np.where(some_labels().array > 2, 100, 3).astype(dtype), some_labels().grid)
    there = resample(labels, with_spacing(labels.grid, spacing))
    assert set(np.unique(there.array)) <= {3, 100}
    assert there.array.dtype == dtype


def test_background_seeds_stay_negative() -> None:
    labels = Labels.from_array(np.full((4, 4), -1))
    assert (resample(labels, with_spacing(labels.grid, (0.5, 0.5))).array == -1).all()


def test_labels_twice_as_fine_are_each_voxel_twice() -> None:
    labels = Labels(some_labels().array, some_labels().grid, {1: "one"})
    fine = resample(labels, with_spacing(labels.grid, (0.5, 1, 1.5)))
    np.testing.assert_array_equal(fine.array, np.kron(labels.array, np.ones((2, 2, 2), int)))
    np.testing.assert_array_equal(resample(fine, labels.grid).array, labels.array)
    assert fine.names == {1: "one"}


def test_halfway_between_two_labels_a_tilt_does_not_decide() -> None:
    array = np.random.default_rng(0).integers(0, 9, (12, 12, 12))
    straight = Grid.from_spacing(array.shape, (1, 2, 3))
    expected = resample(Labels(array, straight), with_spacing(straight, (2, 4, 6))).array
    tilted = Grid(array.shape, oblique_affine())
    there = resample(Labels(array, tilted), with_spacing(tilted, (2, 4, 6))).array
    np.testing.assert_array_equal(there, expected)


def test_a_slice_can_be_put_on_a_thinner_grid() -> None:
    image = Image.from_array(np.arange(16.0).reshape(1, 4, 4, 1), (1, 1, 5))
    there = resample(image, with_spacing(image.grid, (1, 1, 1)))
    np.testing.assert_allclose(there.array, np.repeat(image.array, 5, axis=-1))


def test_the_volume_that_was_given_stays_as_it_was() -> None:
    image = some_image()
    before = image.array.copy()
    resample(image, with_spacing(image.grid, (2, 2, 2)))
    np.testing.assert_array_equal(image.array, before)


def test_two_dimensions_do_not_fit_three() -> None:
    with pytest.raises(ValueError, match="2D volume can't be put on a 3D grid"):
        resample(some_image((4, 5)), some_image().grid)


# crops


@pytest.mark.parametrize("volume", [some_image(channels=2), some_labels()])
def test_what_is_cut_stays_where_it_was(volume: Image | Labels) -> None:
    part = crop(volume, (1, 2, 3), (2, 2, 3))
    box_of = (..., slice(1, 3), slice(2, 4), slice(3, 6))
    np.testing.assert_array_equal(part.array, volume.array[box_of])
    np.testing.assert_allclose(places(part.grid), places(volume.grid)[box_of], atol=1e-9)


def test_a_crop_is_what_resampling_would_read_there() -> None:
    image = some_image()
    part = crop(image, (1, 0, 2), (3, 4, 2))
    np.testing.assert_allclose(resample(image, part.grid).array, part.array, atol=1e-6)


def test_a_crop_put_back_ends_in_background() -> None:
    labels = Labels(some_labels().array + 1, some_labels().grid)
    back = resample(crop(labels, (1, 1, 1), (2, 3, 4)), labels.grid)
    expected = np.zeros(labels.grid.shape, int)
    expected[1:3, 1:4, 1:5] = labels.array[1:3, 1:4, 1:5]
    np.testing.assert_array_equal(back.array, expected)


def test_a_crop_of_everything_is_everything() -> None:
    image = some_image((4, 5))
    assert crop(image, (0, 0), (4, 5)).grid.matches(image.grid, tolerance=0)


@pytest.mark.parametrize("start", [(-1, 0, 0), (3, 0, 0)])
def test_a_box_that_sticks_out_is_refused(start: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="does not lie inside"):
        crop(some_image(), start, (2, 2, 2))


@pytest.mark.parametrize("shape", [(2, 2, 0), (2, 2, -1)])
def test_an_empty_box_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="at least one voxel"):
        crop(some_image(), (0, 0, 0), shape)


@pytest.mark.parametrize(("start", "shape"), [((0, 0), (2, 2)), ((0, 0), (2, 2, 2))])
def test_a_box_of_other_axes_is_refused(start: tuple[int, ...], shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="does not lie inside"):
        crop(some_image(), start, shape)
