"""Closed curves in 2D that move by compiled code: on the CPU, where a step takes microseconds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medseg.classical.curves import FEWEST, Curves, segments
from medseg.classical.matter import GONE, Matter, Points, renewed
from medseg.classical.moving import Pace
from medseg.classical.pulling import Place, Pull


@dataclass(frozen=True, eq=False)
class CompiledCurves:
    """`Curves`, one after the other, that move as these do.

    Parameters
    ----------
    points : (n, 2) float array
    ends : (curves,) int array
        Where the points of each curve end.
    matter : Matter
    """

    points: Points
    ends: NDArray[np.int64]
    matter: Matter

    @classmethod
    def of(cls, points: Points, cells: NDArray[np.int64], matter: Matter) -> CompiledCurves:
        """Curves of segments, one from each point to another."""
        curves = Curves.of(points, cells, matter)
        return cls(curves.points, curves.ends, matter)

    @property
    def cells(self) -> NDArray[np.int64]:
        """Points of each segment, (m, 2)."""
        return segments(self.ends)

    def stepped(self, pull: Pull, place: Place, pace: Pace) -> tuple[CompiledCurves, Pace]:
        """Curves some time later, by their own resistance and forces, and their next pace."""
        from medseg.classical import _curve_kernels, _curve_step_kernels

        matter = self.matter
        points, time, farthest = _curve_step_kernels.step(
            self.points,
            self.ends,
            pull.slices,
            (place.allowed, place.spacing),
            # A whole number would have all compiled anew.
            (float(matter.elasticity), float(matter.stiffness)),
            (float(pace.time), float(pace.reach)),
        )
        even, ends = _curve_kernels.evenly(
            points, self.ends, float(matter.distance), FEWEST, GONE * matter.distance
        )
        return CompiledCurves(even, ends, matter), pace.after(time, farthest)

    def mended(self) -> CompiledCurves:
        """Curves that do not cross, around what these go around."""
        from medseg.classical import _curve_kernels

        if not _curve_kernels.crossing(self.points, self.ends):
            return self
        points, cells = renewed(self.points, self.cells, self.matter.distance)
        return CompiledCurves.of(points, cells, self.matter)

    def shift(self, before: Points) -> float:
        """How far points moved in mm, on average, across the curves to which they came."""
        from medseg.classical import _curve_kernels

        return float(_curve_kernels.shift(before, self.points, self.ends))
