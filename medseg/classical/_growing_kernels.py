"""Loops of region growing on the CPU, compiled."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

_compiled = numba.njit(nogil=True, cache=True)


@_compiled
def spread(
    free: NDArray[np.uint8], labels: NDArray[np.int32], queue: NDArray[np.int64], count: int
) -> int:
    """Carry the labels of the first `count` voxels of the queue on, layer by layer.

    `free` says who may join; it and `labels`, which is changed, are (i, j, k). The queue has
    room for all voxels and gets those that join. Returns how many it has then.
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
            if free[x, y, z] and labels[x, y, z] == 0:
                labels[x, y, z] = labels[i, j, k]
                queue[count] = (x * rows + y) * columns + z
                count += 1
    return count


@_compiled
def fill(
    free: NDArray[np.uint8], columns: int, rows: int, queue: NDArray[np.int64], count: int
) -> int:
    """Reach all that is free from the first `count` voxels of the queue, by whole lines.

    `free` is flat, with the lines of a volume one after the other, and becomes 0 where it is
    reached; the queue has room for all voxels, and gets those that are, in no order that means
    anything. Returns how many they are.
    """
    waiting = np.empty(max(count, 1024), np.int64)
    waiting[:count] = queue[:count]
    free[queue[:count]] = 1
    left, count = count, 0
    plane, end = rows * columns, len(free)
    while left:
        left -= 1
        place = waiting[left]
        if not free[place]:
            continue
        line = place // columns * columns
        first, after = _run(place, line, line + columns, free)
        for v in range(first, after):
            free[v] = 0
            queue[count] = v
            count += 1
        row = line // columns % rows
        while left + 4 * columns > len(waiting):
            waiting = np.concatenate((waiting, np.empty_like(waiting)))
        for way in range(4):
            step = columns if way // 2 else plane
            step = -step if way % 2 else step
            to_row = row + way // 2 * (-1 if way % 2 else 1)
            if not (0 <= to_row < rows and 0 <= line + step < end):
                continue
            before = False
            for v in range(first + step, after + step):
                if free[v] and not before:
                    waiting[left] = v
                    left += 1
                before = free[v] != 0
    return count


@_compiled
def _run(place: int, line: int, end: int, free: NDArray[np.uint8]) -> tuple[int, int]:
    """First of, and first behind, the free voxels about a place of a line."""
    first, after = place, place
    while first > line and free[first - 1]:
        first -= 1
    while after < end and free[after]:
        after += 1
    return first, after
