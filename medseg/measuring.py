"""How much there is of each label, where, and how bright it is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from medseg.volume import BACKGROUND, Grid, Image, Labels, require_match


@dataclass(frozen=True)
class LabelStatistics:
    """Figures of one label of one case.

    Parameters
    ----------
    label : int
    name : str
        "" where nothing says it.
    voxels : int
        A label that is named and does not occur has 0, and none of what follows the size.
    size : float
    unit : str
        Of the size: "ml", in 2D "cm2".
    border : bool
        Whether it touches a face of the volume, and so may go on beyond it.
    low, high : tuple of int
        First and last voxel of its box along each axis of the file.
    low_mm, high_mm : tuple of float
        Corners, in mm of the world (RAS+), of the box with axes of the world about that box, its
        voxels whole.
    mean, median : tuple of float
        Intensity of its voxels, in each channel.
    """

    label: int
    name: str
    voxels: int
    size: float
    unit: str
    border: bool = False
    low: tuple[int, ...] = ()
    high: tuple[int, ...] = ()
    low_mm: tuple[float, ...] = ()
    high_mm: tuple[float, ...] = ()
    mean: tuple[float, ...] = ()
    median: tuple[float, ...] = ()


def label_statistics(image: Image, labels: Labels) -> tuple[LabelStatistics, ...]:
    """Figures of each label that occurs or is named, in order.

    Raises
    ------
    ValueError
        If the two lie on different grids.
    """
    require_match(image.grid, labels.grid, "the label map")
    unit = voxel_size(labels.grid)[1]
    absent = {
        label: LabelStatistics(label, name, 0, 0.0, unit)
        for label, name in labels.names.items()
        if label != BACKGROUND
    }
    present = {
        label: _measured(image, labels, label, places) for label, places in _places(labels.array)
    }
    found = {**absent, **present}
    return tuple(found[label] for label in sorted(found))


def voxel_size(grid: Grid) -> tuple[float, str]:
    """Volume of a voxel in ml, in 2D the area of a pixel in cm2; and that unit."""
    size = float(np.prod(grid.spacing))
    return (size / 1000, "ml") if grid.ndim == 3 else (size / 100, "cm2")


def counted(array: NDArray) -> dict[int, int]:
    """Voxels of each whole number that occurs."""
    if array.dtype in (np.uint8, np.bool_):  # counting is faster than sorting
        counts = np.bincount(array.ravel(order="K"))
        return {int(value): int(counts[value]) for value in np.flatnonzero(counts)}
    values, several = np.unique(array, return_counts=True)
    return {int(value): int(n) for value, n in zip(values, several, strict=True)}


def _places(array: NDArray[np.integer]) -> Iterator[tuple[int, NDArray[np.intp]]]:
    """Each label that occurs, and the flat indices of its voxels; one pass for all of them."""
    flat = array.reshape(-1)
    inside = np.flatnonzero(flat != BACKGROUND)
    values = flat[inside]
    order = np.argsort(values, kind="stable")
    found, starts = np.unique(values[order], return_index=True)
    parts = np.split(inside[order], starts[1:])
    yield from zip(found.tolist(), parts, strict=False)  # split gives a part of nothing as well


def _measured(
    image: Image, labels: Labels, label: int, places: NDArray[np.intp]
) -> LabelStatistics:
    grid = labels.grid
    voxel, unit = voxel_size(grid)
    indices = np.unravel_index(places, grid.shape)
    low = tuple(int(axis.min()) for axis in indices)
    high = tuple(int(axis.max()) for axis in indices)
    low_mm, high_mm = _world_box(grid, low, high)
    values = [channel.reshape(-1)[places] for channel in image.array]
    return LabelStatistics(
        label,
        labels.names.get(label, ""),
        len(places),
        len(places) * voxel,
        unit,
        any(
            size > 1 and (first == 0 or last == size - 1)  # all of a single slice is at its faces
            for first, last, size in zip(low, high, grid.shape, strict=True)
        ),
        low,
        high,
        low_mm,
        high_mm,
        tuple(float(value.mean(dtype=np.float64)) for value in values),
        tuple(float(np.median(value)) for value in values),
    )


def _world_box(
    grid: Grid, low: tuple[int, ...], high: tuple[int, ...]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    ends = [(first - 0.5, last + 0.5) for first, last in zip(low, high, strict=True)]
    corners = np.array([(*corner, 1.0) for corner in product(*ends)]) @ grid.affine.T
    world = corners[:, :-1].round(4)
    return tuple(world.min(0).tolist()), tuple(world.max(0).tolist())
