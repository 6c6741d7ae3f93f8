"""Loops of fast marching on the CPU, compiled.

Volumes are flat, with three axes and a border of one voxel around them that no front reaches.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from medseg.classical._bucket_kernels import (
    BUCKETS,
    NOWHERE,
    doubled,
    earliest_late,
    empty_slots,
    put,
    sort_late,
    take,
)

_compiled = numba.njit(nogil=True, cache=True)


@_compiled
def march(  # noqa: PLR0913 - numba takes no structures of arrays
    times: NDArray[np.float64],
    speed: NDArray[np.float32],
    seeds: NDArray[np.int64],
    strides: NDArray[np.int64],
    spacing: NDArray[np.float64],
    width: float,
    stop: float,
) -> None:
    """Lower `times`, 0 at the seeds and inf elsewhere, to when the front comes, up to `stop`.

    Voxels wait in buckets of the `width` of their times. One that is reached earlier than was
    thought waits again, even if the front went on from it before: so the order inside a bucket
    does not matter.
    """
    heads = np.zeros(BUCKETS + 1, np.int64)
    bucket_of = np.full(len(times), np.int32(NOWHERE))
    voxel, after = empty_slots(4 * len(seeds) + 1024)
    for v in seeds:
        put(v, 0, heads, bucket_of, voxel, after)  # for these there are slots enough
    begin, bucket = 0.0, 0
    while True:
        if bucket == BUCKETS:
            if heads[BUCKETS] == 0:
                return
            begin = earliest_late(times, heads, bucket_of, voxel, after)
            sort_late(times, begin, width, heads, bucket_of, voxel, after)
            bucket = 0
        v = take(bucket, heads, bucket_of, voxel, after)
        if v == NOWHERE:
            bucket += 1
            continue
        for way in range(6):
            u = v + strides[way // 2] * (2 * (way % 2) - 1)
            if times[u] <= times[v] or speed[u] <= 0:
                continue
            time = _arrival(u, times, speed[u], strides, spacing)
            if time >= times[u] or time > stop:
                continue
            times[u] = time
            to = max(bucket, int(min((time - begin) / width, np.float64(BUCKETS))))
            if bucket_of[u] != to and not put(u, to, heads, bucket_of, voxel, after):
                voxel, after = doubled(voxel, after)


@_compiled
def _arrival(
    u: int,
    times: NDArray[np.float64],
    speed: float,
    strides: NDArray[np.int64],
    spacing: NDArray[np.float64],
) -> float:
    """When a front comes that has gone through the earlier neighbour along each axis."""
    a, b, c = (
        min(times[u - strides[0]], times[u + strides[0]]),
        min(times[u - strides[1]], times[u + strides[1]]),
        min(times[u - strides[2]], times[u + strides[2]]),
    )
    x, y, z = spacing[0], spacing[1], spacing[2]
    if b < a:
        a, b, x, y = b, a, y, x
    if c < b:
        b, c, y, z = c, b, z, y
        if b < a:
            a, b, x, y = b, a, y, x
    slowness = 1.0 / np.float64(speed)
    away = x * slowness
    if a + away <= b:
        return float(a + away)
    weights, sums, squares = 1 / (x * x), 0.0, -slowness * slowness
    for late, step in ((b - a, y), (c - a, z)):
        if late >= away:
            break
        weight = 1 / (step * step)
        weights += weight
        sums += weight * late
        squares += weight * late * late
        away = (sums + np.sqrt(max(sums * sums - weights * squares, 0.0))) / weights
    return float(a + away)


@_compiled
def origins(
    times: NDArray[np.float64], labels: NDArray[np.int32], strides: NDArray[np.int64]
) -> None:
    """Give each voxel that the front reached, in place, the label of where it came from.

    That is the earliest of its neighbours, and of equals the first in the order of storage;
    `labels` has those of the seeds, whose time is 0, and 0 elsewhere.
    """
    chain = np.empty(len(times), strides.dtype)
    for v in range(len(times)):
        if labels[v] != 0 or times[v] == np.inf:
            continue
        u, count = v, 0
        while labels[u] == 0:
            chain[count] = u
            count += 1
            u = _earliest(u, times, strides)
        for i in range(count):
            labels[chain[i]] = labels[u]


@_compiled
def _earliest(u: int, times: NDArray[np.float64], strides: NDArray[np.int64]) -> int:
    best = u
    for stride in (-strides[0], -strides[1], -strides[2], strides[2], strides[1], strides[0]):
        if times[u + stride] < times[best]:
            best = u + stride
    return int(best)
