"""To and from the images of nibabel and SimpleITK, and what all arrays must keep.

The only place where LPS (SimpleITK, DICOM) becomes RAS (NIfTI, medseg).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from medseg.volume.grid import Grid, Unit

if TYPE_CHECKING:
    import nibabel as nib

_MM_PER_UNIT: dict[Unit, float] = {"mm": 1.0, "um": 1e-3, "m": 1e3, "unknown": 1.0}
_UNIT_OF_CODE: dict[int, Unit] = {0: "unknown", 1: "m", 2: "mm", 3: "um"}
_ALIGNED = 2  # NIfTI's code of an affine into some world, which is not said


def read_only(array: NDArray) -> NDArray:
    """View of `array` that can't be written through."""
    view = array.view()
    view.flags.writeable = False
    return view


def real(array: NDArray) -> NDArray[np.float32]:
    """Return the array in float32, refusing what is not made of real numbers."""
    if not (np.issubdtype(array.dtype, np.number) or array.dtype == np.bool_):
        raise TypeError(f"an image is made of numbers, got {array.dtype}")
    if np.issubdtype(array.dtype, np.complexfloating):
        raise ValueError("an image is made of real numbers, got complex ones; take the magnitude")
    with np.errstate(over="ignore"):  # what overflows float32 is infinite, and refused as such
        return array.astype(np.float32, copy=False)


def whole(array: NDArray) -> NDArray[np.integer]:
    """Return the array as integers, refusing fractions."""
    if array.dtype == np.bool_:
        return array.astype(np.uint8)
    if np.issubdtype(array.dtype, np.integer):
        return array
    if not np.issubdtype(array.dtype, np.floating):
        raise TypeError(f"labels are whole numbers, got {array.dtype}")
    require_finite(array)
    if array.size and np.abs(array).max() > np.iinfo(np.int32).max:
        raise ValueError("labels are whole numbers below 2^31, got larger ones; is it an image?")
    integers: NDArray[np.int32] = array.astype(np.int32)
    if np.array_equal(integers, array):
        return integers
    # A slope in the header turns a mask's 1 into 0.99999997; a fraction of an image is no such.
    integers = np.rint(array).astype(np.int32)
    if np.abs(integers - array).max() > 1e-4:
        raise ValueError("labels are whole numbers, got fractions; is it an image?")
    return integers


def require_finite(array: NDArray) -> None:
    """Raise ValueError if a number is NaN or infinite."""
    # A finite sum proves that all are finite, in a quarter of the time; overflow proves nothing.
    with np.errstate(over="ignore", invalid="ignore"):
        proven = np.isfinite(array.sum())
    if not proven and not (finite := np.isfinite(array)).all():
        raise ValueError(
            f"{int((~finite).sum())} voxels are NaN or infinite; repair the file, or give a "
            "number in their place (nan=0, on the command line --nan 0)"
        )


def replace_nan(array: NDArray[np.float32], value: float) -> NDArray[np.float32]:
    """Put `value` where the array is NaN or infinite."""
    return np.nan_to_num(array, copy=True, nan=value, posinf=value, neginf=value)


def channels_of_nibabel(image: nib.Nifti1Image) -> tuple[NDArray[np.float32], Grid]:
    """Array (C, i, j, k) and grid."""
    if np.dtype(image.get_data_dtype()).fields:  # RGB and RGBA are stored as records
        return real(_colours(image)), grid_of_nibabel(image)
    if np.issubdtype(image.get_data_dtype(), np.complexfloating):
        return real(np.asarray(image.dataobj)), grid_of_nibabel(image)  # refuses it
    values = _scaled(image, np.float32)
    return real(_channels_first(values)), grid_of_nibabel(image)


def stored_of_nibabel(image: nib.Nifti1Image) -> tuple[NDArray, Grid]:
    """Array (C, i, j, k) in the dtype of the file, unless a slope changes it, and grid."""
    if np.dtype(image.get_data_dtype()).fields:
        return _colours(image), grid_of_nibabel(image)
    return _channels_first(_scaled(image, None)), grid_of_nibabel(image)


def labels_of_nibabel(image: nib.Nifti1Image) -> tuple[NDArray[np.integer], Grid]:
    """Array (i, j, k) and grid."""
    array, grid = stored_of_nibabel(image)
    return one_channel(whole(array)), grid


def one_channel(array: NDArray[np.integer]) -> NDArray[np.integer]:
    """(...) labels of a (1, ...) array, refusing more channels."""
    if len(array) != 1:
        n = len(array)
        raise ValueError(
            f"labels have one value a voxel, got {n}; a 4D file of {n} volumes, or colours?"
        )
    labels: NDArray[np.integer] = array[0]
    return labels


def grid_of_nibabel(image: nib.Nifti1Image) -> Grid:
    """Grid in mm, with the code of the affine that counts (sform before qform)."""
    header = image.header
    code, unit = 0, _UNIT_OF_CODE[0]
    if "sform_code" in header:  # Analyze has none, nor a unit
        code = int(header["sform_code"]) or int(header["qform_code"])
        unit = _UNIT_OF_CODE.get(int(header["xyzt_units"]) & 7, "unknown")
    affine = np.array(image.affine, dtype=np.float64)
    affine[:3] *= _MM_PER_UNIT[unit]
    shape = (*image.shape[:3], *(1,) * (3 - len(image.shape)))
    return Grid(shape, affine, code, unit)


def to_nibabel(array: NDArray, grid: Grid) -> nib.Nifti1Image:
    """NIfTI image of an (i, j[, k[, C]]) array, with the code and the unit of its grid."""
    import nibabel as nib

    affine = grid.affine.copy()
    if grid.ndim == 2:
        affine = np.insert(np.insert(affine, 2, 0, axis=0), 2, [0, 0, 1, 0], axis=1)
        array = np.expand_dims(array, 2)
    affine[:3] /= _MM_PER_UNIT[grid.unit]
    kind = nib.Nifti1Image if max(array.shape) < 2**15 else nib.Nifti2Image
    image: nib.Nifti1Image = kind(array, affine, dtype=array.dtype)  # type: ignore[no-untyped-call]
    near = 1e-3 * np.linalg.norm(affine[:3, :3], axis=0).min()
    image.set_qform(affine, grid.code)
    if not np.allclose(image.get_qform(), affine, atol=near):
        image.set_qform(None, 0)  # a qform can't hold shear; the sform says it all
    image.set_sform(affine, grid.code)
    if not np.allclose(image.header.get_best_affine(), affine, atol=near):
        image.set_sform(affine, _ALIGNED)  # code 0 voids the affine: readers make up another
    image.header.set_xyzt_units(xyz={"um": "micron", "m": "meter"}.get(grid.unit, grid.unit))
    return image


def channels_of_sitk(
    image: Any, to: Callable[[NDArray], NDArray] = np.asarray
) -> tuple[NDArray, Grid]:
    """Array (C, i, j[, k]) and grid of a SimpleITK image; `to` converts the numbers."""
    import SimpleITK as sitk  # noqa: N813

    array = to(sitk.GetArrayFromImage(image))
    n = image.GetDimension()
    if n not in (2, 3):
        raise ValueError(f"a volume has 2 or 3 axes, got a SimpleITK image of {n}")
    if array.ndim == n:
        array = array[..., None]
    # SimpleITK's arrays run (k, j, i, components).
    array = array.transpose(n, *reversed(range(n)))
    affine = np.eye(n + 1)
    affine[:n, :n] = np.array(image.GetDirection()).reshape(n, n) * image.GetSpacing()
    affine[:n, n] = image.GetOrigin()
    return array, Grid(array.shape[1:], lps_ras(affine))


def to_sitk(array: NDArray, grid: Grid) -> Any:
    """SimpleITK image of a (C, i, j[, k]) array."""
    import SimpleITK as sitk  # noqa: N813

    n = grid.ndim
    affine = lps_ras(grid.affine)
    spacing = np.linalg.norm(affine[:n, :n], axis=0)
    stored = array.transpose(*reversed(range(1, n + 1)), 0)
    vector = len(array) > 1
    image = sitk.GetImageFromArray(
        np.ascontiguousarray(stored if vector else stored[..., 0]), isVector=vector
    )
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(affine[:n, n].tolist())
    image.SetDirection((affine[:n, :n] / spacing).ravel().tolist())
    return image


def lps_ras(affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """Affine into RAS of one into LPS, and the other way round; 2D has the first two axes."""
    turned: NDArray[np.float64] = np.diag([-1.0, -1.0, *[1.0] * (len(affine) - 2)]) @ affine
    return turned


def _scaled(image: nib.Nifti1Image, dtype: Any) -> NDArray:
    """Voxels with the header's slope applied, in `dtype` or as they come."""
    with np.errstate(over="ignore"):
        return np.asarray(image.dataobj, dtype)


def _colours(image: nib.Nifti1Image) -> NDArray:
    """(C, i, j, k) of an RGB or RGBA file."""
    colours = np.asarray(image.dataobj)
    return _three_axes(np.stack([colours[name] for name in colours.dtype.names or ()]), first=1)


def _channels_first(array: NDArray) -> NDArray:
    """(C, i, j, k) of what NIfTI files hold: up to 3 axes, a channel axis, empty axes."""
    while array.ndim > 4 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim == 5 and array.shape[3] == 1:  # vectors stand in the fifth axis
        array = array[:, :, :, 0]
    if array.ndim == 4:
        return np.moveaxis(array, 3, 0)
    if array.ndim > 4:
        raise ValueError(f"a volume has 3 axes and perhaps channels, got shape {array.shape}")
    return _three_axes(array[None], first=1)


def _three_axes(array: NDArray, first: int) -> NDArray:
    while array.ndim > first + 3 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim > first + 3:
        raise ValueError(f"a volume has 3 axes and perhaps channels, got shape {array.shape}")
    while array.ndim < first + 3:
        array = array[..., None]
    return array
