"""Loops of morphological contours on the CPU, compiled: 64 voxels of a row at a time.

A region is an array of words of shape (i, j, words) with a border of zeros, one word wide;
voxel k of a row is bit k % 64 of word k // 64, counted from behind the border. `allowed` has the
same shape: a bit outside it stays 0. A box is the first and the first-after index along the
axes of words; whatever is set lies inside it, and nothing outside is read or written.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]

_ONE, _TOP = np.uint64(1), np.uint64(63)

_compiled = numba.njit(nogil=True, cache=True)


@_compiled
def _columns(rows: Words, u: Words, i: int, j: int, w: int, flip: np.uint64) -> None:
    """Words of row (i, j) as seen from the voxel before, the voxel itself, the voxel after."""
    here = u[i, j, w] ^ flip
    rows[0] = (here << _ONE) | ((u[i, j, w - 1] ^ flip) >> _TOP)
    rows[1] = here
    rows[2] = (here >> _ONE) | ((u[i, j, w + 1] ^ flip) << _TOP)


@_compiled
def dilated_least(
    u: Words, out: Words, allowed: Words, box: NDArray[np.int64], flip: np.uint64
) -> None:
    """Voxels that every dilation by a plane (3D) or a line (2D) of 3 voxels across reaches.

    With all bits of `flip` set, what some erosion leaves. In 2D there is one i.
    """
    flat = u.shape[0] == 3
    b = np.zeros((3, 3, 3), np.uint64)
    for i in range(box[0], box[1]):
        for j in range(box[2], box[3]):
            for w in range(box[4], box[5]):
                if _alike(u, i, j, w):
                    found = u[i, j, w] ^ flip
                else:
                    for di in range(3):
                        for dj in range(3):
                            # In 2D, what lies at other i is not asked for.
                            _columns(b[di, dj], u, i + di - 1, j + dj - 1, w, flip)
                    found = _by_lines(b[1]) if flat else _by_planes(b)
                out[i, j, w] = (found ^ flip) & allowed[i, j, w]


@_compiled
def _alike(u: Words, i: int, j: int, w: int) -> bool:
    """Whether a word and those around it are all zeros or all ones, so that it stays."""
    here = u[i, j, w]
    if here != 0 and here != ~np.uint64(0):
        return False
    reach = 0 if u.shape[0] == 3 else 1
    for di in range(-reach, reach + 1):
        for dj in range(-1, 2):
            for dw in range(-1, 2):
                if u[i + di, j + dj, w + dw] != here:
                    return False
    return True


@_compiled
def _by_lines(b: Words) -> Any:
    """Of (dj, dk)."""
    found = b[1, 0] | b[1, 1] | b[1, 2]
    found &= b[0, 1] | b[1, 1] | b[2, 1]
    found &= b[0, 0] | b[1, 1] | b[2, 2]
    return found & (b[0, 2] | b[1, 1] | b[2, 0])


@_compiled
def _by_planes(b: Words) -> Any:
    """Of (di, dj, dk): three planes along the axes, six through their diagonals."""
    wide = b[:, :, 0] | b[:, :, 1] | b[:, :, 2]
    found = wide[0, 1] | wide[1, 1] | wide[2, 1]
    found &= wide[1, 0] | wide[1, 1] | wide[1, 2]
    found &= wide[0, 0] | wide[1, 1] | wide[2, 2]
    found &= wide[0, 2] | wide[1, 1] | wide[2, 0]
    middle, up_j, down_j = np.uint64(0), np.uint64(0), np.uint64(0)
    up_i, down_i = np.uint64(0), np.uint64(0)
    for d in range(3):
        middle |= b[d, 0, 1] | b[d, 1, 1] | b[d, 2, 1]
        up_j |= b[d, 0, 0] | b[d, 1, 1] | b[d, 2, 2]
        down_j |= b[d, 0, 2] | b[d, 1, 1] | b[d, 2, 0]
        up_i |= b[0, d, 0] | b[1, d, 1] | b[2, d, 2]
        down_i |= b[0, d, 2] | b[1, d, 1] | b[2, d, 0]
    return found & middle & up_j & down_j & up_i & down_i


@_compiled
def ballooned(
    u: Words,
    out: Words,
    allowed: Words,
    box: NDArray[np.int64],
    flip: np.uint64,
    free: Words,
) -> None:
    """Dilate by a cube of 3 voxels where `free` is set; with all bits of `flip` set, erode."""
    b = np.zeros(3, np.uint64)
    for i in range(box[0], box[1]):
        for j in range(box[2], box[3]):
            for w in range(box[4], box[5]):
                found = np.uint64(0)
                for di in range(-1, 2):
                    if u.shape[0] == 3 and di:
                        continue
                    for dj in range(-1, 2):
                        _columns(b, u, i + di, j + dj, w, flip)
                        found |= b[0] | b[1] | b[2]
                found = (found ^ flip) & free[i, j, w] | u[i, j, w] & ~free[i, j, w]
                out[i, j, w] = found & allowed[i, j, w]


@_compiled
def _beside(u: Words, i: int, j: int, w: int, sizes: NDArray[np.int64], b: Words) -> Any:
    """Voxels at which the region begins or ends; `b` becomes the words one step along each axis.

    At the ends of an axis the difference is to the voxel itself.
    """
    _columns(b[2], u, i, j, w, np.uint64(0))
    here = b[2, 1]
    b[0, 0], b[0, 2] = u[max(i - 1, 1), j, w], u[min(i + 1, sizes[0]), j, w]
    b[1, 0], b[1, 2] = u[i, max(j - 1, 1), w], u[i, min(j + 1, sizes[1]), w]
    if w == 1:
        b[2, 0] |= here & _ONE
    if w == (sizes[2] - 1) // 64 + 1:
        last = _ONE << np.uint64((sizes[2] - 1) % 64)
        b[2, 2] = (b[2, 2] & ~last) | (here & last)
    return (b[0, 0] ^ b[0, 2]) | (b[1, 0] ^ b[1, 2]) | (b[2, 0] ^ b[2, 2])


@_compiled
def attached_to_means(
    u: Words,
    out: Words,
    allowed: Words,
    box: NDArray[np.int64],
    values: NDArray[np.float32],
    terms: NDArray[np.float64],
) -> None:
    """Give each voxel at the border to the side whose mean its values are nearer to.

    `values` are (C, i, j, k); `terms` are (2, 1 + C), of inside and outside: first a weight,
    and then the mean of each channel.
    """
    sizes = np.array(values.shape[1:])
    b = np.zeros((3, 3), np.uint64)
    for i in range(box[0], box[1]):
        for j in range(box[2], box[3]):
            for w in range(box[4], box[5]):
                found = u[i, j, w]
                band = _beside(u, i, j, w, sizes, b) & allowed[i, j, w]
                k = 64 * (w - 1)
                while band:
                    if band & _ONE:
                        cost = 0.0
                        for c in range(len(values)):
                            x = np.float64(values[c, i - 1, j - 1, k])
                            inside, outside = x - terms[0, 1 + c], x - terms[1, 1 + c]
                            cost += terms[0, 0] * inside**2 - terms[1, 0] * outside**2
                        bit = _ONE << np.uint64(k & 63)
                        if cost < 0:
                            found |= bit
                        elif cost > 0:
                            found &= ~bit
                    band >>= _ONE
                    k += 1
                out[i, j, w] = found


@_compiled
def attached_to_edges(
    u: Words,
    out: Words,
    allowed: Words,
    box: NDArray[np.int64],
    slopes: NDArray[np.float32],
) -> None:
    """Move the border downhill on an edge map whose slopes are (axes, i, j, k)."""
    sizes = np.array(slopes.shape[1:])
    b = np.zeros((3, 3), np.uint64)
    first = 3 - len(slopes)
    for i in range(box[0], box[1]):
        for j in range(box[2], box[3]):
            for w in range(box[4], box[5]):
                found = u[i, j, w]
                band = _beside(u, i, j, w, sizes, b) & allowed[i, j, w]
                k = 64 * (w - 1)
                while band:
                    if band & _ONE:
                        bit = np.uint64(k & 63)
                        rise = np.float32(0)
                        at = (i - 1, j - 1, k)
                        for a in range(len(slopes)):
                            axis = first + a
                            after = np.float32((b[axis, 2] >> bit) & _ONE)
                            before = np.float32((b[axis, 0] >> bit) & _ONE)
                            scale = np.float32(1 if at[axis] in (0, sizes[axis] - 1) else 0.5)
                            step = (after - before) * scale
                            rise = np.float32(rise + slopes[a, i - 1, j - 1, k] * step)
                        if rise > 0:
                            found |= _ONE << bit
                        elif rise < 0:
                            found &= ~(_ONE << bit)
                    band >>= _ONE
                    k += 1
                out[i, j, w] = found


@_compiled
def added(
    before: Words,
    after: Words,
    box: NDArray[np.int64],
    values: NDArray[np.float32],
    sums: NDArray[np.float64],
) -> None:
    """Bring `sums`, the count of voxels and then the sum of each channel, up to date."""
    for i in range(box[0], box[1]):
        for j in range(box[2], box[3]):
            for w in range(box[4], box[5]):
                changed = before[i, j, w] ^ after[i, j, w]
                k = 64 * (w - 1)
                while changed:
                    if changed & _ONE:
                        now = (after[i, j, w] >> np.uint64(k & 63)) & _ONE
                        sign = 1.0 if now else -1.0
                        sums[0] += sign
                        for c in range(len(values)):
                            sums[1 + c] += sign * np.float64(values[c, i - 1, j - 1, k])
                    changed >>= _ONE
                    k += 1
