"""Loops that carry labels along the cheapest paths, compiled."""

from __future__ import annotations

from typing import Any

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
    # Places in flat arrays, so that next to no neighbour has to be looked for.
    jumps = (offsets[:, 0] * rows + offsets[:, 1]) * columns + offsets[:, 2]
    fields = (image.reshape(len(image), -1), costs, costs.ravel(), labels.ravel())
    neighbours = (offsets, jumps, steps)
    for a in range(planes):
        i = a if way > 0 else planes - 1 - a
        for b in range(rows):
            j = b if way > 0 else rows - 1 - b
            if changed[i : i + 3, j : j + 3].max() < sweep - 1:
                continue
            inner = 0 < i < planes - 1 and 0 < j < rows - 1
            for c in range(columns):
                k = c if way > 0 else columns - 1 - c
                if not passable[i, j, k]:
                    continue
                all_there = inner and 0 < k < columns - 1
                best, label = _best((i, j, k), all_there, fields, neighbours, adding)
                if best < costs[i, j, k] or label < labels[i, j, k]:
                    costs[i, j, k], labels[i, j, k] = best, label
                    changed[i + 1, j + 1] = sweep
                    anything = True
    return anything


@_compiled
def _best(
    voxel: tuple[int, int, int],
    all_there: bool,  # noqa: FBT001
    fields: Any,
    neighbours: Any,
    adding: bool,  # noqa: FBT001
) -> tuple[float, int]:
    """Least cost of a voxel by way of its neighbours, or what it has, and its lowest label."""
    image, grid, costs, labels = fields
    offsets, jumps, steps = neighbours
    i, j, k = voxel
    planes, rows, columns = grid.shape
    place = (i * rows + j) * columns + k
    best, label = costs[place], labels[place]
    for n in range(len(jumps)):
        if not all_there:
            x, y, z = i + offsets[n, 0], j + offsets[n, 1], k + offsets[n, 2]
            if not (0 <= x < planes and 0 <= y < rows and 0 <= z < columns):
                continue
        other = place + jumps[n]
        there = costs[other]
        if there >= best:  # every step costs something
            continue
        contrast = 0.0
        for c in range(len(image)):
            difference = np.float64(image[c, place]) - np.float64(image[c, other])
            contrast += difference * difference
        cost = _over(there, contrast, steps[n], adding)
        if cost < best or (cost == best and labels[other] < label):
            best, label = cost, labels[other]
    return best, label


@_compiled
def _over(there: float, contrast: float, step: float, adding: bool) -> float:  # noqa: FBT001
    """Cost of a path that goes on by a step, over a squared contrast."""
    if adding:
        return float(there + np.sqrt(step + contrast))
    left = (1 - np.sqrt(contrast)) * step
    return there / left if left > 0 else np.inf
