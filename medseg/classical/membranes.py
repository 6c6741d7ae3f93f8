"""What curves in 2D and surfaces in 3D have in common.

Points are in mm from the first voxel, along the axes of the volume. Time is such that a speed
of 1 moves a point by a mm.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from medseg.classical.curves import Curves
from medseg.classical.matter import Matter, Points, renewed
from medseg.classical.moving import Pace
from medseg.classical.pulling import Place, Pull
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

    def stepped(self, pull: Pull, place: Place, pace: Pace) -> tuple[Self, Pace]:
        """Membrane some time later, by its own resistance and forces, and its next pace."""
        ...

    def mended(self) -> Self:
        """Membrane with even points that does not cross itself."""
        ...

    def shift(self, before: Points) -> float:
        """How far points moved in mm, on average, across the membrane to which they came."""
        ...


# Makes curves of points, segments and what they are made of.
MakeCurves = Callable[[Points, NDArray[np.int64], Matter], Membrane]


def around(
    region: NDArray[np.bool_],
    spacing: tuple[float, ...],
    matter: Matter,
    curves: MakeCurves = Curves.of,
) -> Membrane:
    """Membrane around a region of voxels: a surface in 3D, in 2D what `curves` makes."""
    points, cells = outlined(region)
    points = points * spacing
    if region.ndim == 2:
        return curves(points, cells, matter)
    points, cells = renewed(points, cells, matter.distance)
    return Surface.of(points, cells, matter)
