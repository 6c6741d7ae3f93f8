"""What membranes are made of: how they resist, and how finely they are drawn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medseg.contour import outlined_again

Points = NDArray[np.float64]
# What has less extent, in distances between points, has shrunk to nothing.
GONE = 1e-3
# So many voxels are across whatever is drawn anew.
_ACROSS = 4


@dataclass(frozen=True)
class Matter:
    """What a membrane is made of.

    Parameters
    ----------
    elasticity : float
        mm; speed at a curvature of 1 per mm.
    stiffness : float
        mm³.
    distance : float
        Between neighbouring points, mm.
    """

    elasticity: float
    stiffness: float
    distance: float

    def damping(self, rates: NDArray[np.float64], step: float, time: float) -> NDArray[np.float64]:
        """What waves are divided by in a semi-implicit step, of points `step` mm apart.

        Parameters
        ----------
        rates : (n,) float array
            Eigenvalues of the second difference, 0 to 4.
        """
        squared = rates / step**2
        return 1 + time * (self.elasticity * squared + self.stiffness * squared**2)


def renewed(
    points: Points, cells: NDArray[np.int64], distance: float
) -> tuple[Points, NDArray[np.int64]]:
    """Points and cells anew, about `distance` mm apart, nearer each other if all is small."""
    step = step_for(points, distance)
    places, shape, corner = on_lattice(points, step)
    found, joined = outlined_again(places, cells, shape)
    return found * step + corner, joined


def step_for(points: Points, distance: float) -> float:
    """`distance`, or less if all points lie near each other."""
    return min(distance, float(np.ptp(points, axis=0).min()) / _ACROSS)


def on_lattice(points: Points, step: float) -> tuple[Points, tuple[int, ...], Points]:
    """Points in voxels of a lattice around them, its shape and its corner in mm."""
    corner = points.min(axis=0) - step / 2
    places = (points - corner) / step
    return places, tuple(int(size) + 2 for size in places.max(axis=0)), corner


def unit_vectors(vectors: Points) -> Points:
    """Vectors with a length of 1; 0 stays 0."""
    lengths = np.sqrt((vectors**2).sum(axis=1, keepdims=True))
    return np.asarray(vectors / np.maximum(lengths, np.finfo(float).tiny))
