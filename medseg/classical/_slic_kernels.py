"""Loops of SLIC, compiled."""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

_compiled = numba.njit(nogil=True, cache=True)


@_compiled
def assign(
    block: tuple[int, int],
    levels: NDArray[np.float32],
    centres: NDArray[np.float32],
    scales: NDArray[np.float32],
    reach: NDArray[np.float32],
    out: tuple[NDArray[np.int32], NDArray[np.float32]],
) -> None:
    """Nearest centre within reach of each voxel, from plane to plane; of equals, the first.

    `levels` is (C, i, j, k), `centres` (n, C + 3): levels, then places. `out` has the labels,
    which stay where no centre is within reach, and room for distances, both (i, j, k).
    """
    channels, _, rows, n = levels.shape
    out[1][block[0] : block[1]] = np.inf
    places = np.arange(n).astype(np.float32)
    across = np.empty(n, np.float32)
    for label in range(len(centres)):
        middle = centres[label, channels:]
        along_i = _span(middle[0], reach[0], block[0], block[1])
        along_j = _span(middle[1], reach[1], 0, rows)
        along_k = _span(middle[2], reach[2], 0, n)
        for k in range(along_k[0], along_k[1]):
            step = (places[k] - middle[2]) * scales[channels + 2]
            across[k] = step * step
        for i in range(along_i[0], along_i[1]):
            down = (np.float32(i) - middle[0]) * scales[channels]
            for j in range(along_j[0], along_j[1]):
                along = (np.float32(j) - middle[1]) * scales[channels + 1]
                row = i, j, along_k[0], along_k[1]
                near = down * down + along * along, across
                if channels == 1:
                    channel = centres[label, 0], scales[0]
                    _measure_one(row, near, levels, channel, label, out)
                else:
                    _measure(row, near, levels, (centres[label], scales), label, out)


@_compiled
def _span(middle: float, reach: float, start: int, stop: int) -> tuple[int, int]:
    """First whole number within reach of `middle`, and the one behind the last."""
    return max(start, math.ceil(middle - reach)), min(stop, math.floor(middle + reach) + 1)


@_compiled
def _measure_one(
    row: tuple[int, int, int, int],
    near: tuple[float, NDArray[np.float32]],
    levels: NDArray[np.float32],
    channel: tuple[float, float],
    label: int,
    out: tuple[NDArray[np.int32], NDArray[np.float32]],
) -> None:
    """Measure the voxels of a row of one channel, without branches, so that it vectorises.

    `near` is the square of the distance in place, across the row and along it; `channel` the
    level of the centre and what a step counts. Arrays come whole: to slice rows that are so
    short takes longer than the row.
    """
    i, j, first, last = row
    base, across = near
    value, scale = channel
    labels, least = out
    for k in range(first, last):
        step = (levels[0, i, j, k] - value) * scale
        away = (base + across[k]) + step * step
        nearer = away < least[i, j, k]
        least[i, j, k] = away if nearer else least[i, j, k]
        labels[i, j, k] = label if nearer else labels[i, j, k]


@_compiled
def _measure(
    row: tuple[int, int, int, int],
    near: tuple[float, NDArray[np.float32]],
    levels: NDArray[np.float32],
    channel: tuple[NDArray[np.float32], NDArray[np.float32]],
    label: int,
    out: tuple[NDArray[np.int32], NDArray[np.float32]],
) -> None:
    """Do as `_measure_one` in any number of channels."""
    i, j, first, last = row
    base, across = near
    centre, scales = channel
    labels, least = out
    for k in range(first, last):
        away = base + across[k]
        for c in range(len(levels)):
            step = (levels[c, i, j, k] - centre[c]) * scales[c]
            away += step * step
        if away < least[i, j, k]:
            least[i, j, k] = away
            labels[i, j, k] = label


@_compiled
def add_up(
    block: tuple[int, int],
    levels: NDArray[np.float32],
    labels: NDArray[np.int32],
    inside: NDArray[np.bool_],
    totals: NDArray[np.int64],
) -> None:
    """Add the levels, the places and 1 of each voxel to the row of its label: (n, C + 4)."""
    channels, _, rows, n = levels.shape
    for i in range(block[0], block[1]):
        for j in range(rows):
            for k in range(n):
                if not inside[i, j, k]:
                    continue
                row = totals[labels[i, j, k]]
                for c in range(channels):
                    row[c] += np.int64(levels[c, i, j, k])
                row[channels] += i
                row[channels + 1] += j
                row[channels + 2] += k
                row[channels + 3] += 1
