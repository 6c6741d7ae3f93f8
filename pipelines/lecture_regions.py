"""Every classical method on one slice of a head, as a single picture.

python pipelines/lecture_regions.py HEAD PICTURE.png
"""

from pathlib import Path

import numpy as np
import typer

import medseg
from medseg.distance import distance_to
from medseg.pictures import Tile, draw_mosaic

TISSUE = "gaussian+otsu+relabel+open+keep-largest"
PARAMETERS = {"otsu.classes": 4, "relabel.pairs": ((2, 1), (3, 1)), "open.radius": 3.0}
DEEP, FAR = 6.0, 12.0  # mm: inside brain tissue, a seed of label 1; from it, of background
# Where the defaults are none, or would hide what a method does; intensities are deviations.
INTERVAL = {"lower": 0.5, "upper": 1.5}
SETTINGS = {
    "threshold": {"low": 0.5},
    "hysteresis": {"low": 0.5, "high": 1.5},
    "connected-threshold": INTERVAL,
    "neighbourhood-connected": INTERVAL,
    "otsu": {"classes": 4},
    "slic": {"size": 12.0},
    "basins": {"scale": 2.0, "depth": 0.3},
}


def found_by(name: str, image: medseg.Image, seeds: medseg.Labels) -> medseg.Labels:
    """Return what a method finds, with seeds if it can't do without."""
    method = medseg.method(name, **SETTINGS.get(name, {}))
    try:
        return method.segment(image)
    except ValueError as error:
        if "seeds" not in str(error):
            raise
    return method.segment(image, seeds)


def main(head: Path, picture: Path, place: float = 0.5) -> None:
    """Draw PICTURE of the axial slice that lies at a share of the height of HEAD."""
    volume = medseg.reorient(medseg.read_image(head)).channel(0)
    *across, slices = volume.grid.shape
    cut = medseg.crop(volume, (0, 0, int(place * slices)), (*across, 1))
    image = medseg.FILTERS["normalise"]()(cut)
    tissue = medseg.Chain.parse(TISSUE, PARAMETERS).segment(image)
    deep, far = (distance_to(tissue.array == n, image.grid.spacing) for n in (0, 1))
    seeds = tissue.on((deep > DEEP).astype(int) - (far > FAR), image.grid)
    shown = seeds.on(np.where(seeds.array < 0, 2, seeds.array), image.grid)
    tiles = [Tile(image, shown, title="seeds, 2 is background")]
    for name in medseg.METHODS:
        tiles.append(Tile(image, found_by(name, image, seeds), title=name))
        typer.echo(f"{name:28} {len(tiles[-1].labels.values())} labels")
    draw_mosaic(tiles, picture, title=f"{len(medseg.METHODS)} ways to part a slice of {head.name}")


if __name__ == "__main__":
    typer.run(main)
