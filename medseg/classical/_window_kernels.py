"""The loop of local thresholds, compiled."""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

_compiled = numba.njit(nogil=True, cache=True)


@_compiled
def brighter(
    block: tuple[int, int],
    values: NDArray[np.float32],
    inside: NDArray[np.bool_],
    out: NDArray[np.int32],
    reach: tuple[int, int, int],
    rule: tuple[float, float, float, float, float],
) -> None:
    """Write 1 where a voxel is brighter than the threshold of its window, from plane to plane.

    Running sums of number, intensity and square are kept of each column of planes, and of
    these of each row of columns: a window costs the same whatever its size.
    """
    start, stop = block
    _, rows, n = values.shape
    planes = np.zeros((3, rows, n))
    for i in range(max(start - reach[0], 0), min(start + reach[0], len(values))):
        _add(planes, values[i], inside[i], 1.0)
    columns = np.empty((3, n))
    for i in range(start, stop):
        if i + reach[0] < len(values):
            _add(planes, values[i + reach[0]], inside[i + reach[0]], 1.0)
        if i - reach[0] - 1 >= max(start - reach[0], 0):
            _add(planes, values[i - reach[0] - 1], inside[i - reach[0] - 1], -1.0)
        columns[:] = 0
        for j in range(min(reach[1], rows)):
            _move(columns, planes, j, 1.0)
        for j in range(rows):
            if j + reach[1] < rows:
                _move(columns, planes, j + reach[1], 1.0)
            if j - reach[1] - 1 >= 0:
                _move(columns, planes, j - reach[1] - 1, -1.0)
            _write_row(columns, values[i, j], inside[i, j], out[i, j], reach[2], rule)


@_compiled
def _add(
    planes: NDArray[np.float64],
    values: NDArray[np.float32],
    inside: NDArray[np.bool_],
    sign: float,
) -> None:
    rows, n = values.shape
    for j in range(rows):
        for k in range(n):
            weight = sign if inside[j, k] else 0.0
            value = np.float64(values[j, k])
            planes[0, j, k] += weight
            planes[1, j, k] += weight * value
            planes[2, j, k] += weight * value * value


@_compiled
def _move(columns: NDArray[np.float64], planes: NDArray[np.float64], j: int, sign: float) -> None:
    for c in range(3):
        for k in range(columns.shape[1]):
            columns[c, k] += sign * planes[c, j, k]


@_compiled
def _write_row(
    columns: NDArray[np.float64],
    values: NDArray[np.float32],
    inside: NDArray[np.bool_],
    out: NDArray[np.int32],
    reach: int,
    rule: tuple[float, float, float, float, float],
) -> None:
    low, of_mean, of_deviation, of_product, no_variance = rule
    n = len(values)
    number, total, squares = 0.0, 0.0, 0.0
    for k in range(min(reach, n)):
        number += columns[0, k]
        total += columns[1, k]
        squares += columns[2, k]
    for k in range(n):
        if k + reach < n:
            number += columns[0, k + reach]
            total += columns[1, k + reach]
            squares += columns[2, k + reach]
        if k - reach - 1 >= 0:
            number -= columns[0, k - reach - 1]
            total -= columns[1, k - reach - 1]
            squares -= columns[2, k - reach - 1]
        if not inside[k]:
            continue
        mean, square = total / number, squares / number
        variance = square - mean * mean
        deviation = math.sqrt(variance) if variance > no_variance * square else 0.0
        mean -= low
        threshold = mean * of_mean + deviation * of_deviation + of_product * mean * deviation
        out[k] = values[k] - low > threshold
