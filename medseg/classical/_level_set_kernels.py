"""Loops of level sets in a narrow band around the contour, compiled.

Volumes have three axes; in 2D the first has a single voxel. A band is (n, 3): the voxels at the
contour first, then those one step from these over faces, and so on. What lies beyond the border
of the volume is equal to what lies on it.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

# Distances that differ by less, in mm, are equal: rounding shall not choose.
_TIE = 1e-6

Phi = NDArray[np.float64]
Band = NDArray[np.int32]

_compiled = numba.njit(nogil=True, cache=True)


@_compiled
def moved(  # noqa: PLR0913 - numba takes no structures of arrays
    ends: tuple[int, int],
    phi: Phi,
    band: Band,
    speed: NDArray[np.float32],
    edges: NDArray[np.float32],
    steps: NDArray[np.float64],
    weights: tuple[float, float, float],
    found: Phi,
) -> None:
    """Write what phi becomes at the voxels of a stretch of the band.

    `steps` are the spacing in mm; `weights` the time step, and the weights of curvature and of
    the slope of `edges`, which may be empty.
    """
    time, curvature, advection = weights
    n = phi.shape
    at, low, high = np.zeros(3, np.int64), np.zeros(3), np.zeros(3)
    for b in range(ends[0], ends[1]):
        at[:] = band[b]
        i, j, k = int(at[0]), int(at[1]), int(at[2])
        here = phi[i, j, k]
        before = (max(i - 1, 0), max(j - 1, 0), max(k - 1, 0))
        after = (min(i + 1, n[0] - 1), min(j + 1, n[1] - 1), min(k + 1, n[2] - 1))
        low[0] = (here - phi[before[0], j, k]) / steps[0]
        low[1] = (here - phi[i, before[1], k]) / steps[1]
        low[2] = (here - phi[i, j, before[2]]) / steps[2]
        high[0] = (phi[after[0], j, k] - here) / steps[0]
        high[1] = (phi[i, after[1], k] - here) / steps[1]
        high[2] = (phi[i, j, after[2]] - here) / steps[2]
        rate = -_outwards(np.float64(speed[i, j, k]), low, high)
        scale = 1.0
        if edges.size:
            scale = np.float64(edges[i, j, k])
            if advection:
                pull_i = (np.float64(edges[after[0], j, k]) - edges[before[0], j, k]) / (
                    2 * steps[0]
                )
                pull_j = (np.float64(edges[i, after[1], k]) - edges[i, before[1], k]) / (
                    2 * steps[1]
                )
                pull_k = (np.float64(edges[i, j, after[2]]) - edges[i, j, before[2]]) / (
                    2 * steps[2]
                )
                total = pull_i * (high[0] if pull_i > 0 else low[0])
                total += pull_j * (high[1] if pull_j > 0 else low[1])
                total += pull_k * (high[2] if pull_k > 0 else low[2])
                rate += advection * total
        if curvature:
            rate += curvature * scale * _bent(phi, at, before, after, low, high, steps)
        found[b] = here + time * rate


@_compiled
def _outwards(speed: float, low: Phi, high: Phi) -> float:
    """Speed times the length of the gradient, from where the contour comes."""
    total = 0.0
    for axis in range(3):
        if speed > 0:
            total += max(low[axis], 0.0) ** 2 + min(high[axis], 0.0) ** 2
        else:
            total += min(low[axis], 0.0) ** 2 + max(high[axis], 0.0) ** 2
    return float(speed * np.sqrt(total))


@_compiled
def _bent(  # noqa: PLR0913 - as above
    phi: Phi,
    at: NDArray[np.int64],
    before: tuple[int, int, int],
    after: tuple[int, int, int],
    low: Phi,
    high: Phi,
    steps: NDArray[np.float64],
) -> float:
    """Curvature of the contour, 1/mm, times the length of the gradient."""
    i, j, k = at
    slope_i, slope_j, slope_k = (
        (low[0] + high[0]) / 2,
        (low[1] + high[1]) / 2,
        (low[2] + high[2]) / 2,
    )
    ii, jj, kk = slope_i**2, slope_j**2, slope_k**2
    square = ii + jj + kk
    if square < 1e-12:
        return 0.0
    total = (high[0] - low[0]) / steps[0] * (jj + kk)
    total += (high[1] - low[1]) / steps[1] * (ii + kk)
    total += (high[2] - low[2]) / steps[2] * (ii + jj)
    a, z = before, after
    mixed = phi[z[0], z[1], k] - phi[z[0], a[1], k] - phi[a[0], z[1], k] + phi[a[0], a[1], k]
    total -= 2 * slope_i * slope_j * mixed / (4 * steps[0] * steps[1])
    mixed = phi[z[0], j, z[2]] - phi[z[0], j, a[2]] - phi[a[0], j, z[2]] + phi[a[0], j, a[2]]
    total -= 2 * slope_i * slope_k * mixed / (4 * steps[0] * steps[2])
    mixed = phi[i, z[1], z[2]] - phi[i, z[1], a[2]] - phi[i, a[1], z[2]] + phi[i, a[1], a[2]]
    total -= 2 * slope_j * slope_k * mixed / (4 * steps[1] * steps[2])
    return float(total / square)


@_compiled
def written(
    phi: Phi,
    band: Band,
    found: Phi,
    parents: NDArray[np.int64],
    allowed: NDArray[np.bool_],
    least: float,
) -> None:
    """Set phi at the first voxels of the band; to `least` or more where it is not allowed.

    The last ones change by as much as their parents.
    """
    changed = np.empty(len(band))
    for b in range(len(found)):
        i, j, k = band[b]
        now = found[b] if allowed[i, j, k] else max(found[b], least)
        changed[b] = now - phi[i, j, k]
        phi[i, j, k] = now
    for c in range(len(parents)):
        b = len(found) + c
        i, j, k = band[b]
        changed[b] = changed[parents[c]]
        phi[i, j, k] += changed[b]


@_compiled
def banded(
    phi: Phi,
    candidates: Band,
    count: int,
    far: float,
    steps: NDArray[np.float64],
    place: NDArray[np.int32],
) -> Any:
    """Make phi the distance to the contour again, and find the band of four layers.

    `candidates` are the voxels of the band before, one of which is each voxel at the contour,
    and `count` says of how many of them all neighbours are known; `place` is 0 at all voxels but
    these. Returns the band, how many voxels of it lie in each layer and the ones before, and
    for each voxel of the last two layers, its nearest neighbour in the layers before its own.
    """
    values = np.full(len(candidates), far)
    contour = np.zeros(len(candidates), np.bool_)
    for c in range(len(candidates)):
        i, j, k = candidates[c]
        place[i, j, k] = 0
        away, contour[c] = _by_slope(phi, i, j, k, steps)
        if contour[c] or c < count:
            values[c] = min(away, far)
    band, counts = _layered(candidates[contour], place)
    for c in range(len(candidates)):
        i, j, k = candidates[c]
        away = values[c] if place[i, j, k] else far
        phi[i, j, k] = away if phi[i, j, k] >= 0 else -away
    _distances(phi, band, far, steps)
    return band, counts, _parents(phi, band, counts, place)


@_compiled
def _layered(contour: Band, place: NDArray[np.int32]) -> Any:
    """The contour and three layers about it, and how many there are with each layer."""
    band, counts = contour, np.zeros(4, np.int64)
    n = counts[0] = len(contour)
    for b in range(n):
        place[band[b, 0], band[b, 1], band[b, 2]] = b + 1
    first = 0
    for layer in range(1, 4):
        end = n
        band = _longer(band[:n], 7 * n)
        for b in range(first, end):
            for axis in range(3):
                for side in (-1, 1):
                    u = band[b].copy()
                    u[axis] += side
                    if 0 <= u[axis] < place.shape[axis] and not place[u[0], u[1], u[2]]:
                        band[n] = u
                        n += 1
                        place[u[0], u[1], u[2]] = n
        first = end
        counts[layer] = n
    return band[:n].copy(), counts


@_compiled
def _parents(phi: Phi, band: Band, counts: NDArray[np.int64], place: NDArray[np.int32]) -> Any:
    parents = np.zeros(len(band) - counts[1], np.int64)
    for c in range(len(parents)):
        u = band[counts[1] + c].copy()
        count = counts[1] if counts[1] + c < counts[2] else counts[2]
        nearest = np.inf
        for axis in range(3):
            for side in (-1, 1):
                u[axis] += side
                if 0 <= u[axis] < phi.shape[axis]:
                    at = place[u[0], u[1], u[2]]
                    away = abs(phi[u[0], u[1], u[2]])
                    if 0 < at <= count and away < nearest - _TIE:
                        nearest, parents[c] = away, at - 1
                u[axis] -= side
    return parents


@_compiled
def _longer(band: Band, length: int) -> Any:
    longer = np.empty((length, 3), np.int32)
    longer[: len(band)] = band
    return longer


@_compiled
def _by_slope(phi: Phi, i: int, j: int, k: int, steps: NDArray[np.float64]) -> Any:
    """Distance to the contour, from phi and its slope, and whether a neighbour is beyond it."""
    here = phi[i, j, k]
    square = 0.0
    beside = False
    u = np.array([i, j, k])
    for axis in range(3):
        steepest, rise = 0.0, 0.0
        for side in (-1, 1):
            u[axis] += side
            if 0 <= u[axis] < phi.shape[axis]:
                there = phi[u[0], u[1], u[2]]
                slope = (there - here) / steps[axis]
                rise += side * slope / 2
                if (there >= 0) != (here >= 0):
                    beside = True
                    steepest = max(steepest, abs(slope))
            u[axis] -= side
        square += max(steepest, abs(rise)) ** 2
    if square < 0.25 and not beside:
        return np.inf, beside
    return abs(here) / np.sqrt(square), beside


@_compiled
def _distances(phi: Phi, band: Band, far: float, steps: NDArray[np.float64]) -> None:
    """Carry known distances to where there are none, in three rounds."""
    found, unknown = np.empty(len(band)), np.empty(len(band), np.bool_)
    near, lengths = np.zeros(3), np.zeros(3)
    for b in range(len(band)):
        i, j, k = band[b]
        unknown[b] = abs(phi[i, j, k]) >= far
    for _ in range(3):
        for b in range(len(band)):
            if unknown[b]:
                i, j, k = band[b]
                _look(phi, band[b], far, near)
                lengths[:] = steps
                found[b] = min(abs(phi[i, j, k]), _solved(near, lengths))
        for b in range(len(band)):
            if unknown[b]:
                i, j, k = band[b]
                phi[i, j, k] = found[b] if phi[i, j, k] >= 0 else -found[b]


@_compiled
def _look(phi: Phi, voxel: NDArray[np.int32], far: float, near: Phi) -> None:
    """Distance of the nearer neighbour along each axis, infinite if unknown."""
    u = voxel.copy()
    for axis in range(3):
        near[axis] = np.inf
        for side in (-1, 1):
            u[axis] += side
            if 0 <= u[axis] < phi.shape[axis]:
                away = abs(phi[u[0], u[1], u[2]])
                if away < far:
                    near[axis] = min(near[axis], away)
            u[axis] -= side


@_compiled
def _solved(near: Phi, lengths: Phi) -> float:
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
