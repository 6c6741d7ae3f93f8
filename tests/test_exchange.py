"""To and from nibabel and SimpleITK: array, place, unit and code come through."""

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from drawn import oblique_affine, sheared_affine, some_image, some_labels

from medseg.volume import Grid, Image, Labels


@pytest.mark.parametrize("channels", [1, 3])
def test_an_image_survives_nibabel(channels: int) -> None:
    image = some_image(channels=channels)
    back = Image.from_nibabel(image.to_nibabel())
    np.testing.assert_array_equal(back.array, image.array)
    np.testing.assert_allclose(back.grid.affine, image.grid.affine, atol=1e-5)


def test_labels_survive_nibabel_with_their_names() -> None:
    labels = some_labels()
    back = Labels.from_nibabel(labels.to_nibabel(), {1: "hippocampus"})
    np.testing.assert_array_equal(back.array, labels.array)
    assert back.names == {1: "hippocampus"}


def test_labels_become_the_smallest_integers_of_nifti() -> None:
    assert some_labels(high=5).to_nibabel().get_data_dtype() == np.uint8
    assert some_labels(high=5000).to_nibabel().get_data_dtype() == np.uint16


def test_labels_of_a_4d_image_are_refused() -> None:
    with pytest.raises(ValueError, match="4D file of 2 volumes"):
        Labels.from_nibabel(Image.from_array(np.zeros((2, 4, 5, 6))).to_nibabel())


@pytest.mark.parametrize("unit", ["mm", "um", "m", "unknown"])
def test_the_unit_of_the_file_comes_back_and_memory_has_millimetres(unit: str) -> None:
    grid = Grid((4, 5, 6), oblique_affine((0.5, 0.5, 2)), unit=unit)  # type: ignore[arg-type]
    stored = Image(np.zeros((1, 4, 5, 6)), grid).to_nibabel()
    factor = {"mm": 1, "um": 1000, "m": 0.001, "unknown": 1}[unit]
    np.testing.assert_allclose(stored.affine, np.diag([factor] * 3 + [1]) @ grid.affine, rtol=1e-6)
    back = Image.from_nibabel(stored).grid
    assert back.unit == unit
    assert back.matches(grid, tolerance=1e-4)


@pytest.mark.parametrize("code", [0, 1, 2, 3, 4])
def test_the_code_of_the_world_survives_nibabel(code: int) -> None:
    header = nib.Nifti1Image(np.zeros((4, 5, 6), np.uint8), None).header
    header.set_zooms((1, 2, 3))
    first = nib.Nifti1Image(np.zeros((4, 5, 6), np.uint8), None, header)
    if code:
        first.set_sform(oblique_affine(), code)
    grid = Labels.from_nibabel(nib.Nifti1Image.from_bytes(first.to_bytes())).grid
    stored = Labels(np.zeros((4, 5, 6), int), grid).to_nibabel()
    back = Labels.from_nibabel(nib.Nifti1Image.from_bytes(stored.to_bytes())).grid
    assert (back.code, int(stored.header["sform_code"])) == (code, code)
    assert back.matches(grid, tolerance=1e-4)


def test_a_grid_without_a_code_still_keeps_its_place() -> None:
    # A header whose codes are both 0 has no affine, whatever stands in its rows.
    grid = Grid((4, 5, 6), oblique_affine(), code=0)
    stored = Labels(np.zeros((4, 5, 6), int), grid).to_nibabel()
    back = Labels.from_nibabel(nib.Nifti1Image.from_bytes(stored.to_bytes())).grid
    assert back.matches(grid, tolerance=1e-4)


def test_the_sform_counts_before_the_qform() -> None:
    image = nib.Nifti1Image(np.zeros((4, 5, 6), np.uint8), np.eye(4))
    image.set_qform(np.diag([2, 2, 2, 1]), 1)
    image.set_sform(np.diag([3, 3, 3, 1]), 2)
    grid = Labels.from_nibabel(image).grid
    assert (grid.spacing, grid.code) == ((3, 3, 3), 2)


def test_the_qform_counts_where_there_is_no_sform() -> None:
    image = nib.Nifti1Image(np.zeros((4, 5, 6), np.uint8), None)
    image.set_qform(oblique_affine(), 3)
    image.set_sform(None, 0)
    grid = Labels.from_nibabel(nib.Nifti1Image.from_bytes(image.to_bytes())).grid
    assert grid.code == 3
    assert grid.matches(Grid((4, 5, 6), oblique_affine()), tolerance=1e-4)


@pytest.mark.parametrize("unit", ["mm", "um", "m"])
def test_a_sheared_affine_has_no_qform_but_survives(unit: str) -> None:
    grid = Grid((4, 5, 6), sheared_affine(), unit=unit)  # type: ignore[arg-type]
    stored = Image(np.zeros((1, 4, 5, 6)), grid).to_nibabel()
    assert int(stored.header["qform_code"]) == 0
    assert Image.from_nibabel(stored).grid.matches(grid, tolerance=1e-4)


@pytest.mark.parametrize("unit", ["mm", "um", "m"])
def test_an_oblique_affine_has_a_qform_too(unit: str) -> None:
    grid = Grid((4, 5, 6), oblique_affine(), unit=unit)  # type: ignore[arg-type]
    stored = Image(np.zeros((1, 4, 5, 6)), grid).to_nibabel()
    assert int(stored.header["qform_code"]) == 1


@pytest.mark.parametrize("channels", [1, 2])
def test_a_2d_image_becomes_one_slice_of_nifti(channels: int) -> None:
    image = some_image((4, 5), channels)
    back = Image.from_nibabel(image.to_nibabel())
    assert back.grid.shape == (4, 5, 1)
    np.testing.assert_array_equal(back.array[..., 0], image.array)
    np.testing.assert_array_equal(back.grid.affine[:2, :2], image.grid.affine[:2, :2])
    assert back.grid.spacing[2] == 1


def test_a_nifti_of_two_axes_is_one_slice() -> None:
    back = Image.from_nibabel(nib.Nifti1Image(np.ones((4, 5), np.float32), np.eye(4)))
    assert back.array.shape == (1, 4, 5, 1)


# SimpleITK


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 6)])
@pytest.mark.parametrize("channels", [1, 3])
def test_an_image_survives_simpleitk(shape: tuple[int, ...], channels: int) -> None:
    image = some_image(shape, channels)
    back = Image.from_sitk(image.to_sitk())
    np.testing.assert_array_equal(back.array, image.array)
    np.testing.assert_allclose(back.grid.affine, image.grid.affine, atol=1e-12)


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 6)])
def test_labels_survive_simpleitk(shape: tuple[int, ...]) -> None:
    labels = some_labels(shape)
    back = Labels.from_sitk(labels.to_sitk(), {1: "one"})
    np.testing.assert_array_equal(back.array, labels.array)
    np.testing.assert_allclose(back.grid.affine, labels.grid.affine, atol=1e-12)
    assert back.names == {1: "one"}


def test_simpleitk_sees_the_same_voxel_at_the_same_place_in_lps() -> None:
    image = some_image()
    there = image.to_sitk()
    assert there.GetSize() == (4, 5, 6)
    assert there[3, 1, 2] == image.array[0, 3, 1, 2]
    x, y, z = (image.grid.affine @ (3, 1, 2, 1))[:3]
    assert there.TransformIndexToPhysicalPoint((3, 1, 2)) == pytest.approx((-x, -y, z))


def test_labels_with_two_components_are_refused() -> None:
    with pytest.raises(ValueError, match="one value a voxel, got 2"):
        Labels.from_sitk(sitk.Image([4, 5, 6], sitk.sitkVectorUInt8, 2))


def test_a_simpleitk_image_of_four_axes_is_refused() -> None:
    with pytest.raises(ValueError, match="2 or 3 axes, got a SimpleITK image of 4"):
        Image.from_sitk(sitk.Image([2, 2, 2, 2], sitk.sitkFloat32))
