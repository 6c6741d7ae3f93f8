"""How far the voxels of a border lie from another border."""

from __future__ import annotations

from dataclasses import dataclass
from math import floor, nan

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, eq=False)
class Distances:
    """Histogram of the distances from some border voxels to the other border.

    Parameters
    ----------
    mm : (n,) float array
        The distances that occur, ascending; infinite if there is no other border.
    counts : (n,) integer array
        How many border voxels have each distance, at least 1.
    """

    mm: NDArray[np.float64]
    counts: NDArray[np.int64]

    @classmethod
    def from_values(cls, values: ArrayLike) -> Distances:
        """Histogram of one distance in mm for each border voxel."""
        mm, counts = np.unique(np.asarray(values, dtype=np.float64), return_counts=True)
        return cls(mm, counts.astype(np.int64))

    def __len__(self) -> int:
        return int(self.counts.sum())

    def __add__(self, other: Distances) -> Distances:
        """Both histograms as one."""
        mm, places = np.unique(np.concatenate([self.mm, other.mm]), return_inverse=True)
        counts = np.zeros(len(mm), np.int64)
        np.add.at(counts, places, np.concatenate([self.counts, other.counts]))
        return Distances(mm, counts)

    def max(self) -> float:
        """Largest distance in mm; nan if there is none."""
        return float(self.mm[-1]) if len(self.mm) else nan

    def mean(self) -> float:
        """Mean distance in mm; nan if there is none."""
        return float(self.mm @ self.counts) / len(self) if len(self.mm) else nan

    def percentile(self, percent: float) -> float:
        """Distance in mm that `percent` of the voxels stay below; nan if there is none.

        Interpolates linearly between neighbouring ranks, as `numpy.percentile` does.
        """
        if not len(self.mm):
            return nan
        place = percent / 100 * (len(self) - 1)
        ranks = np.searchsorted(
            np.cumsum(self.counts), [floor(place), min(floor(place) + 1, len(self) - 1)], "right"
        )
        below, above = (float(x) for x in self.mm[ranks])
        # Infinity minus infinity is no number.
        return below if below == above else below + (above - below) * (place - floor(place))

    def share_within(self, tolerance_mm: float) -> float:
        """Share of the voxels that are no farther than `tolerance_mm`; nan if there is none."""
        if not len(self.mm):
            return nan
        # Three voxels of 0.1 mm are 0.30000000000000004 mm, which 0.3 mm should still cover.
        near = int(self.counts[self.mm <= tolerance_mm + 1e-9].sum())
        return near / len(self)
