"""What stands where: one integer per voxel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medseg.volume import exchange
from medseg.volume.grid import Grid

if TYPE_CHECKING:
    import nibabel as nib

BACKGROUND = 0


@dataclass(frozen=True, eq=False)
class Labels:
    """One integer per voxel that says what is there; 0 is background.

    Parameters
    ----------
    array : (*grid.shape,) integer array
        Booleans become 0 and 1. Made read-only.
    grid : Grid
    names : mapping of int to str
        What each label stands for; may be empty.
    """

    array: NDArray[np.integer]
    grid: Grid
    names: Mapping[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        array = np.asarray(self.array)
        if array.shape != self.grid.shape:
            raise ValueError(f"labels have shape {array.shape}, the grid {self.grid.shape}")
        if array.dtype == np.bool_:
            array = array.view(np.uint8)
        if not np.issubdtype(array.dtype, np.integer):
            raise TypeError(f"labels are integers, got {array.dtype}; cast or argmax first")
        if not array.dtype.isnative:  # torch and numba know no other byte order
            array = array.astype(array.dtype.newbyteorder("="))
        object.__setattr__(self, "array", exchange.read_only(array))

    @classmethod
    def from_array(
        cls, array: ArrayLike, spacing: ArrayLike = 1.0, names: Mapping[int, str] | None = None
    ) -> Labels:
        """Labels of an (i, j[, k]) array at the origin; whole numbers of any dtype."""
        values = exchange.whole(np.asarray(array))
        return cls(values, Grid.from_spacing(values.shape, spacing), names or {})

    @classmethod
    def from_nibabel(cls, image: nib.Nifti1Image, names: Mapping[int, str] | None = None) -> Labels:
        """Labels of a nibabel image, whose values must be whole numbers."""
        return cls(*exchange.labels_of_nibabel(image), names or {})

    def to_nibabel(self) -> nib.Nifti1Image:
        """NIfTI image in the smallest integer dtype that holds the labels."""
        return exchange.to_nibabel(smallest_integers(self.array), self.grid)

    @classmethod
    def from_sitk(cls, image: Any, names: Mapping[int, str] | None = None) -> Labels:
        """Labels of a SimpleITK image, whose values must be whole numbers."""
        array, grid = exchange.channels_of_sitk(image, to=exchange.whole)
        return cls(exchange.one_channel(array), grid, names or {})

    def to_sitk(self) -> Any:
        """SimpleITK image in the smallest integer dtype that holds the labels."""
        return exchange.to_sitk(smallest_integers(self.array)[None], self.grid)

    def on(self, array: NDArray, grid: Grid) -> Labels:
        """Labels of another array on another grid, named as here."""
        return Labels(array, grid, self.names)

    def values(self) -> tuple[int, ...]:
        """Labels that occur, in order, background left out."""
        if self.array.dtype == np.uint8:  # counting is ten times faster than sorting
            present = np.flatnonzero(np.bincount(self.array.ravel(order="K"), minlength=1))
        else:
            present = np.unique(self.array)
        return tuple(int(value) for value in present if value != BACKGROUND)

    def mask(self, label: int) -> NDArray[np.bool_]:
        """Voxels that carry `label`."""
        return np.asarray(self.array == label)


def smallest_integers(array: NDArray[np.integer]) -> NDArray[np.integer]:
    """Return the same numbers in the smallest of NIfTI's usual integer dtypes that fits."""
    low, high = (int(array.min()), int(array.max())) if array.size else (0, 0)
    for dtype in (np.uint8, np.uint16, np.int16, np.int32):
        if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max:
            return array.astype(dtype, copy=False)
    return array.astype(np.int64, copy=False)
