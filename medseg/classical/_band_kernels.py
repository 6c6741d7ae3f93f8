"""Loops that find the narrow band around a contour, and distances to it there, compiled.

Volumes are flat, as in `_level_set_kernels`. A band is the voxels beside the contour first, then
those one step from these over faces, and then those two steps from them.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from medseg.classical._level_set_kernels import Floats, Lattice, Places
from medseg.classical.forces import SLIGHT, TIE

_LAYERS = 4

_compiled = numba.njit(nogil=True, cache=True)
# Where nothing is allocated, numba need not count at each use who holds the arrays of a tuple.
_uncounted = numba.njit(nogil=True, cache=True, _nrt=False)


@_compiled
def sloped(  # noqa: PLR0913 - numba takes no structures of arrays that change
    ends: tuple[int, int],
    phi: Floats,
    band: Places,
    count: int,
    lattice: Lattice,
    away: Floats,
    beside: NDArray[np.bool_],
) -> None:
    """Write for a stretch of a band how far away the contour is, and whether a neighbour is beyond.

    The distance comes from phi and its slope, for all at the contour, and for those of the first
    `count` where the slope is not small; else it is infinite.
    """
    least = SLIGHT * lattice.steps.min()
    for b in range(ends[0], ends[1]):
        distance, beside[b] = _by_slope(phi, band[b], b < count, lattice)
        away[b] = max(distance, least)


@_uncounted
def _by_slope(phi: Floats, at: int, known: bool, lattice: Lattice) -> Any:  # noqa: FBT001
    """Distance to the contour, from phi and its slope, and whether a neighbour is beyond it."""
    here, side = phi[at], lattice.sides[at]
    square = 0.0
    beside = False
    for axis in range(3):
        steepest, rise = 0.0, 0.0
        for after in range(2):
            if side >> (2 * axis + after) & 1:
                continue
            stride = lattice.strides[axis]
            there = phi[at + stride] if after else phi[at - stride]
            slope = (there - here) / lattice.steps[axis]
            rise += slope / 2 if after else -slope / 2
            if (there >= 0) != (here >= 0):
                beside = True
                steepest = max(steepest, abs(slope))
        square += max(steepest, abs(rise)) ** 2
    if not beside and (not known or square < 0.25):
        return np.inf, beside
    return abs(here) / np.sqrt(square), beside


@_compiled
def layered(contour: Places, lattice: Lattice, place: NDArray[np.int32]) -> Any:
    """The contour and the layers about it, and how many there are with each layer."""
    band, counts = contour, np.zeros(_LAYERS, np.int64)
    n = counts[0] = len(contour)
    for b in range(n):
        place[band[b]] = b + 1
    first = 0
    for layer in range(1, _LAYERS):
        end = n
        longer = np.empty(7 * n, np.int64)
        longer[:n] = band[:n]
        band = longer
        for b in range(first, end):
            at = band[b]
            side = lattice.sides[at]
            for axis in range(3):
                for after in range(2):
                    if side >> (2 * axis + after) & 1:
                        continue
                    stride = lattice.strides[axis]
                    to = at + stride if after else at - stride
                    if not place[to]:
                        band[n] = to
                        n += 1
                        place[to] = n
        first = end
        counts[layer] = n
    return band[:n].copy(), counts


@_compiled
def restored(
    phi: Floats, old: Places, away: Floats, band: Places, far: float, place: NDArray[np.int32]
) -> Places:
    """Set phi to what is known of the distances, to `far` elsewhere, and say where that is.

    `away` is that of the old band.
    """
    for b in range(len(old)):
        at = old[b]
        value = min(away[b], far) if place[at] else far
        phi[at] = value if phi[at] >= 0 else -value
    unknown, count = np.empty(len(band), np.int64), 0
    for at in band:
        if abs(phi[at]) >= far:
            unknown[count] = at
            count += 1
    return unknown[:count]


@_compiled
def carried(
    ends: tuple[int, int],
    phi: Floats,
    unknown: Places,
    far: float,
    lattice: Lattice,
    found: Floats,
) -> None:
    """Write what phi is at a stretch of places, from the distances of their neighbours."""
    near, lengths = np.empty(3), np.empty(3)
    for u in range(ends[0], ends[1]):
        at = unknown[u]
        _look(phi, at, far, lattice, near)
        lengths[:] = lattice.steps
        away = min(abs(phi[at]), _solved(near, lengths))
        found[u] = away if phi[at] >= 0 else -away


@_uncounted
def _look(phi: Floats, at: int, far: float, lattice: Lattice, near: Floats) -> None:
    """Distance of the nearer neighbour along each axis, infinite if unknown."""
    side = lattice.sides[at]
    for axis in range(3):
        near[axis] = np.inf
        for after in range(2):
            if not side >> (2 * axis + after) & 1:
                stride = lattice.strides[axis]
                away = abs(phi[at + stride] if after else phi[at - stride])
                if away < far:
                    near[axis] = min(near[axis], away)


@_uncounted
def _solved(near: Floats, lengths: Floats) -> float:
    """Distance whose gradient has the length 1, from the distances of neighbours along axes."""
    for one in range(1, 3):
        for other in range(one, 0, -1):
            if near[other] < near[other - 1]:
                near[other], near[other - 1] = near[other - 1], near[other]
                lengths[other], lengths[other - 1] = lengths[other - 1], lengths[other]
    a, b, c = 0.0, 0.0, -1.0
    away = np.inf
    for axis in range(3):
        if away <= near[axis]:
            break
        inverse = 1 / lengths[axis] ** 2
        a += inverse
        b += near[axis] * inverse
        c += near[axis] ** 2 * inverse
        away = (b + np.sqrt(max(b * b - a * c, 0.0))) / a
    return float(away)


@_uncounted
def followed(  # noqa: PLR0913 - as above
    ends: tuple[int, int],
    phi: Floats,
    band: Places,
    counts: Places,
    lattice: Lattice,
    place: NDArray[np.int32],
    parents: Places,
) -> None:
    """Write which voxel of the band is nearest to the contour, of the neighbours in layers before.

    For a stretch of the voxels beyond the first layer.
    """
    for c in range(ends[0], ends[1]):
        at = band[counts[1] + c]
        side = lattice.sides[at]
        before = counts[1] if counts[1] + c < counts[2] else counts[2]
        nearest, parent = np.inf, 0
        for axis in range(3):
            for after in range(2):
                if side >> (2 * axis + after) & 1:
                    continue
                stride = lattice.strides[axis]
                to = at + stride if after else at - stride
                if 0 < place[to] <= before and abs(phi[to]) < nearest - TIE:
                    nearest, parent = abs(phi[to]), place[to] - 1
        parents[c] = parent
