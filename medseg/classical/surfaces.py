"""Closed surfaces in 3D that are elastic and stiff, and do not cross themselves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array, diags_array

from medseg.classical.matter import (
    GONE,
    Matter,
    Points,
    on_lattice,
    renewed,
    step_for,
    unit_vectors,
)
from medseg.classical.moving import Pace, shift, stepped
from medseg.contour import Crossings

if TYPE_CHECKING:
    from medseg.classical.pulling import Place, Pull

# Of what the distance between points should be, beyond which a surface gets new ones: the
# longest edge, and the shortest and longest mean.
_LONGEST, _SHORT_MEAN, _LONG_MEAN = 3.5, 0.6, 1.6
# Relative, of the semi-implicit step; and how many steps to it are always enough.
_RESIDUAL, _CONJUGATE_STEPS = 1e-5, 200


@dataclass(frozen=True, eq=False)
class Surface:
    """Closed surfaces in 3D, of triangles.

    Parameters
    ----------
    points : (n, 3) float array
    cells : (m, 3) int array
        Counter-clockwise, seen from outside.
    matter : Matter
    differences : (n, n) sparse array
        As many as a point has neighbours, on the diagonal; -1 for each neighbour.
    neighbours : (n,) float array
        How many each point has.
    """

    points: Points
    cells: NDArray[np.int64]
    matter: Matter
    differences: csr_array
    neighbours: NDArray[np.float64]

    @classmethod
    def of(cls, points: Points, cells: NDArray[np.int64], matter: Matter) -> Surface:
        """Surface of triangles that close."""
        # Each edge is in two triangles, once in each direction.
        ones = np.ones(cells.size)
        ends = (cells.ravel(), np.roll(cells, -1, axis=1).ravel())
        joined = coo_array((ones, ends), shape=(len(points), len(points))).tocsr()
        neighbours = np.bincount(cells.ravel(), minlength=len(points)).astype(np.float64)
        return cls(points, cells, matter, csr_array(diags_array(neighbours) - joined), neighbours)

    def stepped(self, pull: Pull, place: Place, pace: Pace) -> tuple[Surface, Pace]:
        """Surface some time later, by its own resistance and forces, and its next pace."""
        return stepped(self, pull, place, pace)

    def shift(self, before: Points) -> float:
        """How far points moved in mm, on average, across the surface to which they came."""
        return shift(before, self)

    def normals(self) -> Points:
        """Directions outwards at the points, (n, 3)."""
        a, b, c = self.points[self.cells].swapaxes(0, 1)
        areas = np.cross(b - a, c - a)
        total = [
            sum(np.bincount(corner, each, len(self.points)) for corner in self.cells.T)
            for each in areas.T
        ]
        return unit_vectors(np.stack(total, axis=1))

    def relaxed(self, points: Points, weights: NDArray[np.float64], time: float) -> Points:
        """Places that weigh so much, in balance with elasticity and stiffness over some time.

        The mean of the neighbours at a distance e of a point differs from it by e²/4 times the
        Laplacian on the surface. Besides, it keeps the triangles even.
        """
        if not len(points):
            return points
        lengths = self.edges() ** 2
        share = 4 / float(lengths.mean())
        elastic = time * self.matter.elasticity * share
        stiff = time * self.matter.stiffness * share**2
        count = self.neighbours[:, None]
        mass = weights[:, None] * count

        def weighed(values: Points) -> Points:
            change = self.differences @ values
            bent = self.differences @ (change / count)
            return np.asarray(mass * values + elastic * change + stiff * bent)

        scale = mass + (elastic + stiff) * count
        return _conjugate_gradients(weighed, scale, count * points, self.points)

    def moved(self, points: Points) -> Surface:
        """Surface with its points at other places."""
        least = GONE * self.matter.distance
        if len(points) and np.ptp(points, axis=0).min() > least:
            found = replace(self, points=points)
            # Several may have become dots, far from each other.
            if found.edges().mean() > least:
                return found
        return Surface.of(points[:0], self.cells[:0], self.matter)

    def mended(self) -> Surface:
        """Surface around what this one goes around, with new points where they are uneven.

        That it crosses itself is noticed where a point of a lattice as fine as the triangles
        is inside twice.
        """
        if not len(self.points):
            return self
        step = step_for(self.points, self.matter.distance)
        lengths = self.edges() / step
        even = lengths.max() < _LONGEST and _SHORT_MEAN < lengths.mean() < _LONG_MEAN
        places, shape, _ = on_lattice(self.points, step)
        windings = Crossings.of(places, self.cells, shape).windings()
        if even and windings.min() >= 0 and windings.max() <= 1:
            return self
        return Surface.of(*renewed(self.points, self.cells, self.matter.distance), self.matter)

    def edges(self) -> NDArray[np.float64]:
        """Lengths of the edges in mm, each twice."""
        corners = self.points[self.cells]
        return np.asarray(np.linalg.norm(corners - np.roll(corners, -1, axis=1), axis=2).ravel())


def _conjugate_gradients(
    weighed: Callable[[Points], Points], scale: Points, wanted: Points, start: Points
) -> Points:
    """Columns x with `weighed(x)` = `wanted`, by conjugate gradients scaled by the diagonal."""
    found = start.copy()
    rest = wanted - weighed(found)
    enough = _RESIDUAL**2 * (wanted**2 / scale).sum(axis=0)
    way = scaled = rest / scale
    now = (rest * scaled).sum(axis=0)
    for _ in range(_CONJUGATE_STEPS):
        if (now <= enough).all():
            break
        image = weighed(way)
        length = now / np.maximum((way * image).sum(axis=0), np.finfo(float).tiny)
        found += length * way
        rest -= length * image
        scaled = rest / scale
        before, now = now, (rest * scaled).sum(axis=0)
        way = scaled + now / np.maximum(before, np.finfo(float).tiny) * way
    return found
