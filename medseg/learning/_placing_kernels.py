"""Loops of `placing`, compiled: trilinear interpolation of a volume and its classes in one pass."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

_compiled = numba.njit(nogil=True, cache=True, fastmath=True)
_inlined = numba.njit(nogil=True, cache=True, fastmath=True, inline="always")
_ONE, _ZERO = np.float32(1), np.float32(0)


@_compiled
def warp(
    image: NDArray[np.float32],
    classes: NDArray[np.unsignedinteger],
    affine: NDArray[np.float32],
    bend: NDArray[np.float32],
    out: NDArray[np.float32],
    target: NDArray[np.int64],
) -> None:
    """Fill `out` (I, C, J, K) and `target` (I, J, K) from `image` (C, ...) and `classes` (...).

    Voxel v of the patch is read at affine @ (v, 1) + bend[v[0], :, v[1], v[2]]; an empty bend is
    none. Beyond the volume there are 0 and class 0. Where the neighbours differ in class, the one
    with the largest share wins, the lowest of equals.
    """
    across, deep = classes.shape[1] * classes.shape[2], classes.shape[2]
    values, labels = image.reshape(image.shape[0], -1), classes.reshape(-1)
    bent = bend.size > 0
    shares, corners = np.empty(8, np.float32), np.empty(8, np.int64)
    for i in range(target.shape[0]):
        for j in range(target.shape[1]):
            row = affine[:, 0] * np.float32(i) + affine[:, 1] * np.float32(j) + affine[:, 3]
            for k in range(target.shape[2]):
                x = row[0] + affine[0, 2] * np.float32(k)
                y = row[1] + affine[1, 2] * np.float32(k)
                z = row[2] + affine[2, 2] * np.float32(k)
                if bent:
                    x, y, z = x + bend[i, 0, j, k], y + bend[i, 1, j, k], z + bend[i, 2, j, k]
                a, b, c = np.floor(x), np.floor(y), np.floor(z)
                x, y, z = x - a, y - b, z - c
                low = np.int64(a), np.int64(b), np.int64(c)
                if not _inside(low, classes.shape):
                    _shares(x, y, z, shares)
                    _corners(low, classes.shape, corners)
                    for channel in range(values.shape[0]):
                        out[i, channel, j, k] = _sum(values[channel], corners, shares)
                    target[i, j, k] = _winner(labels, corners, shares)
                    continue
                at = low[0] * across + low[1] * deep + low[2]
                for channel in range(values.shape[0]):
                    line = values[channel]
                    near = _square(line, at, deep, y, z)
                    far = _square(line, at + across, deep, y, z)
                    out[i, channel, j, k] = near + x * (far - near)
                if _alike(labels, at, across, deep):
                    target[i, j, k] = labels[at]
                else:
                    _shares(x, y, z, shares)
                    _corners(low, classes.shape, corners)
                    target[i, j, k] = _winner(labels, corners, shares)


@_inlined
def _inside(low: tuple[int, int, int], shape: tuple[int, int, int]) -> bool:
    """Whether all eight neighbours are in the volume."""
    return 0 <= low[0] < shape[0] - 1 and 0 <= low[1] < shape[1] - 1 and 0 <= low[2] < shape[2] - 1


@_inlined
def _square(line: NDArray[np.float32], at: int, deep: int, y: np.float32, z: np.float32) -> Any:
    """Interpolate between four voxels of a slice."""
    near = line[at] + z * (line[at + 1] - line[at])
    far = line[at + deep] + z * (line[at + deep + 1] - line[at + deep])
    return near + y * (far - near)


@_inlined
def _alike(labels: NDArray[np.unsignedinteger], at: int, across: int, deep: int) -> Any:
    first, beyond = labels[at], at + across
    return (
        labels[at + 1] == first
        and labels[at + deep] == first
        and labels[at + deep + 1] == first
        and labels[beyond] == first
        and labels[beyond + 1] == first
        and labels[beyond + deep] == first
        and labels[beyond + deep + 1] == first
    )


@_compiled
def _shares(x: np.float32, y: np.float32, z: np.float32, shares: NDArray[np.float32]) -> None:
    for n in range(8):
        of_x = x if n & 4 else _ONE - x
        of_y = y if n & 2 else _ONE - y
        of_z = z if n & 1 else _ONE - z
        shares[n] = of_x * of_y * of_z


@_compiled
def _corners(
    low: tuple[int, int, int], shape: tuple[int, int, int], corners: NDArray[np.int64]
) -> None:
    """Places of the neighbours in the flat volume, -1 where there is none."""
    for n in range(8):
        x, y, z = low[0] + (n >> 2), low[1] + ((n >> 1) & 1), low[2] + (n & 1)
        inside = 0 <= x < shape[0] and 0 <= y < shape[1] and 0 <= z < shape[2]
        corners[n] = (x * shape[1] + y) * shape[2] + z if inside else -1


@_compiled
def _sum(
    line: NDArray[np.float32], corners: NDArray[np.int64], shares: NDArray[np.float32]
) -> np.float32:
    total = _ZERO
    for n in range(8):
        if corners[n] >= 0:
            total += shares[n] * line[corners[n]]
    return total


@_compiled
def _winner(
    labels: NDArray[np.unsignedinteger], corners: NDArray[np.int64], shares: NDArray[np.float32]
) -> np.int64:
    best, most = np.int64(0), np.float32(-1)
    for n in range(8):
        label = np.int64(labels[corners[n]]) if corners[n] >= 0 else np.int64(0)
        share = _ZERO
        for m in range(8):
            other = np.int64(labels[corners[m]]) if corners[m] >= 0 else np.int64(0)
            if other == label:
                share += shares[m]
        if share > most or (share == most and label < best):
            best, most = label, share
    return best
