"""Closed curves in 2D that are elastic and stiff, and do not cross themselves."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array, diags_array
from scipy.sparse.linalg import spsolve
from scipy.spatial import cKDTree

from medseg.classical.matter import GONE, Matter, Points, renewed, unit_vectors
from medseg.classical.moving import Pace, shift, stepped

if TYPE_CHECKING:
    from medseg.classical.pulling import Place, Pull

# A closed curve has so many points at least.
FEWEST = 8


@dataclass(frozen=True, eq=False)
class Curves:
    """Closed curves in 2D, of points as far apart as their matter says.

    Parameters
    ----------
    loops : tuple of (n, 2) float array
        Counter-clockwise around what is inside.
    matter : Matter
    """

    loops: tuple[Points, ...]
    matter: Matter

    @classmethod
    def of(cls, points: Points, cells: NDArray[np.int64], matter: Matter) -> Curves:
        """Curves of segments, one from each point to another."""
        following = np.empty(len(points), np.int64)
        following[cells[:, 0]] = cells[:, 1]
        left, loops, after = np.ones(len(points), bool), [], following.tolist()
        for first in range(len(points)):
            if not left[first]:
                continue
            order, at = [first], after[first]
            while at != first:
                order.append(at)
                at = after[at]
            left[order] = False
            loops.append(evenly(points[order], matter.distance))
        return cls(tuple(loops), matter)

    @property
    def points(self) -> Points:
        """Places in mm, (n, 2)."""
        return np.concatenate(self.loops) if self.loops else np.zeros((0, 2))

    @property
    def cells(self) -> NDArray[np.int64]:
        """Points of each segment, (m, 2)."""
        return segments(self.ends)

    @property
    def ends(self) -> NDArray[np.int64]:
        """Where the points of each curve end."""
        return np.cumsum([len(loop) for loop in self.loops], dtype=np.int64)

    def stepped(self, pull: Pull, place: Place, pace: Pace) -> tuple[Curves, Pace]:
        """Curves some time later, by their own resistance and forces, and their next pace."""
        return stepped(self, pull, place, pace)

    def shift(self, before: Points) -> float:
        """How far points moved in mm, on average, across the curves to which they came."""
        return shift(before, self)

    def normals(self) -> Points:
        """Directions outwards at the points, (n, 2)."""
        along = [_after(loop) - _before(loop) for loop in self.loops]
        steps = np.concatenate(along) if along else np.zeros((0, 2))
        return unit_vectors(np.stack([steps[:, 1], -steps[:, 0]], axis=1))

    def relaxed(self, points: Points, weights: NDArray[np.float64], time: float) -> Points:
        """Places that weigh so much, in balance with elasticity and stiffness over some time."""
        found, start = np.empty_like(points), 0
        for loop in self.loops:
            n = len(loop)
            squared = float(np.sqrt(((_after(loop) - loop) ** 2).sum(axis=1)).mean()) ** 2
            elastic = time * self.matter.elasticity / squared
            stiff = time * self.matter.stiffness / squared**2
            bent = _even_bands(n, (2 * elastic + 6 * stiff, -elastic - 4 * stiff, stiff))
            own = slice(start, start + n)
            found[own] = spsolve(bent + diags_array(weights[own]), points[own])
            start += n
        return found

    def moved(self, points: Points) -> Curves:
        """Curves with points at even steps, along curves through other places."""
        loops, start = [], 0
        for loop in self.loops:
            places = points[start : start + len(loop)]
            start += len(loop)
            if np.ptp(places, axis=0).min() > GONE * self.matter.distance:
                loops.append(evenly(places, self.matter.distance))
        return replace(self, loops=tuple(loops))

    def mended(self) -> Curves:
        """Curves that do not cross, around what these go around."""
        if not self.crossing():
            return self
        points, cells = renewed(self.points, self.cells, self.matter.distance)
        return Curves.of(points, cells, self.matter)

    def crossing(self) -> bool:
        """Whether segments cross that are no neighbours."""
        first, second = self.points[self.cells].swapaxes(0, 1)
        if not len(first):
            return False
        # Segments that cross have middles no farther apart than the longest one is long.
        longest = np.sqrt(((second - first) ** 2).sum(axis=1)).max()
        pairs = cKDTree((first + second) / 2).query_pairs(longest, output_type="ndarray")
        a, b, c, d = (
            first[pairs[:, 0]],
            second[pairs[:, 0]],
            first[pairs[:, 1]],
            second[pairs[:, 1]],
        )
        apart = (_turn(a, b, c) * _turn(a, b, d) < 0) & (_turn(c, d, a) * _turn(c, d, b) < 0)
        return bool(apart.any())


def segments(ends: NDArray[np.int64]) -> NDArray[np.int64]:
    """Segments of closed curves whose points end there, (m, 2)."""
    first = np.arange(ends[-1] if len(ends) else 0)
    second = first + 1
    second[ends - 1] = np.concatenate([[0], ends[:-1]])[: len(ends)]
    return np.stack([first, second], axis=1)


def evenly(loop: Points, distance: float) -> Points:
    """Points at even steps on a closed curve, about `distance` mm apart."""
    closed = np.concatenate([loop, loop[:1]])
    along = lengths_along(closed)
    count = max(FEWEST, round(along[-1] / distance))
    return places_on(closed, along, np.arange(count) * (along[-1] / count))


def lengths_along(line: Points) -> NDArray[np.float64]:
    """How long a line is up to each of its points, mm."""
    steps = np.sqrt((np.diff(line, axis=0) ** 2).sum(axis=1))
    return np.concatenate([[0.0], steps.cumsum()])


def places_on(line: Points, along: NDArray[np.float64], wanted: NDArray[np.float64]) -> Points:
    """Points of a line at some lengths along it, mm."""
    return np.stack([np.interp(wanted, along, each) for each in line.T], axis=1)


def _even_bands(size: int, bands: tuple[float, float, float]) -> csc_array:
    """Symmetric matrix whose rows go round: what is on the diagonal, beside it and next to that."""
    middle, near, far = bands
    values = np.repeat([far, near, middle, near, far], size)
    rows = np.tile(np.arange(size), 5)
    columns = (rows + np.repeat(np.arange(-2, 3), size)) % size
    return csc_array((values, (rows, columns)), shape=(size, size))


def _after(loop: Points) -> Points:
    return np.concatenate([loop[1:], loop[:1]])


def _before(loop: Points) -> Points:
    return np.concatenate([loop[-1:], loop[:-1]])


def _turn(a: Points, b: Points, c: Points) -> NDArray[np.float64]:
    """Above 0 where the way from a over b to c turns left."""
    (x, y), (u, v) = (b - a).T, (c - a).T
    return np.asarray(x * v - y * u)
