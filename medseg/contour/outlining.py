"""Contours around regions of voxels, between their centres: nets with a knot in each mixed cell."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, product

import numpy as np
from numpy.typing import NDArray

from medseg.contour.filling import Cells, Crossings, Points


def outlined(
    inside: NDArray[np.bool_], shares: Sequence[NDArray[np.float64]] | None = None
) -> tuple[Points, Cells]:
    """Points and cells of closed contours around a region, in voxels.

    Each cell of 2 or 2³ voxel centres that is partly inside has a point, at the mean of where
    its edges are met. Where voxels touch only at an edge or a corner, their neighbours are
    taken in, so that curves do not cross and surfaces do not touch themselves.

    Parameters
    ----------
    inside : (...) bool array
        2D or 3D.
    shares : sequence of (...) float arrays, optional
        For each axis, how far on the way from a voxel to the next one the contour is met, in
        [0, 1]; half-way by default. One shorter along that axis.

    References
    ----------
    S. F. F. Gibson, "Constrained elastic surface nets: generating smooth surfaces from binary
    segmented data", MICCAI 1998, 888-898. doi:10.1007/BFb0056277

    L. J. Latecki, "3D well-composed pictures", Graph. Models Image Process. 59(3):164-172,
    1997. doi:10.1006/gmip.1997.0422
    """
    n = inside.ndim
    box = _box(inside)
    begin = np.array([each.start for each in box]) - 1
    padded = well_composed(np.pad(inside[box], 1))
    joined, met = [], []
    for axis in range(n):
        places, leaves = _edges(padded, axis)
        along = np.full(len(places), 0.5)
        if shares is not None:
            at, size = places + begin, np.array(shares[axis].shape)
            inner = ((at >= 0) & (at < size)).all(axis=1)
            along[inner] = shares[axis][tuple(at[inner].T)]
        cells = _cells_beside(places, axis, padded.shape)
        joined.append(np.where(leaves[:, None], cells, cells[:, ::-1]))
        met.append(places + along[:, None] * (np.arange(n) == axis))
    around = np.concatenate(joined)
    used, number, count = np.unique(around, return_inverse=True, return_counts=True)
    corners = number.reshape(around.shape)
    ways = np.concatenate(met).repeat(around.shape[1], axis=0)
    total = [np.bincount(corners.ravel(), way, len(used)) for way in ways.T]
    points = np.stack(total, axis=1) / count[:, None] + begin
    if n == 2:
        return points, corners
    return points, np.concatenate([corners[:, [0, 1, 2]], corners[:, [0, 2, 3]]])


def outlined_again(points: Points, cells: Cells, shape: tuple[int, ...]) -> tuple[Points, Cells]:
    """Contours with the same inside and a point for each voxel they pass, that do not cross."""
    inside = Crossings.of(points, cells, shape).windings() > 0
    return outlined(inside, [_shares(points, cells, shape, axis) for axis in range(len(shape))])


def well_composed(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Region and what it takes for no two of its voxels to touch only at an edge or a corner.

    Nor do two voxels that are not in it, but for those on the border of the array.
    """
    found = inside.copy()
    blocks = [
        axes
        for size in range(2, inside.ndim + 1)
        for axes in combinations(range(inside.ndim), size)
    ]
    changed = True
    while changed:
        before = np.count_nonzero(found)
        for axes in blocks:
            _fill_diagonals(found, axes)
        changed = bool(np.count_nonzero(found) > before)
    return found


def _fill_diagonals(found: NDArray[np.bool_], axes: tuple[int, ...]) -> None:
    """Fill blocks of two voxels along each of `axes` in which only two opposite ones agree."""

    def corner(offsets: tuple[int, ...]) -> NDArray[np.bool_]:
        window: list[slice] = [slice(None)] * found.ndim
        for axis, offset in zip(axes, offsets, strict=True):
            window[axis] = slice(offset, found.shape[axis] - 1 + offset)
        return found[tuple(window)]

    corners = list(product((0, 1), repeat=len(axes)))
    held = sum(corner(each).astype(np.int8) for each in corners)
    for each in corners[: len(corners) // 2]:
        opposite = tuple(1 - offset for offset in each)
        pair = corner(each) & corner(opposite) & (held == 2)
        gap = ~corner(each) & ~corner(opposite) & (held == len(corners) - 2)
        for other in corners:
            corner(other)[...] |= pair | gap


def _box(inside: NDArray[np.bool_]) -> tuple[slice, ...]:
    """Where a region is; empty if there is none."""
    found = []
    for axis in range(inside.ndim):
        others = tuple(other for other in range(inside.ndim) if other != axis)
        at = np.flatnonzero(inside.any(axis=others))
        found.append(slice(int(at[0]), int(at[-1]) + 1) if len(at) else slice(0, 0))
    return tuple(found)


def _edges(inside: NDArray[np.bool_], axis: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """First voxels of the pairs along an axis that differ, and whether those are inside."""
    lead = (slice(None),) * axis
    first, second = inside[(*lead, slice(-1))], inside[(*lead, slice(1, None))]
    flat = np.flatnonzero(first != second)  # many times as fast as with several axes
    places = np.unravel_index(flat, first.shape)
    return np.stack(places, axis=1), first[places]


def _cells_beside(
    places: NDArray[np.int64], axis: int, shape: tuple[int, ...]
) -> NDArray[np.int64]:
    """Numbers of the cells around the edges along an axis, in turn: (n, 2) or (n, 4)."""
    if len(shape) == 2:
        around = [(0, 0), (-1, 0)] if axis else [(0, -1), (0, 0)]
    else:
        after, last = np.roll(np.eye(3, dtype=np.int64), -axis, axis=0)[1:]
        around = [0 * after, -after, -after - last, -last]
    strides = np.cumprod([1, *shape[:0:-1]])[::-1]
    return np.asarray((places @ strides)[:, None] + np.array(around) @ strides)


def _shares(points: Points, cells: Cells, shape: tuple[int, ...], axis: int) -> NDArray[np.float64]:
    """How far from a voxel to the next along an axis contours are met; half-way if not."""
    # Turned in a circle, so that triangles are turned as before.
    order = [(axis + 1 + k) % len(shape) for k in range(len(shape))]
    turned = tuple(shape[each] for each in order)
    met = Crossings.of(points[:, order], cells, turned)
    gaps = turned[-1] - 1
    gap = np.ceil(met.places).astype(np.int64) - 1
    kept = (gap >= 0) & (gap < gaps)
    at = (met.lines * gaps + gap)[kept]
    size = int(np.prod(turned[:-1])) * gaps
    count = np.bincount(at, minlength=size)
    share = np.bincount(at, (met.places - gap)[kept], size)
    mean = np.divide(share, count, out=np.full(size, 0.5), where=count > 0)
    return np.transpose(mean.reshape(*turned[:-1], gaps), np.argsort(order))
