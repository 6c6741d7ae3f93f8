"""Loops that move a level set in a narrow band around its contour, compiled.

Volumes have three axes, of which the first has a single voxel in 2D, and are flat arrays; `sides`
says at the border of which axes a voxel lies. What is beyond the border is equal to what is on
it.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from medseg.classical.forces import FLAT, SLIGHT

Floats = NDArray[np.float64]
Places = NDArray[np.int64]

_compiled = numba.njit(nogil=True, cache=True)
# Where nothing is allocated, numba need not count at each use who holds the arrays of a tuple.
_uncounted = numba.njit(nogil=True, cache=True, _nrt=False)


class Lattice(NamedTuple):
    """Where voxels have neighbours.

    Parameters
    ----------
    sides : (voxels,) uint8 array
        Bits 2a and 2a + 1 are set where there is no voxel before or after along axis a.
    strides : (3,) int64 array
        How far apart neighbours lie in flat arrays.
    steps : (3,) float64 array
        The same in mm.
    """

    sides: NDArray[np.uint8]
    strides: Places
    steps: Floats


class Weights(NamedTuple):
    """Of what moves a contour: the time step, and the weights of curvature and of edges."""

    time: float
    curvature: float
    advection: float


@_compiled
def moved(  # noqa: PLR0913 - numba takes no structures of arrays that change
    ends: tuple[int, int],
    phi: Floats,
    band: Places,
    lattice: Lattice,
    speed: NDArray[np.float32],
    edges: NDArray[np.float32],
    gates: NDArray[np.float32],
    weights: Weights,
    found: Floats,
) -> None:
    """Write by how much phi changes at the voxels of a stretch of the band.

    `speed` is that of each of these voxels; `edges` is a volume, or empty, and `gates` has one
    for each of the last axes, or none.
    """
    least = SLIGHT * lattice.steps.min()
    low, high = np.empty(3), np.empty(3)
    before, after = np.empty(3, np.int64), np.empty(3, np.int64)
    for b in range(ends[0], ends[1]):
        at = band[b]
        here, side, steepest = phi[at], lattice.sides[at], 1.0
        for axis in range(3):
            before[axis] = 0 if side >> 2 * axis & 1 else -lattice.strides[axis]
            after[axis] = 0 if side >> 2 * axis & 2 else lattice.strides[axis]
            first, last = phi[at + before[axis]], phi[at + after[axis]]
            low[axis] = (here - first) / lattice.steps[axis]
            high[axis] = (last - here) / lattice.steps[axis]
            if (first >= 0) != (here >= 0):
                steepest = max(steepest, abs(low[axis]))
            if (last >= 0) != (here >= 0):
                steepest = max(steepest, abs(high[axis]))
        outwards, bent = np.float64(speed[b]), 0.0
        if weights.curvature:
            bent = weights.curvature * _bent(phi, at, before, after, low, high, lattice.steps)
        if len(gates):
            # No bend is tighter than a voxel: with steeper ones, phi could jump over a gate.
            most = weights.curvature / lattice.steps.min()
            outwards -= min(max(bent, -most), most)
            bent = 0.0
            _gate(gates, at, before, low, high)
        rate = -_upwind(outwards, low, high)
        if edges.size:
            bent *= edges[at]
            if weights.advection:
                rate += weights.advection * _pulled(edges, at, before, after, low, high, lattice)
        rate += bent
        # Where speeds part the voxels on both sides, phi would become ever steeper; but what a
        # gate holds shall not shrink until rounding lets it through.
        now = here + weights.time * rate
        found[b] = now / max(min(steepest, abs(now) / least), 1.0) - here


@_uncounted
def _gate(gates: NDArray[np.float32], at: int, before: Places, low: Floats, high: Floats) -> None:
    """Scale slopes by the gates between the voxel and its neighbours."""
    missing = 3 - len(gates)
    for axis in range(missing, 3):
        low[axis] *= gates[axis - missing, at + before[axis]]
        high[axis] *= gates[axis - missing, at]


@_uncounted
def _upwind(speed: float, low: Floats, high: Floats) -> float:
    """Speed times the length of the gradient, from where the contour comes."""
    total = 0.0
    for axis in range(3):
        if speed > 0:
            total += max(low[axis], -high[axis], 0.0) ** 2
        else:
            total += max(-low[axis], high[axis], 0.0) ** 2
    return speed * math.sqrt(total)


@_uncounted
def _pulled(  # noqa: PLR0913 - as above
    edges: NDArray[np.float32],
    at: int,
    before: Places,
    after: Places,
    low: Floats,
    high: Floats,
    lattice: Lattice,
) -> float:
    """Slope of the edges times the gradient, from where the contour comes."""
    total = 0.0
    for axis in range(3):
        pull = np.float64(edges[at + after[axis]]) - edges[at + before[axis]]
        pull /= 2 * lattice.steps[axis]
        total += pull * (high[axis] if pull > 0 else low[axis])
    return total


@_uncounted
def _bent(  # noqa: PLR0913 - as above
    phi: Floats,
    at: int,
    before: Places,
    after: Places,
    low: Floats,
    high: Floats,
    steps: Floats,
) -> float:
    """Curvature of the contour, 1/mm, times the length of the gradient."""
    square, total = 0.0, 0.0
    for axis in range(3):
        square += ((low[axis] + high[axis]) / 2) ** 2
    if square < FLAT:
        return 0.0
    for axis in range(3):
        slope = (low[axis] + high[axis]) / 2
        total += (high[axis] - low[axis]) / steps[axis] * (square - slope**2)
        for other in range(axis):
            mixed = phi[at + after[axis] + after[other]] - phi[at + after[axis] + before[other]]
            mixed -= phi[at + before[axis] + after[other]] - phi[at + before[axis] + before[other]]
            mixed /= 4 * steps[axis] * steps[other]
            total -= slope * (low[other] + high[other]) * mixed
    return total / square


@_compiled
def written(  # noqa: PLR0913 - as above
    phi: Floats,
    band: Places,
    found: Floats,
    parents: Places,
    allowed: NDArray[np.bool_],
    owners: NDArray[np.int32],
    label: int,
    least: float,
) -> Any:
    """Change phi in the band; voxels with a parent as much as this, but they stay on their side.

    Where a contour is not allowed, or another one owns a voxel, phi stays at `least` or above.
    Returns the places that changed sides.
    """
    turned, count = np.empty(len(found), np.int64), 0
    for b in range(len(found)):
        at = band[b]
        here, owner = phi[at], owners[at]
        now = here + found[b]
        if now < least and (not allowed[at] or owner not in (0, label)):
            now = least
        found[b] = now - here
        phi[at] = now
        if (now < 0) != (here < 0):
            owners[at] = label if now < 0 else 0
            turned[count] = at
            count += 1
    for c in range(len(parents)):
        at = band[len(found) + c]
        now = phi[at] + found[parents[c]]
        phi[at] = min(now, -least) if phi[at] < 0 else max(now, least)
    return turned[:count].copy()


@_uncounted
def drift(phi: Floats, band: Places, was: Floats) -> float:
    """Largest difference to what phi was at the first voxels of the band."""
    largest = 0.0
    for b in range(len(was)):
        largest = max(largest, abs(phi[band[b]] - was[b]))
    return largest


@_compiled
def faces(phi: Floats, contour: Places, lattice: Lattice) -> Any:
    """How many neighbours along each axis lie on different sides of the contour."""
    counts = np.zeros(3, np.int64)
    for at in contour:
        for axis in range(3):
            if not lattice.sides[at] >> 2 * axis & 2:
                counts[axis] += (phi[at] < 0) != (phi[at + lattice.strides[axis]] < 0)
    return counts
