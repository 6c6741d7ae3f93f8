"""How a membrane moves in a step, and how far it moved in some: in NumPy, in 2D and 3D."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from medseg.classical.matter import Points

if TYPE_CHECKING:
    from medseg.classical.pulling import Place, Pull

# How much longer than the last step the next one may be, and than the first one any.
_LONGER, _LONGEST = 2.0, 64.0
# A step that is too long is made so much shorter than it would have to be if points moved evenly.
SHORTER = 0.9


@dataclass(frozen=True)
class Pace:
    """How long a step may be.

    Parameters
    ----------
    time : float
    reach : float
        How far a point may move across the membrane, mm.
    longest : float
        What no time of a later step exceeds.
    """

    time: float
    reach: float
    longest: float

    @classmethod
    def begun(cls, time: float, reach: float) -> Pace:
        """Pace of a first step."""
        return cls(time, reach, _LONGEST * time)

    def after(self, time: float, farthest: float) -> Pace:
        """Pace of the next step, if this one took so long and moved no point by more mm."""
        room = _LONGER if not farthest else min(_LONGER, SHORTER * self.reach / farthest)
        return replace(self, time=min(room * time, self.longest))


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

    def relaxed(self, points: Points, weights: NDArray[np.float64], time: float) -> Points:
        """Places that weigh so much, in balance with elasticity and stiffness over some time."""
        ...

    def moved(self, points: Points) -> Self:
        """Membrane with its points at other places."""
        ...


M = TypeVar("M", bound=Moving)


def stepped(membrane: M, pull: Pull, place: Place, pace: Pace) -> tuple[M, Pace]:
    """A membrane some time later, by forces and its own resistance, and the pace of its next step.

    Implicit in the resistance, and in forces where they fall on the way: there a long step comes
    to where they end, and not beyond. Long steps rest where short ones do. Points that forces
    alone would carry too far weigh more, so that only they go slower; where the resistance would
    do so, the step is shorter for all.
    """
    points, outwards, time = membrane.points, membrane.normals(), pace.time
    speeds, slopes = pull.at(membrane, pace.reach / 2)
    while True:
        weights = np.maximum(1, time * np.abs(speeds) / pace.reach) + time * slopes
        wanted = weights[:, None] * points + time * speeds[:, None] * outwards
        found = membrane.relaxed(wanted, weights, time)
        farthest = float(np.abs(((found - points) * outwards).sum(axis=1)).max(initial=0))
        if not farthest > pace.reach:  # nor if it is nan
            return membrane.moved(place.held(found, points)), pace.after(time, farthest)
        time *= SHORTER * pace.reach / farthest


def shift(before: Points, after: Moving) -> float:
    """How far points moved in mm, on average, across the membrane to which they came."""
    _, nearest = cKDTree(after.points).query(before)
    across = ((before - after.points[nearest]) * after.normals()[nearest]).sum(axis=1)
    return float(np.abs(across).mean())
