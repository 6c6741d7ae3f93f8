"""Loops of region growing on the CPU, compiled."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

_compiled = numba.njit(nogil=True, cache=True)


@_compiled
def spread(
    image: NDArray[np.float32],
    rule: Any,
    mask: NDArray[np.uint8],
    labels: NDArray[np.int32],
    queue: NDArray[np.int64],
    count: int,
) -> int:
    """Carry the labels of the first `count` voxels of the queue on, layer by layer.

    `image` is (C, i, j, k), `labels` (i, j, k) is changed, and so is the queue, which has room
    for all voxels and gets those that join. `mask` is (i, j, k), or of size 0 if there is none.
    Returns how many voxels the queue has then.
    """
    planes, rows, columns = labels.shape
    done = 0
    while done < count:
        place = queue[done]
        done += 1
        k = place % columns
        j = place // columns % rows
        i = place // (columns * rows)
        for way in range(6):
            step = 1 if way % 2 else -1
            x = i + step if way // 2 == 0 else i
            y = j + step if way // 2 == 1 else j
            z = k + step if way // 2 == 2 else k
            if not (0 <= x < planes and 0 <= y < rows and 0 <= z < columns):
                continue
            if labels[x, y, z] != 0 or not _joins(image, rule, mask, (x, y, z)):
                continue
            labels[x, y, z] = labels[i, j, k]
            queue[count] = (x * rows + y) * columns + z
            count += 1
    return count


@_compiled
def _joins(
    image: NDArray[np.float32], rule: Any, mask: NDArray[np.uint8], place: tuple[int, int, int]
) -> bool:
    """Whether a voxel, and the box about it, keeps the rule; what is outside plays no part."""
    i, j, k = place
    if mask.size and not mask[i, j, k]:
        return False
    if len(rule.mean):
        return bool(_away(image, rule, place) <= rule.limit)
    _, planes, rows, columns = image.shape
    for x in range(max(0, i - rule.reach[0]), min(planes, i + rule.reach[0] + 1)):
        for y in range(max(0, j - rule.reach[1]), min(rows, j + rule.reach[1] + 1)):
            for z in range(max(0, k - rule.reach[2]), min(columns, k + rule.reach[2] + 1)):
                if mask.size and not mask[x, y, z]:
                    continue
                if not rule.low <= image[0, x, y, z] <= rule.high:
                    return False
    return True


@_compiled
def _away(image: NDArray[np.float32], rule: Any, place: tuple[int, int, int]) -> float:
    """Squared distance of a voxel from the mean, in deviations along the axes of the rule."""
    i, j, k = place
    total = 0.0
    for axis in range(len(rule.axes)):
        along = 0.0
        for c in range(len(rule.mean)):
            along += rule.axes[axis, c] * (np.float64(image[c, i, j, k]) - rule.mean[c])
        total += along * along
    return total
