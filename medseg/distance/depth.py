"""The middle of a structure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from medseg.distance.euclidean import distance_to


def deepest(
    structure: NDArray[np.bool_], spacing: tuple[float, ...]
) -> tuple[tuple[int, ...], float]:
    """Index of the voxel of a structure that is farthest from what is not of it, and how far.

    Parameters
    ----------
    structure : (...) bool array
        Not empty. What lies beyond the array is not of it, but along axes of length 1, which
        count for nothing.
    spacing : tuple of float, mm

    Returns
    -------
    tuple of int, float
        Of equally deep voxels, the first as they are stored; its depth in mm.
    """
    margins = [(1, 1) if size > 1 else (0, 0) for size in structure.shape]
    beyond = np.pad(~structure, margins, constant_values=True)
    inside = tuple(
        slice(before, before + size)
        for (before, _), size in zip(margins, structure.shape, strict=True)
    )
    depth = distance_to(beyond, spacing)[inside]
    place = np.unravel_index(int(depth.argmax()), structure.shape)
    return tuple(int(index) for index in place), float(depth[place])
