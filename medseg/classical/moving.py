"""How a membrane moves in a step, and how far it moved in some: in NumPy, in 2D and 3D."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from medseg.classical.matter import Points

if TYPE_CHECKING:
    from medseg.classical.pulling import Place, Pull


class Moving(Protocol):
    """A membrane that tells what a step is made of."""

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


M = TypeVar("M", bound=Moving)


def stepped(membrane: M, pull: Pull, place: Place, time: float) -> M:
    """A membrane some time later, by forces and its own resistance."""
    points = membrane.points
    pulled = points + time * pull.at(membrane)
    return membrane.moved(place.held(membrane.relaxed(pulled, time), points))


def shift(before: Points, after: Moving) -> float:
    """How far points moved in mm, on average, across the membrane to which they came."""
    _, nearest = cKDTree(after.points).query(before)
    across = ((before - after.points[nearest]) * after.normals()[nearest]).sum(axis=1)
    return float(np.abs(across).mean())
