"""What lies inside closed contours, exactly: lines through the voxels, and where they enter.

Points are in voxels, cells are segments in 2D and triangles in 3D, all turned the same way.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
Cells = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Crossings:
    """Where lines along the last axis meet a contour.

    Parameters
    ----------
    shape : tuple of int
        Of the voxels; each place on all axes but the last has a line.
    lines : (n,) int array
        Number of the line, in C order.
    places : (n,) float array
        Where on the line, in voxels.
    turns : (n,) int array
        1 where the line enters, -1 where it leaves.
    """

    shape: tuple[int, ...]
    lines: NDArray[np.int64]
    places: NDArray[np.float64]
    turns: NDArray[np.int64]

    @classmethod
    def of(cls, points: Points, cells: Cells, shape: tuple[int, ...]) -> Crossings:
        """All crossings of closed contours, none twice where a line meets a shared point."""
        simplices = points[cells]
        if len(shape) == 2:
            lines, ends = np.zeros(len(cells), np.int64), simplices
        else:
            lines, ends = _cut(simplices, shape[0])
        which, rows = _rows(ends[..., 0], shape[-2])
        low, high, up = _sides(ends[which], rows)
        places = low[:, 1] + (rows - low[:, 0]) / (high - low)[:, 0] * (high - low)[:, 1]
        # A contour that turns counter-clockwise goes down where a line enters.
        return cls(shape, lines[which] * shape[-2] + rows, places, np.where(up, 1, -1))

    @property
    def first(self) -> NDArray[np.int64]:
        """First voxel of the line that is beyond each crossing; the number of voxels if none."""
        return np.clip(np.ceil(self.places), 0, self.shape[-1]).astype(np.int64)

    def windings(self) -> NDArray[np.int64]:
        """How often the contours go around each voxel centre, (...): 1 inside a simple one."""
        width = self.shape[-1] + 1
        cells = np.bincount(
            self.lines * width + self.first, self.turns, prod(self.shape[:-1]) * width
        )
        turns = cells.reshape(*self.shape[:-1], width).cumsum(axis=-1)
        return turns[..., :-1].astype(np.int64)

    def sums(self, running: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sums over the voxels inside of simple contours.

        Parameters
        ----------
        running : (n, ..., last + 1) array
            `running_sums` of what is to be added up.
        """
        values = running.reshape(len(running), -1)
        at = self.lines * (self.shape[-1] + 1) + self.first
        return np.asarray(-(values[:, at] * self.turns).sum(axis=1))


def running_sums(values: NDArray) -> NDArray[np.float64]:
    """Sum of what lies before each voxel on its line, and of all the line: (..., last + 1)."""
    return np.pad(values.cumsum(axis=-1, dtype=np.float64), [(0, 0)] * (values.ndim - 1) + [(1, 0)])


def filled(points: Points, cells: Cells, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Voxels whose centres lie inside; loops that are turned inside out hold none."""
    return Crossings.of(points, cells, shape).windings() > 0


def _cut(triangles: Points, planes: int) -> tuple[NDArray[np.int64], Points]:
    """Cut (m, 3, 3) triangles by planes of the first axis: planes and segments (n, 2, 2).

    Triangles that share an edge get the same point on it, to the last bit, so that the
    segments in a plane close as the triangles do.
    """
    which, rows = _rows(triangles[..., 0], planes)
    corners = triangles[which]
    below = corners[..., 0] <= rows[:, None]
    ends = []
    for falls in (True, False):
        start = np.argmax((below != falls) & (np.roll(below, -1, axis=1) == falls), axis=1)
        edges = corners[np.arange(len(rows))[:, None], np.stack([start, (start + 1) % 3], axis=1)]
        low, high, _ = _sides(edges, rows)
        share = (rows - low[:, 0]) / (high - low)[:, 0]
        ends.append(low[:, 1:] + share[:, None] * (high - low)[:, 1:])
    return rows, np.stack(ends, axis=1)


def _rows(places: NDArray[np.float64], size: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Which cells each row meets: those with a corner at or before it and one beyond it."""
    first, end = (
        np.clip(np.ceil(ends), 0, size).astype(np.int64)
        for ends in (places.min(axis=1), places.max(axis=1))
    )
    counts = end - first
    which = np.repeat(np.arange(len(places)), counts)
    rows = np.arange(len(which)) - np.repeat(counts.cumsum() - counts, counts) + first[which]
    return which, rows


def _sides(edges: Points, rows: NDArray[np.int64]) -> tuple[Points, Points, NDArray[np.bool_]]:
    """Lower and upper ends of (n, 2, ...) edges, and whether they lead upwards."""
    up = edges[:, 0, 0] <= rows
    chosen = up.astype(np.int64)
    each = np.arange(len(edges))
    return edges[each, 1 - chosen], edges[each, chosen], up
