"""How far the voxels of a border lie from another border."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import floor, nan

import numpy as np
from numpy.typing import ArrayLike, NDArray

# Three voxels of 0.1 mm are 0.30000000000000004 mm, which 0.3 mm should still cover.
ROUNDING_MM = 1e-9


@dataclass(frozen=True, eq=False)
class Distances:
    """Histogram of the distances from some border voxels to the other border.

    Parameters
    ----------
    mm : (n,) float array
        Distances, ascending; infinite if there is no other border.
    counts : (n,) integer array
        How many border voxels have each distance; may be 0.
    """

    mm: NDArray[np.float64]
    counts: NDArray[np.int64]

    @classmethod
    def from_values(cls, values: ArrayLike) -> Distances:
        """Histogram of one distance in mm for each border voxel."""
        mm, counts = np.unique(np.asarray(values, dtype=np.float64), return_counts=True)
        return cls(mm, counts.astype(np.int64))

    def __len__(self) -> int:
        return int(self._within[-1]) if len(self._within) else 0

    def __add__(self, other: Distances) -> Distances:
        """Both histograms as one."""
        if self.mm is other.mm:  # as those of all labels of a pair of maps have it
            return Distances(self.mm, self.counts + other.counts)
        mm, places = np.unique(np.concatenate([self.mm, other.mm]), return_inverse=True)
        counts = np.zeros(len(mm), np.int64)
        np.add.at(counts, places, np.concatenate([self.counts, other.counts]))
        return Distances(mm, counts)

    def max(self) -> float:
        """Largest distance in mm; nan if there is none."""
        return self._ranked(len(self) - 1) if len(self) else nan

    def sum(self) -> float:
        """Sum of all distances in mm."""
        return float(self.mm @ self.counts)

    def mean(self) -> float:
        """Mean distance in mm; nan if there is none."""
        return self.sum() / len(self) if len(self) else nan

    def percentile(self, percent: float) -> float:
        """Distance in mm that `percent` of the voxels stay below; nan if there is none.

        Interpolates linearly between neighbouring ranks, as `numpy.percentile` does.
        """
        if not len(self):
            return nan
        place = percent / 100 * (len(self) - 1)
        below, above = (
            self._ranked(floor(place)),
            self._ranked(min(floor(place) + 1, len(self) - 1)),
        )
        # Infinity minus infinity is no number.
        return below if below == above else below + (above - below) * (place - floor(place))

    def share_within(self, tolerance_mm: float) -> float:
        """Share of the voxels that are no farther than `tolerance_mm`; nan if there is none."""
        if not len(self):
            return nan
        return self.within(tolerance_mm) / len(self)

    def within(self, tolerance_mm: float) -> int:
        """How many of the voxels are no farther than `tolerance_mm`."""
        near = int(self.mm.searchsorted(tolerance_mm + ROUNDING_MM, side="right"))
        return int(self._within[near - 1]) if near else 0

    @cached_property
    def _within(self) -> NDArray[np.int64]:
        """How many voxels are no farther than each distance."""
        return self.counts.cumsum()

    def _ranked(self, rank: int) -> float:
        """Distance of the voxel of that rank, the nearest first."""
        return float(self.mm[self._within.searchsorted(rank, side="right")])
