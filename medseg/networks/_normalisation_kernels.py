"""Loops of `normalisation`, compiled: all take (B, N, C) activations and (B, C) coefficients,
and `below`, the slope of the rectifier below 0.

Activations are float32, or bfloat16 as uint16, since neither NumPy nor numba know that type; all
is computed in float32. The loops work on the voxels from `start` to `stop`. A slice would say as
much, but of an array that is not contiguous numba makes loops that do not vectorise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numba.extending import overload
from numpy.typing import NDArray

# Sums run in float32 over so many voxels, which vectorises, and in float64 over these.
_STRETCH = 512
_HALF, _BELOW_HALF, _ONE = np.uint32(16), np.uint32(0x7FFF), np.uint32(1)
_compiled = numba.njit(nogil=True, fastmath=True, cache=True)

Activations = NDArray[np.float32] | NDArray[np.uint16]


def _read(stored: Any) -> Any:
    """Activation as float32; bfloat16 is the upper half of one."""


@overload(_read, inline="always")
def _reader(stored: Any) -> Callable[[Any], Any]:
    def widened(stored: Any) -> Any:
        return np.uint32(np.uint32(stored) << _HALF).view(np.float32)

    def itself(stored: Any) -> Any:
        return stored

    return widened if stored == numba.types.uint16 else itself


def _as_in(array: Any, value: Any) -> Any:
    """Float32 as the array stores it; bfloat16 is rounded to the nearest, ties to even."""


@overload(_as_in, inline="always")
def _writer(array: Any, value: Any) -> Callable[[Any, Any], Any]:
    def rounded(array: Any, value: Any) -> Any:
        bits = np.float32(value).view(np.uint32)
        return np.uint16((bits + _BELOW_HALF + ((bits >> _HALF) & _ONE)) >> _HALF)

    def itself(array: Any, value: Any) -> Any:
        return value

    return rounded if array.dtype == numba.types.uint16 else itself


@_compiled
def sums(start: int, stop: int, x: Activations) -> NDArray[np.float64]:
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
                    value = _read(x[b, n, c])
                    plain[c] += value
                    squared[c] += value * value
            for c in range(channels):
                total[0, b, c] += plain[c]
                total[1, b, c] += squared[c]
    return total


@_compiled
def rectified_line(  # noqa: PLR0913 - numba takes no structures of arrays
    start: int,
    stop: int,
    x: Activations,
    scale: NDArray[np.float32],
    shift: NDArray[np.float32],
    below: np.float32,
    y: Activations,
) -> None:
    """Leaky rectifier of scale * x + shift, into y."""
    samples, _, channels = x.shape
    for b in range(samples):
        for n in range(start, stop):
            for c in range(channels):
                value = _read(x[b, n, c]) * scale[b, c] + shift[b, c]
                y[b, n, c] = _as_in(y, max(value, below * value))


@_compiled
def gradient_sums(  # noqa: PLR0913 - numba takes no structures of arrays
    start: int,
    stop: int,
    x: Activations,
    scale: NDArray[np.float32],
    shift: NDArray[np.float32],
    below: np.float32,
    mean: NDArray[np.float32],
    dy: Activations,
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
                    value = _read(x[b, n, c])
                    positive = value * scale[b, c] + shift[b, c] > 0
                    slope = _read(dy[b, n, c]) * (np.float32(1) if positive else below)
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
    x: Activations,
    scale: NDArray[np.float32],
    shift: NDArray[np.float32],
    below: np.float32,
    of_x: NDArray[np.float32],
    constant: NDArray[np.float32],
    dy: Activations,
    dx: Activations,
) -> None:
    """Gradient with respect to x, into dx: scale * slope + of_x * x + constant."""
    samples, _, channels = x.shape
    for b in range(samples):
        for n in range(start, stop):
            for c in range(channels):
                value = _read(x[b, n, c])
                positive = value * scale[b, c] + shift[b, c] > 0
                slope = _read(dy[b, n, c]) * (np.float32(1) if positive else below)
                change = scale[b, c] * slope + of_x[b, c] * value + constant[b, c]
                dx[b, n, c] = _as_in(dx, change)
