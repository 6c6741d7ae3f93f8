"""Put a volume on another grid."""

from __future__ import annotations

from typing import Any, Literal, TypeVar, cast, overload

import numpy as np
from numpy.typing import NDArray

from medseg.volume import BACKGROUND, Grid, Image, Labels

_Volume = TypeVar("_Volume", bound=Image | Labels)


@overload
def resample(volume: Image, grid: Grid) -> Image: ...
@overload
def resample(volume: Labels, grid: Grid) -> Labels: ...
def resample(volume: Image | Labels, grid: Grid) -> Image | Labels:
    """Read `volume` at the voxel centres of `grid`.

    Intensities are interpolated linearly and continue their border value; labels are
    taken from the nearest voxel and end in background.
    """
    if volume.grid.ndim != grid.ndim:
        raise ValueError(f"a {volume.grid.ndim}D volume can't be put on a {grid.ndim}D grid")
    if volume.grid.matches(grid, tolerance=1e-6):
        return volume.on(volume.array, grid)
    if isinstance(volume, Labels):
        array = _sample(volume.array, volume.grid, grid, order=0, mode="grid-constant")
        return Labels(array, grid, volume.names)
    channels = [_sample(c, volume.grid, grid, order=1, mode="nearest") for c in volume.array]
    return Image(np.stack(channels), grid, volume.names)


def with_spacing(grid: Grid, spacing: tuple[float, ...]) -> Grid:
    """Build the grid that covers the same box with voxels of about `spacing` mm."""
    extent = np.array(grid.shape) * grid.spacing
    shape = tuple(int(n) for n in np.maximum(np.rint(extent / spacing), 1))
    if shape == grid.shape:
        return grid
    scale = np.array(grid.shape) / shape
    # The corner of the box stays put, so the first centre moves by half the change in voxel size.
    change = np.diag([*scale, 1.0])
    change[:-1, -1] = (scale - 1) / 2
    return Grid(shape, grid.affine @ change, grid.code, grid.unit)


def crop(volume: _Volume, start: tuple[int, ...], shape: tuple[int, ...]) -> _Volume:
    """Cut the box of `shape` voxels whose first voxel is `start`; nothing moves in the world.

    Raises
    ------
    ValueError
        If the box does not lie inside the volume.
    """
    part = part_of(volume.grid, start, shape)
    at: tuple[Any, ...] = (..., *(slice(a, a + n) for a, n in zip(start, shape, strict=True)))
    return cast(_Volume, volume.on(volume.array[at], part))


def part_of(grid: Grid, start: tuple[int, ...], shape: tuple[int, ...]) -> Grid:
    """Grid of the box of `shape` voxels whose first voxel is `start`.

    Raises
    ------
    ValueError
        If the box does not lie inside the grid.
    """
    ends = [a + n for a, n in zip(start, shape, strict=False)]
    fits = len(start) == len(shape) == grid.ndim
    if not fits or min(start) < 0 or any(np.greater(ends, grid.shape)):
        raise ValueError(f"a box from {start} of {shape} voxels does not lie inside {grid.shape}")
    affine = grid.affine.copy()
    affine[:, -1] = grid.affine @ (*start, 1)
    return Grid(shape, affine, grid.code, grid.unit)


def _sample(
    array: NDArray,
    source: Grid,
    target: Grid,
    *,
    order: Literal[0, 1],
    mode: Literal["nearest", "grid-constant"],
) -> NDArray:
    from scipy import ndimage

    to_source = np.linalg.inv(source.affine) @ target.affine
    # Rounded, or the noise of the inverse puts voxels that coincide on either side of a border.
    sampled: NDArray = ndimage.affine_transform(
        array,
        np.round(to_source, 9),
        output_shape=target.shape,
        order=order,
        mode=mode,
        cval=BACKGROUND,
    )
    return sampled
