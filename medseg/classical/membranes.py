"""What curves in 2D and surfaces in 3D have in common.

Points are in mm from the first voxel, along the axes of the volume. Time is such that a speed
of 1 moves a point by a mm.
"""

from __future__ import annotations

from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from medseg.classical.curves import Curves
from medseg.classical.matter import Matter, Points, renewed
from medseg.classical.surfaces import Surface
from medseg.contour import outlined


class Membrane(Protocol):
    """A closed curve in 2D or a closed surface in 3D, or several; none when it is gone."""

    @property
    def points(self) -> Points:
        """Places in mm, (n, axes)."""
        ...

    @property
    def cells(self) -> NDArray[np.int64]:
        """Points of each segment or triangle, (m, axes)."""
        ...

    def normals(self) -> Points:
        """Directions outwards at the points."""
        ...

    def relaxed(self, points: Points, time: float) -> Points:
        """Places of the points, moved from where they would be without elasticity."""
        ...

    def moved(self, points: Points) -> Self:
        """Membrane with its points at other places."""
        ...

    def mended(self) -> Self:
        """Membrane with even points that does not cross itself."""
        ...


def around(region: NDArray[np.bool_], spacing: tuple[float, ...], matter: Matter) -> Membrane:
    """Membrane around a region of voxels, in 2D or 3D."""
    points, cells = outlined(region)
    points = points * spacing
    if region.ndim == 2:
        return Curves.of(points, cells, matter)
    points, cells = renewed(points, cells, matter.distance)
    return Surface.of(points, cells, matter)


def shift(before: Points, after: Membrane) -> float:
    """How far points moved in mm, on average, across the membrane to which they came."""
    if not len(before) or not len(after.points):
        return 0.0 if len(before) == len(after.points) else np.inf
    _, nearest = cKDTree(after.points).query(before)
    across = ((before - after.points[nearest]) * after.normals()[nearest]).sum(axis=1)
    return float(np.abs(across).mean())
