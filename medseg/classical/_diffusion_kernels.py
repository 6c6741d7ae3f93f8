"""Loops of the multigrid for diffusion on a grid, compiled.

Volumes are (maps, i, j, k). `ties` (3, i, j, k) join each voxel with the next one along an axis
and are 0 at the end of the axis, so that what index -1 wraps around to counts for nothing.
Inner loops are split so that each writes one row and reads few: then they become vector code.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

_compiled = numba.njit(nogil=True, cache=True)


@_compiled
def residual(  # noqa: PLR0913 - numba takes no structures of arrays
    start: int,
    stop: int,
    ties: NDArray[np.float32],
    sinks: NDArray[np.float32],
    values: NDArray[np.floating],
    sources: NDArray[np.floating] | None,
    out: NDArray[np.floating],
) -> None:
    """What is left of the sources, if any: sources - sinks * values - what flows off over the ties.

    The planes from `start` to `stop` of each map are done.
    """
    maps, planes, rows, columns = values.shape
    for i in range(start, stop):
        after_i = min(i + 1, planes - 1)
        for j in range(rows):
            after_j = min(j + 1, rows - 1)
            sink = sinks[i, j]
            for m in range(maps):
                here, to = values[m, i, j], out[m, i, j]
                for k in range(columns):
                    to[k] = -sink[k] * here[k]
                if sources is not None:
                    to += sources[m, i, j]
                _flow(ties[0, i, j], values[m, after_i, j], here, to)
                _flow(ties[0, i - 1, j], values[m, i - 1, j], here, to)
                _flow(ties[1, i, j], values[m, i, after_j], here, to)
                _flow(ties[1, i, j - 1], values[m, i, j - 1], here, to)
                along = ties[2, i, j]
                _flow(along[:-1], here[1:], here[:-1], to[:-1])
                _flow(along[:-1], here[:-1], here[1:], to[1:])


@_compiled
def _flow(
    tie: NDArray[np.float32],
    there: NDArray[np.floating],
    here: NDArray[np.floating],
    to: NDArray[np.floating],
) -> None:
    """Add what comes from there."""
    for k in range(len(to)):
        to[k] += tie[k] * (there[k] - here[k])


@_compiled
def gathered(
    start: int,
    stop: int,
    fine: NDArray[np.float32],
    factors: tuple[int, int, int],
    coarse: NDArray[np.float32],
) -> None:
    """Sums over blocks of `factors` voxels; the coarse planes from `start` to `stop`."""
    maps, planes, rows, columns = fine.shape
    for m in range(maps):
        for i in range(start * factors[0], min(stop * factors[0], planes)):
            for j in range(rows):
                row, to = fine[m, i, j], coarse[m, i // factors[0], j // factors[1]]
                if factors[2] == 1:
                    for k in range(columns):
                        to[k] += row[k]
                else:
                    for k in range(columns // 2):
                        to[k] += row[2 * k] + row[2 * k + 1]
                    if columns % 2:
                        to[columns // 2] += row[columns - 1]


@_compiled
def spread(
    start: int,
    stop: int,
    coarse: NDArray[np.float32],
    factors: tuple[int, int, int],
    fine: NDArray[np.float32],
) -> None:
    """Add to each voxel the value of its block; the fine planes from `start` to `stop`."""
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
