"""Loops of the watershed on the CPU, compiled.

Volumes are flat and have a border of one voxel around them that is closed, so that no neighbour
is ever beyond an end; `offsets` lead from a voxel to its neighbours.
"""

from __future__ import annotations

import heapq
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

# A voxel that is not flooded: the border, and what lies outside the mask.
CLOSED = -(2**31)
_DIGIT = 11  # bits that a pass of the radix sort looks at
_BUCKETS = 2**_DIGIT
# Multiplied by a power of 2, its upper six bits tell which one it was.
_DE_BRUIJN = np.uint64(0x03F79D71B4CB0A89)
_PLACES = np.zeros(64, np.int64)
for _bit in range(64):
    _PLACES[((0x03F79D71B4CB0A89 << _bit) % 2**64) >> 58] = _bit

_compiled = numba.njit(nogil=True, cache=True)


@_compiled
def sorted_by(voxels: NDArray, values: NDArray[np.uint32]) -> tuple[NDArray, NDArray[np.uint32]]:
    """Voxels in the order of their values, and these; of equal ones, the first comes first."""
    keys, source = values[voxels], voxels.copy()
    other_keys, target = np.empty_like(keys), np.empty_like(source)
    for shift in range(0, 32, _DIGIT):
        places = np.zeros(_BUCKETS + 1, np.int64)
        for key in keys:
            places[((key >> shift) & (_BUCKETS - 1)) + 1] += 1
        for bucket in range(_BUCKETS):
            places[bucket + 1] += places[bucket]
        for i in range(len(keys)):
            bucket = (keys[i] >> shift) & (_BUCKETS - 1)
            place = places[bucket]
            places[bucket] += 1
            other_keys[place], target[place] = keys[i], source[i]
        keys, other_keys = other_keys, keys
        source, target = target, source
    return source, keys


@_compiled
def flood(
    order: NDArray, keys: NDArray[np.uint32], labels: NDArray[np.int32], offsets: NDArray[np.int64]
) -> None:
    """Flood from the labels, which are not 0: always the lowest voxel that the water touches.

    `order` has the open voxels from the lowest to the highest, `keys` how high they are. What
    waits is a bit for each place in that order, and above it a bit for each 64 of these that
    has any, and so on, so that the lowest is found in as many steps as there are levels. A
    plateau is flooded from where the water comes in, one layer after the other.
    """
    rank = np.zeros(len(labels), order.dtype)
    starts, words = _levels(len(order))
    for r in range(len(order)):
        rank[order[r]] = r
        if labels[order[r]] != 0:
            _wait(r, starts, words)
    layer = np.empty(len(order), order.dtype)  # of the plateau: what comes next
    count, first, end = 0, 0, 0  # ranks of the plateau that the water has reached
    while count or words[starts[-1]]:
        r = _lowest(starts, words) if words[starts[-1]] else len(order)
        if r >= end and count:
            for i in range(count):
                _wait(layer[i], starts, words)
            count = 0
            continue
        if r >= end:
            first, end = _plateau(r, keys)
        _leave(r, starts, words)
        for offset in offsets:
            u = order[r] + offset
            if labels[u] != 0:
                continue
            labels[u] = labels[order[r]]
            if first <= rank[u] < end:
                layer[count] = rank[u]
                count += 1
            else:
                _wait(rank[u], starts, words)


@_compiled
def compact_flood(
    heights: NDArray[np.float32],
    labels: NDArray[np.int32],
    offsets: NDArray[np.int64],
    strides: NDArray[np.int64],
    spacing: NDArray[np.float64],
    weight: float,
) -> None:
    """Flood from the labels where the way back to the source makes a voxel higher.

    Its height grows by `weight` for each mm between it and the marked voxel from which the
    water came. `strides` are those of the three axes, in voxels.
    """
    # Typed by what it would hold.
    queue: list[Any] = [(np.float64(0), np.int64(0), np.int64(0), np.int64(0)) for _ in range(0)]
    best = np.full(len(labels), np.inf)
    flooded = np.zeros(len(labels), np.bool_)
    age = 0
    for v in range(len(labels)):
        if labels[v] != 0 and labels[v] != CLOSED:
            best[v] = heights[v]
            queue.append((np.float64(heights[v]), np.int64(age), np.int64(v), np.int64(v)))
            age += 1
    heapq.heapify(queue)
    while len(queue):
        _, _, v, source = heapq.heappop(queue)
        if flooded[v]:
            continue
        flooded[v] = True
        labels[v] = labels[source]
        for offset in offsets:
            u = v + offset
            if labels[u] != 0 or flooded[u]:
                continue
            height = heights[u] + weight * _apart(u, source, strides, spacing)
            if height < best[u]:
                best[u] = height
                heapq.heappush(queue, (height, age, u, source))
                age += 1


@_compiled
def _apart(v: int, u: int, strides: NDArray[np.int64], spacing: NDArray[np.float64]) -> float:
    """Distance of two voxels in mm."""
    total = 0.0
    for axis in range(3):
        total += ((v // strides[axis] - u // strides[axis]) * spacing[axis]) ** 2
        v, u = v % strides[axis], u % strides[axis]
    return float(np.sqrt(total))


@_compiled
def _plateau(r: int, keys: NDArray[np.uint32]) -> tuple[int, int]:
    """First of, and first after, the ranks that are as high as `r`."""
    first, end = r, r + 1
    while first > 0 and keys[first - 1] == keys[r]:
        first -= 1
    while end < len(keys) and keys[end] == keys[r]:
        end += 1
    return first, end


@_compiled
def _levels(count: int) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """Where each level of bits begins, from the ranks upwards, and their words."""
    sizes = [np.int64(max(1, (count + 63) // 64))]
    while sizes[-1] > 1:
        sizes.append((sizes[-1] + 63) // 64)
    starts = np.zeros(len(sizes), np.int64)
    for level in range(1, len(sizes)):
        starts[level] = starts[level - 1] + sizes[level - 1]
    return starts, np.zeros(starts[-1] + sizes[-1], np.uint64)


@_compiled
def _wait(r: int, starts: NDArray[np.int64], words: NDArray[np.uint64]) -> None:
    for start in starts:
        before = words[start + (r >> 6)]
        words[start + (r >> 6)] = before | (np.uint64(1) << np.uint64(r & 63))
        if before:
            return
        r >>= 6


@_compiled
def _lowest(starts: NDArray[np.int64], words: NDArray[np.uint64]) -> int:
    r = 0
    for level in range(len(starts) - 1, -1, -1):
        word = words[starts[level] + r]
        lowest_bit = word & (~word + np.uint64(1))
        r = r * 64 + _PLACES[(lowest_bit * _DE_BRUIJN) >> np.uint64(58)]
    return r


@_compiled
def _leave(r: int, starts: NDArray[np.int64], words: NDArray[np.uint64]) -> None:
    for start in starts:
        words[start + (r >> 6)] &= ~(np.uint64(1) << np.uint64(r & 63))
        if words[start + (r >> 6)]:
            return
        r >>= 6
