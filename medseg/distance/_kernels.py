"""Loops of the distance transforms, compiled."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

# Columns that are copied out together: two cache lines of float64 of each row that they cross.
COLUMNS = 16
_compiled = numba.njit(nogil=True, cache=True)


@_compiled
def squared_along_rows(
    start: int, stop: int, targets: NDArray[np.uint8], step: float, out: NDArray[np.float64]
) -> None:
    """Squared distance to the nearest target of the same row, inf where it has none.

    `targets` and `out` are (rows, n); the rows from `start` to `stop` are done.
    """
    n = targets.shape[1]
    for row in range(start, stop):
        away = n
        for i in range(n):
            away = 0 if targets[row, i] else away + 1
            out[row, i] = np.inf if away >= n else (away * step) ** 2
        away = n
        for i in range(n - 1, -1, -1):
            away = 0 if targets[row, i] else away + 1
            if away < n:
                out[row, i] = min(out[row, i], (away * step) ** 2)


@_compiled
def squared_along_columns(start: int, stop: int, squared: NDArray[np.float64], step: float) -> None:
    """Take the columns into account too, in place: min over q of f(q) + (step (p - q))².

    `squared` is (blocks, n, inner), and its columns run along the second axis. They are
    counted in groups of `COLUMNS`, and the groups from `start` to `stop` are done. Of each
    column, the parabolas f(q) + (step (p - q))² that are lowest somewhere are found from left
    to right, with where each begins to be the lowest [P. F. Felzenszwalb, D. P. Huttenlocher,
    Distance transforms of sampled functions, Theory of Computing, 2012,
    doi:10.4086/toc.2012.v008a019].
    """
    _, n, inner = squared.shape
    groups = (inner + COLUMNS - 1) // COLUMNS
    weight = step * step
    column, lowest = np.empty((COLUMNS, n)), np.empty(n)
    vertex, begins = np.empty(n, np.int64), np.empty(n)
    halves = np.zeros(n)
    for k in range(1, n):
        halves[k] = 0.5 / (weight * k)
    for group in range(start, stop):
        block, first = group // groups, group % groups * COLUMNS
        width = min(COLUMNS, inner - first)
        for q in range(n):
            for c in range(width):
                column[c, q] = squared[block, q, first + c]
        for c in range(width):
            count = _lower_envelope(column[c], halves, vertex, begins)
            _read(column[c], lowest, weight, vertex[:count], begins)
        for q in range(n):
            for c in range(width):
                squared[block, q, first + c] = column[c, q]


@_compiled
def _lower_envelope(
    values: NDArray[np.float64],
    halves: NDArray[np.float64],
    vertex: NDArray[np.int64],
    begins: NDArray[np.float64],
) -> int:
    """How many parabolas are lowest somewhere; their vertices and beginnings go into the arrays."""
    n, count = len(values), 0
    for q in range(n):
        if values[q] == np.inf:
            continue
        begin = -np.inf
        while count:
            v = vertex[count - 1]
            begin = (values[q] - values[v]) * halves[q - v] + 0.5 * (q + v)
            if begin > begins[count - 1]:
                break
            count -= 1
            begin = -np.inf
        if begin < n - 1:
            vertex[count], begins[count] = q, begin
            count += 1
    return count


@_compiled
def _read(
    column: NDArray[np.float64],
    lowest: NDArray[np.float64],
    weight: float,
    vertex: NDArray[np.int64],
    begins: NDArray[np.float64],
) -> None:
    """Replace a column by its lower envelope; one of nothing but inf, without any, stays."""
    count = len(vertex)
    for k in range(count):
        lowest[k] = column[vertex[k]]
    k = 0
    for p in range(len(column) if count else 0):
        while k + 1 < count and begins[k + 1] < p:
            k += 1
        column[p] = lowest[k] + weight * (p - vertex[k]) ** 2


@_compiled
def relaxed(  # noqa: PLR0913 - numba takes no structures of arrays
    way: int,
    sweep: int,
    image: NDArray[np.float32],
    passable: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    lengths: NDArray[np.float64],
    weight: float,
    changed: NDArray[np.int64],
    distances: NDArray[np.float64],
) -> bool:
    """One sweep over all voxels, in the order of storage (1) or against it (-1).

    Returns whether anything changed.

    `image` is (C, i, j, k); `passable` and `distances`, which is changed, are (i, j, k).
    `offsets` (neighbours, 3) lead to voxels that the sweep has seen already, `lengths` are
    their squares in mm², `weight` that of a squared difference of intensity. `changed`
    (i + 2, j + 2), one row wider at each side, has the last sweep that changed each row: of
    changes before the last sweep, the one before it, which went this way, took notice.
    """
    planes, rows, columns = distances.shape
    anything = False
    for a in range(planes):
        i = a if way > 0 else planes - 1 - a
        for b in range(rows):
            j = b if way > 0 else rows - 1 - b
            if changed[i : i + 3, j : j + 3].max() < sweep - 1:
                continue
            for c in range(columns):
                k = c if way > 0 else columns - 1 - c
                if not passable[i, j, k]:
                    continue
                found = _nearer((i, j, k), image, offsets, lengths, weight, distances)
                if found < distances[i, j, k]:
                    distances[i, j, k] = found
                    changed[i + 1, j + 1] = sweep
                    anything = True
    return anything


@_compiled
def _nearer(
    voxel: tuple[int, int, int],
    image: NDArray[np.float32],
    offsets: NDArray[np.int64],
    lengths: NDArray[np.float64],
    weight: float,
    distances: NDArray[np.float64],
) -> float:
    """Distance of a voxel, by way of the best of its neighbours."""
    i, j, k = voxel
    planes, rows, columns = distances.shape
    best = distances[i, j, k]
    for n in range(len(offsets)):
        x, y, z = i + offsets[n, 0], j + offsets[n, 1], k + offsets[n, 2]
        if not (0 <= x < planes and 0 <= y < rows and 0 <= z < columns):
            continue
        there = distances[x, y, z]
        if there >= best:
            continue
        contrast = 0.0
        for c in range(len(image)):
            difference = np.float64(image[c, i, j, k]) - np.float64(image[c, x, y, z])
            contrast += difference * difference
        best = min(best, there + np.sqrt(lengths[n] + weight * contrast))
    return float(best)
