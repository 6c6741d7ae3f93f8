"""Grids, images and labels: what they hold and what they refuse."""

import numpy as np
import pytest
from drawn import oblique_affine, rotation, some_image, some_labels

from medseg.volume import Grid, Image, Labels, require_match, smallest_integers

# grids


@pytest.mark.parametrize("shape", [(4,), (4, 4, 4, 4), ()])
def test_a_grid_of_other_than_2_or_3_axes_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="2 or 3 spatial axes"):
        Grid(shape, np.eye(len(shape) + 1))


def test_a_grid_without_voxels_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one voxel"):
        Grid((4, 0, 4), np.eye(4))


def test_an_affine_of_the_wrong_size_is_refused() -> None:
    with pytest.raises(ValueError, match="3D grid needs a 4x4 affine"):
        Grid((4, 4, 4), np.eye(3))


def test_a_voxel_size_of_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="voxel size of 0 mm"):
        Grid((4, 4, 4), np.diag([1, 0, 1, 1]))


def test_a_singular_affine_is_refused() -> None:
    affine = np.eye(4)
    affine[:3, 1] = affine[:3, 0]
    with pytest.raises(ValueError, match="collapses an axis"):
        Grid((4, 4, 4), affine)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_affine_that_is_not_finite_is_refused(value: float) -> None:
    affine = np.eye(4)
    affine[0, 3] = value
    with pytest.raises(ValueError, match="no numbers"):
        Grid((4, 4, 4), affine)


def test_tiny_voxels_are_no_singular_affine() -> None:
    assert Grid((4, 4, 4), np.diag([2e-4, 2e-4, 1e-3, 1])).spacing == (0.0002, 0.0002, 0.001)


def test_the_affine_is_a_read_only_copy() -> None:
    affine = np.eye(4)
    grid = Grid((4, 4, 4), affine)
    affine[0, 0] = 7
    assert grid.affine[0, 0] == 1
    with pytest.raises(ValueError, match="read-only"):
        grid.affine[0, 0] = 7


def test_spacing_is_the_length_of_the_columns_in_file_order() -> None:
    assert Grid((4, 5, 6), oblique_affine((0.7, 2, 3))).spacing == (0.7, 2, 3)


def test_spacing_loses_the_noise_of_float32_headers() -> None:
    assert Grid.from_spacing((4, 4), np.float32(0.7)).spacing == (0.7, 0.7)


def test_a_spacing_of_the_wrong_length_is_refused() -> None:
    with pytest.raises(ValueError, match="spacing needs 3 values"):
        Grid.from_spacing((4, 4, 4), (1, 2))


def test_a_grid_matches_itself_and_no_other_shape() -> None:
    grid = Grid((4, 5, 6), oblique_affine())
    assert grid.matches(Grid((4, 5, 6), oblique_affine()))
    assert not grid.matches(Grid((4, 6, 6), oblique_affine()))


def test_grids_match_within_a_twentieth_of_a_voxel() -> None:
    def moved_by(share: float) -> Grid:
        affine = np.diag([1.0, 2.0, 3.0, 1.0])
        affine[2, 3] = 3 * share
        return Grid((4, 5, 6), affine)

    assert moved_by(0).matches(moved_by(0.049))
    assert not moved_by(0).matches(moved_by(0.051))


def test_a_small_error_of_spacing_counts_at_the_far_corner() -> None:
    def matches(size: int) -> bool:
        shape = (size, 2, 2)
        return Grid.from_spacing(shape).matches(Grid.from_spacing(shape, (1.001, 1, 1)))

    assert matches(10)
    assert not matches(100)


def test_a_small_rotation_counts_at_the_far_corner() -> None:
    turned = np.eye(4)
    turned[:3, :3] = rotation(0, 0, 0.001)

    def matches(size: int) -> bool:
        return Grid.from_spacing((size, size, 2)).matches(Grid((size, size, 2), turned))

    assert matches(10)
    assert not matches(100)


def test_another_place_is_refused_with_both_origins() -> None:
    there = np.eye(4)
    there[0, 3] = 5
    with pytest.raises(ValueError, match=r"the mask lies elsewhere.*\(5\.0, 0\.0, 0\.0\)"):
        require_match(Grid.from_spacing((4, 4, 4)), Grid((4, 4, 4), there), "the mask")


def test_another_shape_is_refused_with_both_shapes() -> None:
    with pytest.raises(ValueError, match=r"the mask lies on another grid.*\(5, 4, 4\).*\(4, 4, 4"):
        require_match(Grid.from_spacing((4, 4, 4)), Grid.from_spacing((5, 4, 4)), "the mask")


# images


def test_an_image_is_float32_and_read_only() -> None:
    image = Image.from_array(np.arange(24, dtype=np.int16).reshape(2, 3, 4))
    assert image.array.dtype == np.float32
    assert image.array.shape == (1, 2, 3, 4)
    with pytest.raises(ValueError, match="read-only"):
        image.array[0, 0, 0, 0] = 1


def test_the_array_that_was_given_stays_writeable() -> None:
    array = np.zeros((1, 2, 3, 4), np.float32)
    Image(array, Grid.from_spacing((2, 3, 4)))
    array[0, 0, 0, 0] = 1


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_voxels_that_are_no_numbers_are_refused_and_counted(value: float) -> None:
    array = np.zeros((2, 3, 4))
    array[0, 0, :2] = value
    with pytest.raises(ValueError, match="2 voxels are NaN or infinite"):
        Image.from_array(array)


def test_a_sum_that_overflows_is_no_infinite_voxel() -> None:
    assert Image.from_array(np.full((2, 3, 4), 3e38)).array.max() == np.float32(3e38)


def test_complex_voxels_are_refused() -> None:
    with pytest.raises(ValueError, match="take the magnitude"):
        Image.from_array(np.zeros((2, 3, 4), complex))


def test_an_image_of_text_is_refused() -> None:
    with pytest.raises(TypeError, match="made of numbers"):
        Image.from_array(np.full((2, 3, 4), "a"))


@pytest.mark.parametrize("shape", [(2, 3, 4), (1, 2, 3, 5), (0, 2, 3, 4)])
def test_an_array_that_does_not_fit_the_grid_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"needs an array of shape \(channels, 2, 3, 4\)"):
        Image(np.zeros(shape), Grid.from_spacing((2, 3, 4)))


def test_as_many_names_as_channels_or_none() -> None:
    grid = Grid.from_spacing((2, 3))
    assert Image(np.zeros((2, 2, 3)), grid, ("t1", "t2")).names == ("t1", "t2")
    with pytest.raises(ValueError, match="2 channels need as many names"):
        Image(np.zeros((2, 2, 3)), grid, ("t1",))


def test_one_channel_of_several_keeps_its_name() -> None:
    image = Image.from_array(np.arange(12).reshape(2, 2, 3), (1, 2), names=("t1", "t2"))
    second = image.channel(1)
    assert (second.channels, second.names) == (1, ("t2",))
    np.testing.assert_array_equal(second.array, image.array[1:])


def test_a_channel_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="has 1 channels, there is no 1"):
        some_image().channel(1)


@pytest.mark.parametrize(
    ("shape", "spacing", "expected"),
    [
        ((4, 5), 1.0, (1, 4, 5)),
        ((4, 5, 6), 1.0, (1, 4, 5, 6)),
        ((2, 4, 5, 6), 1.0, (2, 4, 5, 6)),
        ((4, 5, 6), (1, 2, 3), (1, 4, 5, 6)),
        ((2, 4, 5), (1, 2), (2, 4, 5)),
        ((2, 4, 5, 6), (1, 2, 3), (2, 4, 5, 6)),
    ],
)
def test_the_spacing_says_which_axes_are_spatial(
    shape: tuple[int, ...], spacing: float | tuple[float, ...], expected: tuple[int, ...]
) -> None:
    image = Image.from_array(np.zeros(shape), spacing)
    assert image.array.shape == expected
    assert image.grid.spacing == tuple(np.broadcast_to(spacing, image.grid.ndim))


# labels


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.int16, np.uint32, np.int64, np.float32])
def test_labels_of_any_dtype_of_whole_numbers(dtype: type) -> None:
    labels = Labels.from_array(np.array([[0, 1], [1, 0]], dtype))
    assert np.issubdtype(labels.array.dtype, np.integer)
    assert labels.array.tolist() == [[0, 1], [1, 0]]


def test_labels_are_read_only() -> None:
    with pytest.raises(ValueError, match="read-only"):
        some_labels().array[0, 0, 0] = 1


def test_fractions_are_no_labels() -> None:
    with pytest.raises(ValueError, match="got fractions"):
        Labels.from_array(np.array([[0, 0.5]]))


def test_nan_is_no_label() -> None:
    with pytest.raises(ValueError, match="NaN"):
        Labels.from_array(np.array([[0, np.nan]]))


def test_numbers_beyond_32_bits_are_no_labels() -> None:
    with pytest.raises(ValueError, match="larger ones"):
        Labels.from_array(np.array([[0, 1e12]]))


def test_an_array_of_floats_is_refused_at_the_door() -> None:
    with pytest.raises(TypeError, match="labels are integers, got float64"):
        Labels(np.zeros((2, 3)), Grid.from_spacing((2, 3)))


def test_labels_that_do_not_fit_the_grid_are_refused() -> None:
    with pytest.raises(ValueError, match=r"labels have shape \(2, 4\), the grid \(2, 3\)"):
        Labels(np.zeros((2, 4), int), Grid.from_spacing((2, 3)))


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64])
def test_values_are_the_labels_that_occur(dtype: type) -> None:
    assert Labels.from_array(np.array([[0, 7], [3, 7]], dtype)).values() == (3, 7)


def test_values_of_empty_labels_are_none() -> None:
    assert Labels.from_array(np.zeros((2, 3), np.uint8)).values() == ()


def test_seeds_may_have_a_value_for_background() -> None:
    assert Labels.from_array(np.array([[-1, 0, 2]])).values() == (-1, 2)


def test_a_mask_is_where_the_label_stands() -> None:
    assert Labels.from_array(np.array([[1, 2]])).mask(2).tolist() == [[False, True]]


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([0, 255], np.uint8),
        ([0, 256], np.uint16),
        ([-1, 255], np.int16),
        ([0, 65535], np.uint16),
        ([-1, 65535], np.int32),
        ([0, 65536], np.int32),
        ([0, 2**31], np.int64),
    ],
)
def test_labels_take_the_smallest_dtype_that_holds_them(values: list[int], dtype: type) -> None:
    assert smallest_integers(np.array(values)).dtype == dtype
    assert smallest_integers(np.array(values)).tolist() == values
