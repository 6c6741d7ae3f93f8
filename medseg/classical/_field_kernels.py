"""The loop of the Potts field, compiled."""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

_compiled = numba.njit(nogil=True, cache=True)


@_compiled
def sweep(
    block: tuple[int, int],
    colour: int,
    beliefs: NDArray[np.float32],
    evidence: NDArray[np.float32],
    inside: NDArray[np.bool_],
    pulls: tuple[float, float, float],
) -> None:
    """Let the voxels of one colour listen to their neighbours, in place, from plane to plane.

    `beliefs` and `evidence` are (K, i, j, k); those of one colour are even in i + j + k or odd.
    """
    classes, _, rows, n = beliefs.shape
    heard = np.empty(classes)
    for i in range(block[0], block[1]):
        for j in range(rows):
            for k in range((i + j + colour) % 2, n, 2):
                if not inside[i, j, k]:
                    continue
                highest = -np.inf
                for c in range(classes):
                    heard[c] = evidence[c, i, j, k] + _heard(beliefs[c], (i, j, k), pulls)
                    highest = max(highest, heard[c])
                _write(beliefs[:, i, j, k], heard, highest)


@_compiled
def _heard(
    beliefs: NDArray[np.float32], place: tuple[int, int, int], pulls: tuple[float, float, float]
) -> float:
    """Weighted sum over the face neighbours of a voxel."""
    i, j, k = place
    planes, rows, n = beliefs.shape
    along_i = (beliefs[i - 1, j, k] if i > 0 else 0.0) + (
        beliefs[i + 1, j, k] if i + 1 < planes else 0.0
    )
    along_j = (beliefs[i, j - 1, k] if j > 0 else 0.0) + (
        beliefs[i, j + 1, k] if j + 1 < rows else 0.0
    )
    along_k = (beliefs[i, j, k - 1] if k > 0 else 0.0) + (
        beliefs[i, j, k + 1] if k + 1 < n else 0.0
    )
    return pulls[0] * along_i + pulls[1] * along_j + pulls[2] * along_k


@_compiled
def _write(beliefs: NDArray[np.float32], heard: NDArray[np.float64], highest: float) -> None:
    total = 0.0
    for c in range(len(heard)):
        heard[c] = math.exp(heard[c] - highest)
        total += heard[c]
    for c in range(len(heard)):
        beliefs[c] = heard[c] / total
