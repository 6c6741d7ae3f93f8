"""Voxels that know where they are: `Grid`, `Image` and `Labels`.

World coordinates are RAS+ millimetres, as in NIfTI. Spatial axes come in file order,
(i, j) or (i, j, k), and nothing in medseg transposes them for good; channels come first.
"""

from medseg.volume.grid import Grid, require_match
from medseg.volume.image import Image
from medseg.volume.labels import BACKGROUND, Labels, smallest_integers
from medseg.volume.orientation import orientation, reorient

__all__ = [
    "BACKGROUND",
    "Grid",
    "Image",
    "Labels",
    "orientation",
    "reorient",
    "require_match",
    "smallest_integers",
]
