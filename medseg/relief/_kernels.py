"""Loops of the grey reconstruction, compiled."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

_compiled = numba.njit(nogil=True, cache=True)


@_compiled
def reconstructed(
    values: NDArray[np.float32], ceiling: NDArray[np.float32], offsets: NDArray[np.int64]
) -> None:
    """Raise `values`, in place, to what reaches them from neighbours below the ceiling.

    Both are flat, with a border of one voxel around the volume at which the ceiling is -inf;
    `offsets` lead from a voxel to the neighbours that come before it. Two sweeps do most, and a
    queue the rest [L. Vincent, Morphological grayscale reconstruction in image analysis, IEEE
    Trans. Image Process., 1993, doi:10.1109/83.217222].
    """
    n = len(values)
    waits = np.zeros(n, np.bool_)
    queue = np.empty(n, np.int64)
    count = 0
    for v in range(n):
        if ceiling[v] > -np.inf:
            for offset in offsets:
                values[v] = max(values[v], min(values[v + offset], ceiling[v]))
    for v in range(n - 1, -1, -1):
        if ceiling[v] == -np.inf:
            continue
        for offset in offsets:
            values[v] = max(values[v], min(values[v - offset], ceiling[v]))
        for offset in offsets:
            u = v - offset
            if values[u] < values[v] and values[u] < ceiling[u]:
                queue[count] = v
                waits[v] = True
                count += 1
                break
    _carried_on(values, ceiling, offsets, queue, waits, count)


@_compiled
def _carried_on(
    values: NDArray[np.float32],
    ceiling: NDArray[np.float32],
    offsets: NDArray[np.int64],
    queue: NDArray[np.int64],
    waits: NDArray[np.bool_],
    count: int,
) -> None:
    """Take voxels from a ring that can hold all of them, and raise their neighbours."""
    n, first = len(values), 0
    while count:
        v = queue[first]
        first = (first + 1) % n
        count -= 1
        waits[v] = False
        for offset in offsets:
            for u in (v - offset, v + offset):
                reached = min(values[v], ceiling[u])
                if reached > values[u]:
                    values[u] = reached
                    if not waits[u]:
                        queue[(first + count) % n] = u
                        waits[u] = True
                        count += 1
