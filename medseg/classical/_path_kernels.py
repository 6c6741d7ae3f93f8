"""The front that carries labels along the cheapest paths, compiled."""

from __future__ import annotations

from typing import Any

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
# Counting who holds the arrays of a tuple, at each call, takes longer than all else.
_uncounted = numba.njit(nogil=True, cache=True, _nrt=False)


@_compiled
def carried(  # noqa: PLR0913 - numba takes no structures of arrays
    starts: NDArray[np.int64],
    image: NDArray[np.float32],
    passable: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    steps: NDArray[np.float64],
    width: float,
    adding: bool,  # noqa: FBT001
    costs: NDArray[np.float64],
    labels: NDArray[np.int32],
) -> int:
    """Lower `costs` and `labels` from the starts on; returns how often a voxel passed them on.

    `image` is (C, i, j, k); `passable`, `costs` and `labels` are (i, j, k), and `starts` are
    places in them, flat. `offsets` (neighbours, 3) lead to all neighbours; `steps` is what
    `_over` takes. Voxels wait in buckets of the `width` of their costs, which is a share of the
    cost where steps do not add. One whose cost or label is lowered waits again, even if it passed
    them on before: so the order inside a bucket does not matter.
    """
    planes, rows, columns = costs.shape
    jumps = (offsets[:, 0] * rows + offsets[:, 1]) * columns + offsets[:, 2]
    fields = (image.reshape(len(image), -1), passable.ravel(), costs.ravel(), labels.ravel())
    flat = fields[2]
    heads, bucket_of = np.zeros(BUCKETS + 1, np.int64), np.full(costs.size, np.int32(NOWHERE))
    voxel, after = empty_slots(4 * len(starts) + 1024)
    begin = np.inf
    for v in starts:
        begin = min(begin, flat[v])
        put(v, 0, heads, bucket_of, voxel, after)  # for these there are slots enough
    bucket, passed = 0, 0
    span = width if adding else width * begin
    while True:
        if bucket == BUCKETS:
            if heads[BUCKETS] == 0:
                return passed
            begin = earliest_late(flat, heads, bucket_of, voxel, after)
            span = width if adding else width * begin
            sort_late(flat, begin, span, heads, bucket_of, voxel, after)
            bucket = 0
        v = take(bucket, heads, bucket_of, voxel, after)
        if v == NOWHERE:
            bucket += 1
            continue
        passed += 1
        i, j, k = v // (rows * columns), v // columns % rows, v % columns
        all_there = 0 < i < planes - 1 and 0 < j < rows - 1 and 0 < k < columns - 1
        for n in range(len(jumps)):
            if not (all_there or _exists((i, j, k), offsets[n], costs.shape)):
                continue
            u = v + jumps[n]
            if _lowered(v, u, steps[n], adding, fields):
                to = max(bucket, int(min((flat[u] - begin) / span, np.float64(BUCKETS))))
                if bucket_of[u] != to and not put(u, to, heads, bucket_of, voxel, after):
                    voxel, after = doubled(voxel, after)


@_uncounted
def _exists(place: tuple[int, ...], offset: NDArray[np.int64], shape: tuple[int, ...]) -> bool:
    """Whether there is a voxel at so many steps from a place."""
    i, j, k = place[0] + offset[0], place[1] + offset[1], place[2] + offset[2]
    return bool(0 <= i < shape[0] and 0 <= j < shape[1] and 0 <= k < shape[2])


@_uncounted
def _lowered(v: int, u: int, step: float, adding: bool, fields: Any) -> bool:  # noqa: FBT001
    """Let a voxel have what its neighbour v can pass on; whether that is better."""
    image, passable, costs, labels = fields
    if not passable[u] or costs[u] <= costs[v]:  # every step costs something
        return False
    contrast = 0.0
    for c in range(len(image)):
        difference = np.float64(image[c, v]) - np.float64(image[c, u])
        contrast += difference * difference
    cost = _over(costs[v], contrast, step, adding)
    if cost < costs[u] or (cost == costs[u] and cost < np.inf and labels[v] < labels[u]):
        costs[u], labels[u] = cost, labels[v]
        return True
    return False


@_uncounted
def _over(there: float, contrast: float, step: float, adding: bool) -> float:  # noqa: FBT001
    """Cost of a path that goes on by a step, over a squared contrast."""
    if adding:
        return float(there + np.sqrt(step + contrast))
    left = (1 - np.sqrt(contrast)) * step
    return there / left if left > 0 else np.inf
