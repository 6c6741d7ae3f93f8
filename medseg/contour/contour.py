"""Closed and open contours in the world: curves of segments, surfaces of triangles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Contour:
    """Points in the world, and what joins them.

    Parameters
    ----------
    points : (n, 2) or (n, 3) float array
        mm, RAS+; made read-only, as the others.
    cells : (m, 2) or (m, 3) int array
        Points of each segment of a curve, or of each triangle of a surface. Seen from where
        each label is not, its triangles turn counter-clockwise.
    labels : (m,) int array
        What each cell is the contour of.

    Raises
    ------
    ValueError
        If the shapes don't fit each other, or a cell names a point that isn't there.
    """

    points: NDArray[np.float64]
    cells: NDArray[np.int64]
    labels: NDArray[np.int64]

    def __post_init__(self) -> None:
        points = np.array(self.points, np.float64)
        cells, labels = np.array(self.cells, np.int64), np.array(self.labels, np.int64)
        if points.ndim != 2 or points.shape[1] not in (2, 3):
            raise ValueError(f"a contour has (n, 2) or (n, 3) points, got shape {points.shape}")
        if cells.ndim != 2 or cells.shape[1] not in (2, 3) or labels.shape != cells.shape[:1]:
            raise ValueError(
                "a contour has (m, 2) segments or (m, 3) triangles and a label for each, "
                f"got shapes {cells.shape} and {labels.shape}"
            )
        if cells.size and not 0 <= cells.min() <= cells.max() < len(points):
            raise ValueError(
                f"cells name points 0 to {len(points) - 1}, got {cells.min()} to {cells.max()}"
            )
        for name, array in (("points", points), ("cells", cells), ("labels", labels)):
            array.flags.writeable = False
            object.__setattr__(self, name, array)

    def of(self, label: int) -> Contour:
        """Contour of one label; with no cells if it has none."""
        chosen = self.labels == label
        used, cells = np.unique(self.cells[chosen], return_inverse=True)
        return Contour(
            self.points[used], cells.reshape(-1, self.cells.shape[1]), self.labels[chosen]
        )

    @property
    def size(self) -> float:
        """Length of a curve in mm, area of a surface in mm²."""
        first, *others = np.moveaxis(self.points[self.cells], 1, 0)
        if len(others) == 1:
            return float(np.linalg.norm(others[0] - first, axis=1).sum())
        edges = np.stack([other - first for other in others], axis=1)
        products = edges @ edges.swapaxes(1, 2)
        return float(np.sqrt(np.maximum(np.linalg.det(products), 0)).sum() / 2)
