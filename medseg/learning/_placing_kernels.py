"""Loops of `placing`, compiled: trilinear interpolation of a volume and its classes in one pass."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

_compiled = numba.njit(nogil=True, cache=True, fastmath=True)
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
    values, labels, shape = image.reshape(image.shape[0], -1), classes.reshape(-1), classes.shape
    length = target.shape[2]
    bent, straight = bend.size > 0, np.zeros((3, length), np.float32)
    share, low = np.empty((3, length), np.float32), np.empty((3, length), np.int64)
    at, inside = np.empty(length, np.uint64), np.empty(length, np.bool_)
    shares, corners = np.empty(8, np.float32), np.empty(8, np.int64)
    thick = min(shape) > 1  # in a volume of one slice, no voxel lies between eight others
    for i in range(target.shape[0]):
        for j in range(target.shape[1]):
            _locate(affine, (i, j), bend[i, :, j] if bent else straight, share, low)
            _number(low, shape, at, inside)
            if thick:
                for channel in range(values.shape[0]):
                    _interpolate(values[channel], shape, at, share, out[i, channel, j])
                _choose(labels, shape, at, share, target[i, j])
            for k in range(length):
                if not inside[k]:
                    _shares(share[0, k], share[1, k], share[2, k], shares)
                    _corners((low[0, k], low[1, k], low[2, k]), shape, corners)
                    for channel in range(values.shape[0]):
                        out[i, channel, j, k] = _sum(values[channel], corners, shares)
                    target[i, j, k] = _winner(labels, corners, shares)


@_compiled
def _locate(
    affine: NDArray[np.float32],
    row: tuple[int, int],
    shift: NDArray[np.float32],
    share: NDArray[np.float32],
    low: NDArray[np.int64],
) -> None:
    """Lower neighbours of a row of voxels, and the shares of the upper ones, axis by axis."""
    for axis in range(3):
        begin = (
            affine[axis, 0] * np.float32(row[0])
            + affine[axis, 1] * np.float32(row[1])
            + affine[axis, 3]
        )
        for k in range(share.shape[1]):
            place = begin + affine[axis, 2] * np.float32(k) + shift[axis, k]
            floor = np.floor(place)
            share[axis, k] = place - floor
            low[axis, k] = np.int64(floor)


@_compiled
def _number(
    low: NDArray[np.int64],
    shape: tuple[int, int, int],
    at: NDArray[np.uint64],
    inside: NDArray[np.bool_],
) -> None:
    """Where in the flat volume the lower neighbours are, and whether all eight are in it."""
    for k in range(len(at)):
        x, y, z = low[0, k], low[1, k], low[2, k]
        held = (
            (x >= 0)
            & (y >= 0)
            & (z >= 0)
            & (x < shape[0] - 1)
            & (y < shape[1] - 1)
            & (z < shape[2] - 1)
        )
        inside[k] = held
        at[k] = np.uint64((x * shape[1] + y) * shape[2] + z) if held else np.uint64(0)


@_compiled
def _interpolate(
    line: NDArray[np.float32],
    shape: tuple[int, int, int],
    at: NDArray[np.uint64],
    share: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    """Interpolate a row; unsigned places, as numba looks whether others count from the end."""
    deep, across, one = np.uint64(shape[2]), np.uint64(shape[1] * shape[2]), np.uint64(1)
    for k in range(len(out)):
        p, x, y, z = at[k], share[0, k], share[1, k], share[2, k]
        q = p + across
        a = line[p] + z * (line[p + one] - line[p])
        b = line[p + deep] + z * (line[p + deep + one] - line[p + deep])
        c = line[q] + z * (line[q + one] - line[q])
        d = line[q + deep] + z * (line[q + deep + one] - line[q + deep])
        a += y * (b - a)
        c += y * (d - c)
        out[k] = a + x * (c - a)


@_compiled
def _choose(
    labels: NDArray[np.unsignedinteger],
    shape: tuple[int, int, int],
    at: NDArray[np.uint64],
    share: NDArray[np.float32],
    target: NDArray[np.int64],
) -> None:
    """Classes of a row, but of the voxels at the border of the volume."""
    deep, across, one = np.uint64(shape[2]), np.uint64(shape[1] * shape[2]), np.uint64(1)
    shares, corners = np.empty(8, np.float32), np.empty(8, np.int64)
    for k in range(len(target)):
        p = at[k]
        q, first = p + across, labels[p]
        other = (
            (labels[p + one] ^ first)
            | (labels[p + deep] ^ first)
            | (labels[p + deep + one] ^ first)
            | (labels[q] ^ first)
            | (labels[q + one] ^ first)
            | (labels[q + deep] ^ first)
            | (labels[q + deep + one] ^ first)
        )
        if other == 0:
            target[k] = first
            continue
        _shares(share[0, k], share[1, k], share[2, k], shares)
        for n in range(8):
            corners[n] = p + (n >> 2) * across + ((n >> 1) & 1) * deep + (n & 1)
        target[k] = _winner(labels, corners, shares)


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
