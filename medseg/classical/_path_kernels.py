"""Loops that carry labels along the cheapest paths, compiled."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

_compiled = numba.njit(nogil=True, cache=True)


@_compiled
def relaxed(  # noqa: PLR0913 - numba takes no structures of arrays
    way: int,
    sweep: int,
    image: NDArray[np.float32],
    passable: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    steps: NDArray[np.float64],
    adding: bool,  # noqa: FBT001
    changed: NDArray[np.int64],
    costs: NDArray[np.float64],
    labels: NDArray[np.int32],
) -> bool:
    """One sweep over all voxels, in the order of storage (1) or against it (-1).

    Returns whether anything changed.

    `image` is (C, i, j, k); `passable`, `costs` and `labels`, which are changed, are (i, j, k).
    `offsets` (neighbours, 3) lead to voxels that the sweep has seen already; `steps` is what
    `_over` takes. `changed` (i + 2, j + 2), one row wider at each side, has the last sweep that
    changed each row: of changes before the last sweep, the one before it, which went this way,
    took notice.
    """
    planes, rows, columns = costs.shape
    anything = False
    for a in range(planes):
        i = a if way > 0 else planes - 1 - a
        for b in range(rows):
            j = b if way > 0 else rows - 1 - b
            if changed[i : i + 3, j : j + 3].max() < sweep - 1:
                continue
            for c in range(columns):
                k = c if way > 0 else columns - 1 - c
                if not passable[i, j, k]:
                    continue
                best, label = _best((i, j, k), image, offsets, steps, adding, costs, labels)
                if best < costs[i, j, k] or label < labels[i, j, k]:
                    costs[i, j, k], labels[i, j, k] = best, label
                    changed[i + 1, j + 1] = sweep
                    anything = True
    return anything


@_compiled
def _best(  # noqa: PLR0913 - numba takes no structures of arrays
    voxel: tuple[int, int, int],
    image: NDArray[np.float32],
    offsets: NDArray[np.int64],
    steps: NDArray[np.float64],
    adding: bool,  # noqa: FBT001
    costs: NDArray[np.float64],
    labels: NDArray[np.int32],
) -> tuple[float, int]:
    """Least cost of a voxel by way of its neighbours, or what it has, and its lowest label."""
    i, j, k = voxel
    planes, rows, columns = costs.shape
    best, label = costs[i, j, k], labels[i, j, k]
    for n in range(len(offsets)):
        x, y, z = i + offsets[n, 0], j + offsets[n, 1], k + offsets[n, 2]
        if not (0 <= x < planes and 0 <= y < rows and 0 <= z < columns):
            continue
        there = costs[x, y, z]
        if there >= best:  # every step costs something
            continue
        contrast = 0.0
        for c in range(len(image)):
            difference = np.float64(image[c, i, j, k]) - np.float64(image[c, x, y, z])
            contrast += difference * difference
        cost = _over(there, contrast, steps[n], adding)
        if cost < best or (cost == best and labels[x, y, z] < label):
            best, label = cost, labels[x, y, z]
    return best, label


@_compiled
def _over(there: float, contrast: float, step: float, adding: bool) -> float:  # noqa: FBT001
    """Cost of a path that goes on by a step, over a squared contrast."""
    if adding:
        return float(there + np.sqrt(step + contrast))
    left = (1 - np.sqrt(contrast)) * step
    return there / left if left > 0 else np.inf
