"""The loop of k-means, compiled."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

_compiled = numba.njit(nogil=True, cache=True)


@_compiled
def assign(
    points: NDArray[np.float32],
    centres: NDArray[np.float32],
    classes: NDArray[np.int32],
    counts: NDArray[np.int64],
    totals: NDArray[np.float64],
) -> None:
    """Nearest of `centres` (K, C) of each of `points` (C, n), with counts (K,) and sums (K, C)."""
    channels, n = points.shape
    for i in range(n):
        nearest, least = 0, np.float32(np.inf)
        for k in range(len(centres)):
            away = np.float32(0)
            for c in range(channels):
                step = points[c, i] - centres[k, c]
                away += step * step
            if away < least:
                nearest, least = k, away
        classes[i] = nearest
        counts[nearest] += 1
        for c in range(channels):
            totals[nearest, c] += points[c, i]
