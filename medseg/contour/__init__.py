"""Contours of regions: from voxels, into voxels, and in the world."""

from medseg.contour.contour import Contour
from medseg.contour.filling import Crossings, filled, running_sums
from medseg.contour.outlining import outlined, outlined_again, well_composed

__all__ = [
    "Contour",
    "Crossings",
    "filled",
    "outlined",
    "outlined_again",
    "running_sums",
    "well_composed",
]
