"""Pictures that say what happened: planes with outlines, mosaics, the curve of a training."""

from medseg.pictures.curve import draw_curve
from medseg.pictures.overlay import (
    Compared,
    Tile,
    draw_comparison,
    draw_mosaic,
    draw_overlay,
    draw_worst,
)
from medseg.pictures.view import PREVIEW, View

__all__ = [
    "PREVIEW",
    "Compared",
    "Tile",
    "View",
    "draw_comparison",
    "draw_curve",
    "draw_mosaic",
    "draw_overlay",
    "draw_worst",
]
