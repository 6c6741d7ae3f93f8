"""Loops of the multigrid for diffusion on a grid, compiled.

Volumes are (maps, i, j, k). `ties` (3, i, j, k) join each voxel with the next one along an axis
and are 0 at the end of the axis, so that what index -1 wraps around to counts for nothing.
Inner loops are split so that each writes one row and reads few: then they become vector code.
Each kernel does the planes from `start` to `stop` of every map, and sums of a plane are always
added up in the same order, so that the number of threads changes nothing.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

_compiled = numba.njit(nogil=True, cache=True)
_compiled_sum = numba.njit(nogil=True, cache=True, fastmath={"reassoc", "contract"})


@_compiled
def inflow(  # noqa: PLR0913 - numba takes no structures of arrays
    start: int,
    stop: int,
    ties: NDArray[np.float32],
    sinks: NDArray[np.float32],
    values: NDArray[np.floating],
    out: NDArray[np.floating],
    products: NDArray[np.float64],
) -> None:
    """What comes over the ties less what goes into the sinks, and its products with the values.

    `products` (maps, i) is the sum over each plane.
    """
    maps, planes, rows, columns = values.shape
    for i in range(start, stop):
        after_i = min(i + 1, planes - 1)
        for m in range(maps):
            product = 0.0
            for j in range(rows):
                after_j = min(j + 1, rows - 1)
                here, to, sink = values[m, i, j], out[m, i, j], sinks[i, j]
                for k in range(columns):
                    to[k] = -sink[k] * here[k]
                before, after = values[m, i - 1, j], values[m, after_i, j]
                _add_flow(ties[0, i - 1, j], before, ties[0, i, j], after, here, to)
                before, after = values[m, i, j - 1], values[m, i, after_j]
                _add_flow(ties[1, i, j - 1], before, ties[1, i, j], after, here, to)
                # Differences along the row, so that what flows is rounded and not what is there.
                along = ties[2, i, j]
                for k in range(1, columns - 1):
                    to[k] += along[k] * (here[k + 1] - here[k])
                    to[k] += along[k - 1] * (here[k - 1] - here[k])
                if columns > 1:
                    to[0] += along[0] * (here[1] - here[0])
                    to[-1] += along[-2] * (here[-2] - here[-1])
                product += _product(here, to)
            products[m, i] = product


@_compiled
def gathered_rest(  # noqa: PLR0913
    start: int,
    stop: int,
    ties: NDArray[np.float32],
    sources: NDArray[np.float32],
    values: NDArray[np.float32],
    kept: np.float32,
    factors: tuple[int, int, int],
    coarse: NDArray[np.float32],
) -> None:
    """What a sweep from nothing to `values` leaves of the sources, summed over blocks.

    Of its own source such a sweep leaves each voxel the share `kept`. `start` and `stop` count
    coarse planes.
    """
    maps, planes, rows, columns = values.shape
    rest = np.empty(columns, np.float32)
    for m in range(maps):
        for i in range(start * factors[0], min(stop * factors[0], planes)):
            for j in range(rows):
                source = sources[m, i, j]
                for k in range(columns):
                    rest[k] = kept * source[k]
                _add_neighbours(i, j, ties, values[m], rest)
                _add_blocks(rest, factors[2], coarse[m, i // factors[0], j // factors[1]])


@_compiled
def swept(  # noqa: PLR0913
    start: int,
    stop: int,
    ties: NDArray[np.float32],
    relaxation: NDArray[np.float32],
    sources: NDArray[np.float32],
    values: NDArray[np.float32],
    kept: np.float32,
    out: NDArray[np.float32],
    tolerance: np.float32,
    products: NDArray[np.float64],
    large: NDArray[np.int64],
) -> None:
    """Values after a Jacobi sweep, their products with the sources, and how many are large.

    Of its own value a sweep leaves each voxel the share `kept`. `products` and `large`, which
    counts what exceeds the tolerance, are (maps, i): the sums over each plane.
    """
    maps, _, rows, columns = values.shape
    for i in range(start, stop):
        for m in range(maps):
            product, count = 0.0, 0
            for j in range(rows):
                here, to = values[m, i, j], out[m, i, j]
                source, relax = sources[m, i, j], relaxation[i, j]
                for k in range(columns):
                    to[k] = source[k]
                _add_neighbours(i, j, ties, values[m], to)
                for k in range(columns):
                    to[k] = kept * here[k] + relax[k] * to[k]
                product += _product(source, to)
                for k in range(columns):
                    count += abs(to[k]) > tolerance
            products[m, i], large[m, i] = product, count


@_compiled
def stepped(  # noqa: PLR0913
    start: int,
    stop: int,
    lengths: NDArray[np.float32],
    direction: NDArray[np.float32],
    flown: NDArray[np.float32],
    relaxation: NDArray[np.float32],
    values: NDArray[np.float32],
    left: NDArray[np.float32],
    guess: NDArray[np.float32],
) -> None:
    """Go so far in the direction, and begin the next guess with a sweep from nothing."""
    maps, _, rows, columns = values.shape
    for i in range(start, stop):
        for m in range(maps):
            length = lengths[m]
            for j in range(rows):
                there, along, flow = values[m, i, j], direction[m, i, j], flown[m, i, j]
                for k in range(columns):
                    there[k] += length * along[k]
                rest, to, relax = left[m, i, j], guess[m, i, j], relaxation[i, j]
                for k in range(columns):
                    rest[k] += length * flow[k]
                for k in range(columns):
                    to[k] = relax[k] * rest[k]


@_compiled
def turned(
    start: int,
    stop: int,
    guess: NDArray[np.float32],
    shares: NDArray[np.float32],
    direction: NDArray[np.float32],
) -> None:
    """Keep a share of the direction, and add the guess."""
    for i in range(start, stop):
        for m in range(len(guess)):
            share = shares[m]
            for j in range(guess.shape[2]):
                row, to = guess[m, i, j], direction[m, i, j]
                for k in range(len(to)):
                    to[k] = row[k] + share * to[k]


@_compiled
def gathered(
    start: int,
    stop: int,
    fine: NDArray[np.float32],
    factors: tuple[int, int, int],
    coarse: NDArray[np.float32],
) -> None:
    """Sums over blocks of `factors` voxels; `start` and `stop` count coarse planes."""
    maps, planes, rows, _ = fine.shape
    for m in range(maps):
        for i in range(start * factors[0], min(stop * factors[0], planes)):
            for j in range(rows):
                to = coarse[m, i // factors[0], j // factors[1]]
                _add_blocks(fine[m, i, j], factors[2], to)


@_compiled
def spread(
    start: int,
    stop: int,
    coarse: NDArray[np.float32],
    factors: tuple[int, int, int],
    fine: NDArray[np.float32],
) -> None:
    """Add to each voxel the value of its block."""
    maps, _, rows, columns = fine.shape
    for m in range(maps):
        for i in range(start, stop):
            for j in range(rows):
                row, to = coarse[m, i // factors[0], j // factors[1]], fine[m, i, j]
                if factors[2] == 1:
                    for k in range(columns):
                        to[k] += row[k]
                else:
                    for k in range(columns // 2):
                        to[2 * k] += row[k]
                        to[2 * k + 1] += row[k]
                    if columns % 2:
                        to[columns - 1] += row[columns // 2]


@_compiled
def _add_flow(
    tie_before: NDArray[np.float32],
    before: NDArray[np.floating],
    tie_after: NDArray[np.float32],
    after: NDArray[np.floating],
    here: NDArray[np.floating],
    to: NDArray[np.floating],
) -> None:
    """Add what comes from the two neighbours along an axis."""
    for k in range(len(to)):
        to[k] += tie_after[k] * (after[k] - here[k]) + tie_before[k] * (before[k] - here[k])


@_compiled
def _add_neighbours(
    i: int,
    j: int,
    ties: NDArray[np.float32],
    values: NDArray[np.float32],
    to: NDArray[np.float32],
) -> None:
    """Add to a row the values of the six neighbours, as strongly as they are tied."""
    planes, rows, columns = values.shape
    here, along = values[i, j], ties[2, i, j]
    _add_two(
        ties[0, i - 1, j], values[i - 1, j], ties[0, i, j], values[min(i + 1, planes - 1), j], to
    )
    _add_two(
        ties[1, i, j - 1], values[i, j - 1], ties[1, i, j], values[i, min(j + 1, rows - 1)], to
    )
    for k in range(1, columns - 1):
        to[k] += along[k] * here[k + 1] + along[k - 1] * here[k - 1]
    if columns > 1:
        to[0] += along[0] * here[1]
        to[-1] += along[-2] * here[-2]


@_compiled
def _add_two(
    tie_before: NDArray[np.float32],
    before: NDArray[np.float32],
    tie_after: NDArray[np.float32],
    after: NDArray[np.float32],
    to: NDArray[np.float32],
) -> None:
    for k in range(len(to)):
        to[k] += tie_after[k] * after[k] + tie_before[k] * before[k]


@_compiled
def _add_blocks(row: NDArray[np.float32], factor: int, to: NDArray[np.float32]) -> None:
    """Add the sums of each `factor` voxels, 1 or 2."""
    if factor == 1:
        for k in range(len(row)):
            to[k] += row[k]
        return
    for k in range(len(row) // 2):
        to[k] += row[2 * k] + row[2 * k + 1]
    if len(row) % 2:
        to[len(row) // 2] += row[-1]


@_compiled_sum
def _product(one: NDArray[np.floating], two: NDArray[np.floating]) -> float:
    """Scalar product of two rows."""
    total = one[0] * 0
    for k in range(len(one)):
        total += one[k] * two[k]
    return float(total)
