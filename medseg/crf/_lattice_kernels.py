"""Loops of the permutohedral lattice, compiled."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

_compiled = numba.njit(nogil=True, cache=True)
# What no key is taken to be; a key is 64 bits of a random hash.
_FREE = np.int64(np.iinfo(np.int64).min)


@_compiled
def placed(
    start: int,
    stop: int,
    features: NDArray[np.float64],
    steps: NDArray[np.int64],
    keys: NDArray[np.int64],
    weights: NDArray[np.float32],
) -> None:
    """Corners of the simplex about each point, by their keys, and its barycentric coordinates.

    Of the points from `start` to `stop` of `features` (N, d); `keys` and `weights` are
    (N, d + 1), `steps` (d) what a step along each axis adds to a key.
    """
    d = features.shape[1]
    raised, nearest = np.empty(d + 1), np.empty(d + 1, np.int64)
    rank, share = np.empty(d + 1, np.int64), np.empty(d + 2)
    # In float64: float32 puts points that are nearly on a face into the wrong simplex.
    scale = np.array([np.sqrt(2 / 3) * (d + 1) / np.sqrt((j + 1) * (j + 2)) for j in range(d)])
    for n in range(start, stop):
        _raise(features[n] * scale, raised)
        _find_simplex(raised, nearest, rank)
        share[:] = 0
        for j in range(d + 1):
            part = (raised[j] - nearest[j]) / (d + 1)
            share[d - rank[j]] += part
            share[d + 1 - rank[j]] -= part
        share[0] += 1 + share[d + 1]
        for corner in range(d + 1):
            key = np.int64(0)
            for j in range(d):
                beyond = d + 1 if rank[j] > d - corner else 0
                key += (nearest[j] + corner - beyond) * steps[j]
            keys[n, corner] = key
            weights[n, corner] = share[corner]


@_compiled
def _raise(point: NDArray[np.float64], raised: NDArray[np.float64]) -> None:
    """Point (d) in the plane of d + 1 coordinates whose sum is 0."""
    total = 0.0
    for j in range(len(point), 0, -1):
        raised[j] = total - j * point[j - 1]
        total += point[j - 1]
    raised[0] = total


@_compiled
def _find_simplex(
    raised: NDArray[np.float64], nearest: NDArray[np.int64], rank: NDArray[np.int64]
) -> None:
    """Lattice point of remainder 0 near by, and the order of the coordinates' distances to it."""
    corners, excess = len(raised), np.int64(0)
    for j in range(corners):
        whole = np.int64(np.round(raised[j] / corners))
        nearest[j] = whole * corners
        excess += whole
    rank[:] = excess
    for j in range(corners):
        for k in range(j + 1, corners):
            if raised[j] - nearest[j] < raised[k] - nearest[k]:
                rank[j] += 1
            else:
                rank[k] += 1
    for j in range(corners):  # the sum of the coordinates has to be 0
        wrapped = 1 if rank[j] < 0 else -1 if rank[j] >= corners else 0
        rank[j] += wrapped * corners
        nearest[j] += wrapped * corners


@_compiled
def numbered(
    keys: NDArray[np.int64], table: NDArray[np.int64], of_slot: NDArray[np.int32]
) -> tuple[NDArray[np.int32], NDArray[np.int64], int]:
    """Number of each key in the order of their first appearance, and the keys in this order.

    `table` and `of_slot` become the hash table that `neighbour` reads; their length is a power
    of 2. The last result is how many keys there are, or -1 if the table is too small.
    """
    table[:] = _FREE
    most = len(table) // 2
    numbers, found = np.empty(len(keys), np.int32), np.empty(most, np.int64)
    count = 0
    for n in range(len(keys)):
        slot = _slot(keys[n], table)
        if table[slot] == _FREE:
            if count == most:
                return numbers, found, -1
            table[slot], of_slot[slot], found[count] = keys[n], count, keys[n]
            count += 1
        numbers[n] = of_slot[slot]
    return numbers, found[:count], count


@_compiled
def neighbour(
    keys: NDArray[np.int64], step: int, table: NDArray[np.int64], of_slot: NDArray[np.int32]
) -> NDArray[np.int32]:
    """Number of the key a step away from each; of none, how many keys there are."""
    found = np.empty(len(keys), np.int32)
    for m in range(len(keys)):
        slot = _slot(keys[m] + step, table)
        found[m] = len(keys) if table[slot] == _FREE else of_slot[slot]
    return found


@_compiled
def _slot(key: Any, table: NDArray[np.int64]) -> Any:
    """Where a key stands in the table, or the free place where it would."""
    last = len(table) - 1
    mixed = np.uint64(key) * np.uint64(0x9E3779B97F4A7C15)
    slot = np.int64(mixed >> np.uint64(20)) & last
    while table[slot] != _FREE and table[slot] != key:
        slot = (slot + 1) & last
    return slot


@_compiled
def by_number(
    numbers: NDArray[np.int32], weights: NDArray[np.float32], count: int
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]:
    """Points of each lattice point: where its stretch begins, the points, their weights."""
    begins = np.zeros(count + 1, np.int64)
    corners = numbers.shape[1]
    for n in range(numbers.size):
        begins[numbers.flat[n] + 1] += 1
    for m in range(count):
        begins[m + 1] += begins[m]
    free = begins[:-1].copy()
    points, shares = np.empty(numbers.size, np.int32), np.empty(numbers.size, np.float32)
    for n in range(len(numbers)):
        for corner in range(corners):
            m = numbers[n, corner]
            points[free[m]], shares[free[m]] = n, weights[n, corner]
            free[m] += 1
    return begins, points, shares


@_compiled
def splatted(
    start: int,
    stop: int,
    stretches: tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]],
    values: NDArray[np.float32],
    result: NDArray[np.float32],
) -> None:
    """Sums at the lattice points of what the points (N, C) give to them."""
    begins, points, shares = stretches
    for m in range(start, stop):
        for c in range(values.shape[1]):
            result[m, c] = 0
        for entry in range(begins[m], begins[m + 1]):
            n, share = points[entry], shares[entry]
            for c in range(values.shape[1]):
                result[m, c] += share * values[n, c]


@_compiled
def blurred(
    start: int,
    stop: int,
    neighbours: NDArray[np.int32],
    values: NDArray[np.float32],
    result: NDArray[np.float32],
) -> None:
    """Each lattice point (M + 1, C) and half of its two neighbours (2, M) along an axis."""
    for m in range(start, stop):
        one, two = neighbours[0, m], neighbours[1, m]
        for c in range(values.shape[1]):
            result[m, c] = values[m, c] + np.float32(0.5) * (values[one, c] + values[two, c])


@_compiled
def sliced(  # noqa: PLR0913 - numba takes no structures of arrays
    start: int,
    stop: int,
    numbers: NDArray[np.int32],
    weights: NDArray[np.float32],
    values: NDArray[np.float32],
    factor: float,
    result: NDArray[np.float32],
) -> None:
    """What the points take from their lattice points, times a factor."""
    for n in range(start, stop):
        for c in range(values.shape[1]):
            total = np.float32(0)
            for corner in range(numbers.shape[1]):
                total += weights[n, corner] * values[numbers[n, corner], c]
            result[n, c] = np.float32(factor) * total
