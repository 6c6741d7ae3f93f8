"""Every contour that moves, on one slice of a head: at its start and 20, 50, 80, 100 % of its way.

python pipelines/lecture_contours.py HEAD PICTURE.png
"""

from itertools import pairwise
from pathlib import Path

import numpy as np
import typer

import medseg
from medseg.distance import distance_to
from medseg.pictures import Tile, draw_mosaic

TISSUE = "gaussian+otsu+relabel+open+keep-largest"
PARAMETERS = {"otsu.classes": 4, "relabel.pairs": ((2, 1), (3, 1)), "open.radius": 3.0}
SHARES = (0.0, 0.2, 0.5, 0.8, 1.0)
DEEP = 0.6  # the start: brain tissue that lies so deep, as a share of the deepest


def along(states: list[medseg.Labels]) -> list[medseg.Labels]:
    """States at which the contour has gone these shares of its way, in voxels that changed."""
    changed = [np.count_nonzero(one.array != two.array) for one, two in pairwise(states)]
    way = np.cumsum([0, *changed])
    return [states[int(np.searchsorted(way, share * way[-1]))] for share in SHARES]


def main(head: Path, picture: Path, place: float = 0.5) -> None:
    """Draw PICTURE of the axial slice that lies at a share of the height of HEAD."""
    volume = medseg.reorient(medseg.read_image(head)).channel(0)
    *across, slices = volume.grid.shape
    cut = medseg.crop(volume, (0, 0, int(place * slices)), (*across, 1))
    image = medseg.FILTERS["normalise"]()(cut)
    tissue = medseg.Chain.parse(TISSUE, PARAMETERS).segment(image)
    depth = distance_to(tissue.array == 0, image.grid.spacing)
    start = tissue.on((depth > DEEP * depth.max()).astype(int), image.grid)
    tiles = []
    for name, kind in medseg.METHODS.items():
        if not hasattr(kind, "states"):
            continue
        states = list(medseg.method(name).states(image, start))
        for share, labels in zip(SHARES, along(states), strict=True):
            tiles.append(Tile(image, labels, title=f"{name} {share:.0%}"))
        typer.echo(f"{name:28} {len(states) - 1} steps")
    title = f"{len(tiles) // len(SHARES)} contours on a slice of {head.name}"
    draw_mosaic(tiles, picture, columns=len(SHARES), title=title)


if __name__ == "__main__":
    typer.run(main)
