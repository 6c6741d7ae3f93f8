"""A queue of voxels in buckets of their costs, compiled.

A bucket is a chain of slots, each with a `voxel` and the slot `after` it; slot 0 of `after` leads
to those that are free, those of the buckets begin in `heads`, and 0 ends a chain. `bucket_of` says
where a voxel waits; in other buckets it does not count any more. Beyond the last bucket there is
one for all that comes later; it is sorted into buckets when its turn comes.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

BUCKETS = 2**15
NOWHERE = -1
_compiled = numba.njit(nogil=True, cache=True)
# Where nothing is allocated, numba need not count at each call who holds the arrays.
_uncounted = numba.njit(nogil=True, cache=True, _nrt=False)


@_compiled
def empty_slots(count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """So many slots (`voxel`, `after`), all of them free."""
    voxel, after = np.zeros(count, np.int64), np.arange(1, count + 1)
    after[-1] = 0
    return voxel, after


@_compiled
def doubled(
    voxel: NDArray[np.int64], after: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Twice as many slots as these, none of which is free."""
    slots = len(after)
    voxel = np.concatenate((voxel, np.zeros(slots, np.int64)))
    after = np.concatenate((after, np.arange(slots + 1, 2 * slots + 1)))
    after[0], after[-1] = slots, 0
    return voxel, after


@_uncounted
def put(
    v: int,
    bucket: int,
    heads: NDArray[np.int64],
    bucket_of: NDArray[np.int32],
    voxel: NDArray[np.int64],
    after: NDArray[np.int64],
) -> bool:
    """Let a voxel wait in a bucket; whether there is a free slot left for the next."""
    slot = after[0]
    after[0] = after[slot]
    voxel[slot], after[slot], heads[bucket] = v, heads[bucket], slot
    bucket_of[v] = bucket
    return bool(after[0] != 0)


@_uncounted
def take(
    bucket: int,
    heads: NDArray[np.int64],
    bucket_of: NDArray[np.int32],
    voxel: NDArray[np.int64],
    after: NDArray[np.int64],
) -> int:
    """Take a voxel out of a bucket, with those that wait elsewhere by now; -1 if it is empty."""
    while heads[bucket]:
        slot = heads[bucket]
        v = int(voxel[slot])
        heads[bucket], after[slot], after[0] = after[slot], after[0], slot
        if bucket_of[v] == bucket:
            bucket_of[v] = NOWHERE
            return v
    return NOWHERE


@_uncounted
def earliest_late(
    costs: NDArray[np.float64],
    heads: NDArray[np.int64],
    bucket_of: NDArray[np.int32],
    voxel: NDArray[np.int64],
    after: NDArray[np.int64],
) -> float:
    """Least cost in the bucket beyond the last."""
    begin: float = np.inf
    slot = heads[BUCKETS]
    while slot:
        if bucket_of[voxel[slot]] == BUCKETS:
            begin = min(begin, float(costs[voxel[slot]]))
        slot = after[slot]
    return begin


@_uncounted
def sort_late(  # noqa: PLR0913 - numba takes no structures of arrays
    costs: NDArray[np.float64],
    begin: float,
    width: float,
    heads: NDArray[np.int64],
    bucket_of: NDArray[np.int32],
    voxel: NDArray[np.int64],
    after: NDArray[np.int64],
) -> None:
    """Sort the bucket beyond the last into buckets that begin at that cost."""
    slot = heads[BUCKETS]
    heads[BUCKETS] = 0
    while slot:
        v, follows = voxel[slot], after[slot]
        if bucket_of[v] == BUCKETS:
            to = int(min((costs[v] - begin) / width, np.float64(BUCKETS)))
            bucket_of[v] = to
            after[slot], heads[to] = heads[to], slot
        else:
            after[slot], after[0] = after[0], slot
        slot = follows
