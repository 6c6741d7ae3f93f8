"""Loops of `normalisation`, compiled: all take (B, N, C) float32 and (B, C) coefficients.

They work on the voxels from `start` to `stop`. A slice would say as much, but of an array that
is not contiguous numba makes loops that do not vectorise.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from medseg.networks.normalisation import SLOPE

# Sums run in float32 over so many voxels, which vectorises, and in float64 over these.
_STRETCH = 512
_SLOPE = np.float32(SLOPE)
_compiled = numba.njit(nogil=True, fastmath=True, cache=True)


@_compiled
def sums(start: int, stop: int, x: NDArray[np.float32]) -> NDArray[np.float64]:
    """Sum and sum of squares over the voxels: (2, B, C)."""
    samples, _, channels = x.shape
    total = np.zeros((2, samples, channels))
    plain, squared = np.empty(channels, np.float32), np.empty(channels, np.float32)
    for b in range(samples):
        for begin in range(start, stop, _STRETCH):
            plain[:] = 0
            squared[:] = 0
            for n in range(begin, min(begin + _STRETCH, stop)):
                for c in range(channels):
                    value = x[b, n, c]
                    plain[c] += value
                    squared[c] += value * value
            for c in range(channels):
                total[0, b, c] += plain[c]
                total[1, b, c] += squared[c]
    return total


@_compiled
def rectified_line(
    start: int,
    stop: int,
    x: NDArray[np.float32],
    scale: NDArray[np.float32],
    shift: NDArray[np.float32],
    y: NDArray[np.float32],
) -> None:
    """Leaky rectifier of scale * x + shift, into y."""
    samples, _, channels = x.shape
    for b in range(samples):
        for n in range(start, stop):
            for c in range(channels):
                value = x[b, n, c] * scale[b, c] + shift[b, c]
                y[b, n, c] = max(value, _SLOPE * value)


@_compiled
def gradient_sums(  # noqa: PLR0913 - numba takes no structures of arrays
    start: int,
    stop: int,
    x: NDArray[np.float32],
    scale: NDArray[np.float32],
    shift: NDArray[np.float32],
    mean: NDArray[np.float32],
    dy: NDArray[np.float32],
) -> NDArray[np.float64]:
    """Sum of the gradient before the rectifier, and of it times (x - mean): (2, B, C)."""
    samples, _, channels = x.shape
    total = np.zeros((2, samples, channels))
    plain, moment = np.empty(channels, np.float32), np.empty(channels, np.float32)
    for b in range(samples):
        for begin in range(start, stop, _STRETCH):
            plain[:] = 0
            moment[:] = 0
            for n in range(begin, min(begin + _STRETCH, stop)):
                for c in range(channels):
                    value = x[b, n, c]
                    positive = value * scale[b, c] + shift[b, c] > 0
                    slope = dy[b, n, c] * (np.float32(1) if positive else _SLOPE)
                    plain[c] += slope
                    moment[c] += slope * (value - mean[b, c])
            for c in range(channels):
                total[0, b, c] += plain[c]
                total[1, b, c] += moment[c]
    return total


@_compiled
def gradient(  # noqa: PLR0913 - numba takes no structures of arrays
    start: int,
    stop: int,
    x: NDArray[np.float32],
    scale: NDArray[np.float32],
    shift: NDArray[np.float32],
    of_x: NDArray[np.float32],
    constant: NDArray[np.float32],
    dy: NDArray[np.float32],
    dx: NDArray[np.float32],
) -> None:
    """Gradient with respect to x, into dx: scale * slope + of_x * x + constant."""
    samples, _, channels = x.shape
    for b in range(samples):
        for n in range(start, stop):
            for c in range(channels):
                value = x[b, n, c]
                positive = value * scale[b, c] + shift[b, c] > 0
                slope = dy[b, n, c] * (np.float32(1) if positive else _SLOPE)
                dx[b, n, c] = scale[b, c] * slope + of_x[b, c] * value + constant[b, c]
