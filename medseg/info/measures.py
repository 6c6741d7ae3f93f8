"""How much there is of what."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from medseg.volume import Grid


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
