"""Loops of a diffusion over all voxels of a grid, compiled.

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
# Numbers are finite here, so that a largest one is found in vectors too.
_compiled_sum = numba.njit(nogil=True, cache=True, fastmath={"reassoc", "contract", "nnan", "nsz"})


@_compiled
def inflow(
    start: int,
    stop: int,
    ties: NDArray[np.float32],
    values: NDArray[np.float64],
    out: NDArray[np.float64],
    products: NDArray[np.float64],
) -> None:
    """What comes over the ties less what leaves, and its products with the values.

    `products` (maps, i) is the sum over each plane.
    """
    maps, planes, rows, columns = values.shape
    for i in range(start, stop):
        after_i = min(i + 1, planes - 1)
        for m in range(maps):
            product = 0.0
            for j in range(rows):
                after_j = min(j + 1, rows - 1)
                here, to = values[m, i, j], out[m, i, j]
                to[:] = 0
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
def rest(  # noqa: PLR0913 - numba takes no structures of arrays
    start: int,
    stop: int,
    ties: NDArray[np.float32],
    sources: NDArray[np.float64],
    values: NDArray[np.float64],
    kept: float,
    out: NDArray[np.float64],
) -> None:
    """What a sweep from nothing to `values` leaves of the sources.

    Of its own source such a sweep leaves each voxel the share `kept`.
    """
    maps, _, rows, columns = values.shape
    for i in range(start, stop):
        for m in range(maps):
            for j in range(rows):
                source, to = sources[m, i, j], out[m, i, j]
                for k in range(columns):
                    to[k] = kept * source[k]
                _add_neighbours(i, j, ties, values[m], to)


@_compiled
def swept(  # noqa: PLR0913
    start: int,
    stop: int,
    ties: NDArray[np.float32],
    relaxation: NDArray[np.float64],
    sources: NDArray[np.float64],
    values: NDArray[np.float64],
    kept: float,
    out: NDArray[np.float64],
    products: NDArray[np.float64],
    largest: NDArray[np.float64],
) -> None:
    """Values after a Jacobi sweep, their products with the sources, and the largest of them.

    Of its own value a sweep leaves each voxel the share `kept`. `products` and `largest`, of
    magnitudes, are (maps, i): of each plane.
    """
    maps, _, rows, columns = values.shape
    for i in range(start, stop):
        for m in range(maps):
            product, most = 0.0, 0.0
            for j in range(rows):
                here, to = values[m, i, j], out[m, i, j]
                source, relax = sources[m, i, j], relaxation[i, j]
                for k in range(columns):
                    to[k] = source[k]
                _add_neighbours(i, j, ties, values[m], to)
                for k in range(columns):
                    to[k] = kept * here[k] + relax[k] * to[k]
                product += _product(source, to)
                most = max(most, _largest(to))
            products[m, i], largest[m, i] = product, most


@_compiled
def stepped(  # noqa: PLR0913
    start: int,
    stop: int,
    lengths: NDArray[np.float64],
    direction: NDArray[np.float64],
    flown: NDArray[np.float64],
    relaxation: NDArray[np.float64],
    values: NDArray[np.float32],
    left: NDArray[np.float64],
    guess: NDArray[np.float64],
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
    guess: NDArray[np.float64],
    shares: NDArray[np.float64],
    direction: NDArray[np.float64],
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
def _add_flow(
    tie_before: NDArray[np.float32],
    before: NDArray[np.float64],
    tie_after: NDArray[np.float32],
    after: NDArray[np.float64],
    here: NDArray[np.float64],
    to: NDArray[np.float64],
) -> None:
    """Add what comes from the two neighbours along an axis."""
    for k in range(len(to)):
        to[k] += tie_after[k] * (after[k] - here[k]) + tie_before[k] * (before[k] - here[k])


@_compiled
def _add_neighbours(
    i: int,
    j: int,
    ties: NDArray[np.float32],
    values: NDArray[np.float64],
    to: NDArray[np.float64],
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
    before: NDArray[np.float64],
    tie_after: NDArray[np.float32],
    after: NDArray[np.float64],
    to: NDArray[np.float64],
) -> None:
    for k in range(len(to)):
        to[k] += tie_after[k] * after[k] + tie_before[k] * before[k]


@_compiled_sum
def _product(one: NDArray[np.float64], two: NDArray[np.float64]) -> float:
    """Scalar product of two rows."""
    total = one[0] * 0
    for k in range(len(one)):
        total += one[k] * two[k]
    return float(total)


@_compiled_sum
def _largest(row: NDArray[np.float64]) -> float:
    """Largest magnitude of a row."""
    most = 0.0
    for k in range(len(row)):
        size = abs(row[k])
        most = size if size > most else most
    return most
