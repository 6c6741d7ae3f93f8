"""Intensities on a grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medseg.volume import exchange
from medseg.volume.grid import Grid

if TYPE_CHECKING:
    import nibabel as nib


@dataclass(frozen=True, eq=False)
class Image:
    """Intensities on a grid.

    Parameters
    ----------
    array : (C, *grid.shape) float32 array
        One or more channels; real numbers of any dtype are converted. Made read-only.
    grid : Grid
    names : tuple of str
        What each channel shows; may be empty.

    Raises
    ------
    ValueError
        If the shapes do not fit, or a voxel is NaN or infinite.
    """

    array: NDArray[np.float32]
    grid: Grid
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        array = exchange.real(np.asarray(self.array))
        if array.ndim != self.grid.ndim + 1 or array.shape[1:] != self.grid.shape or not len(array):
            raise ValueError(
                f"an image of grid {self.grid.shape} needs an array of shape "
                f"(channels, {', '.join(map(str, self.grid.shape))}), got {array.shape}"
            )
        if self.names and len(self.names) != len(array):
            raise ValueError(f"{len(array)} channels need as many names, got {self.names}")
        exchange.require_finite(array)
        object.__setattr__(self, "array", exchange.read_only(array))

    @classmethod
    def from_array(
        cls, array: ArrayLike, spacing: ArrayLike = 1.0, names: tuple[str, ...] = ()
    ) -> Image:
        """Image of an array at the origin.

        Parameters
        ----------
        array : (C, i, j[, k]) or (i, j[, k]) array
            A sequence of n spacings says that n axes are spatial; with a single number,
            4 axes are (C, i, j, k) and fewer have no channel axis.
        spacing : float or tuple of float, mm
        """
        values = np.asarray(array)
        spatial = np.size(spacing) if np.ndim(spacing) else min(values.ndim, 3)
        if values.ndim == spatial:
            values = values[None]
        return cls(values, Grid.from_spacing(values.shape[1:], spacing), names)

    @classmethod
    def from_nibabel(cls, image: nib.Nifti1Image, *, nan: float | None = None) -> Image:
        """Image of a nibabel image; a fourth axis becomes the channels.

        Where `nan` is given, it takes the place of NaN and infinite voxels.
        """
        array, grid = exchange.channels_of_nibabel(image)
        return cls(array if nan is None else exchange.replace_nan(array, nan), grid)

    def to_nibabel(self) -> nib.Nifti1Image:
        """Float32 NIfTI image; several channels become the fourth axis."""
        array = self.array[0] if self.channels == 1 else np.moveaxis(self.array, 0, -1)
        return exchange.to_nibabel(array, self.grid)

    @classmethod
    def from_sitk(cls, image: Any) -> Image:
        """Image of a SimpleITK image, whose vector components become the channels."""
        return cls(*exchange.channels_of_sitk(image, to=exchange.real))

    def to_sitk(self) -> Any:
        """SimpleITK image; several channels become vector components."""
        return exchange.to_sitk(self.array, self.grid)

    def on(self, array: NDArray, grid: Grid) -> Image:
        """Image of another array on another grid, its channels named as here."""
        return Image(array, grid, self.names)

    @property
    def channels(self) -> int:
        """Number of channels."""
        return int(self.array.shape[0])

    def channel(self, index: int) -> Image:
        """The image of one channel."""
        if not -self.channels <= index < self.channels:
            raise ValueError(f"the image has {self.channels} channels, there is no {index}")
        names = (self.names[index],) if self.names else ()
        return Image(self.array[index][None], self.grid, names)
