"""Cells between dark membranes under the electron microscope: a watershed, its parameters tuned.

python pipelines/em_membranes.py DATA OUT       # DATA: image/ and label/, slices as PNG, 2D
"""

from pathlib import Path

import numpy as np
import typer

import medseg
from medseg.components import components
from medseg.metrics import PARTITION
from medseg.metrics.partition import Partition
from medseg.pictures import Tile, draw_mosaic

SMOOTH = {"gaussian.sigma": (0.7, 6.0)}  # pixels, as PNG has no millimetres
CLIP = {"clip.low": (2.0, 20.0), "clip.high": (50.0, 100.0)}
DEPTH = {"basins.depth": (1.0, 3.5)}
RELIEF = {"basins.relief": "image", "basins.scale": 1.0, "basins.lines": False}
CHAINS = {
    # What is bright after smoothing, as far as it hangs together.
    "naive": ("gaussian+threshold", {"threshold.high": None}, SMOOTH),
    # Turned over, cells are valleys, and membranes the ridges between them.
    "watershed": ("clip+gaussian+invert+basins", RELIEF, {**SMOOTH, **CLIP, **DEPTH}),
}


def objects(case: medseg.Case, chain: medseg.Chain | None = None) -> np.ndarray:
    """Return the numbered cells of a slice: those that a chain finds, or else those annotated."""
    labels = case.labels() if chain is None else chain.segment(case.image())
    return components(labels.array)[0]


def score(cases: tuple[medseg.Case, ...], chain: medseg.Chain, metric: str) -> float:
    """Return the mean of a metric of partitions over slices."""
    pairs = (Partition.of(objects(case, chain), objects(case)) for case in cases)
    return float(np.mean([PARTITION[metric].compute(pair) for pair in pairs]))


def main(data: Path, out: Path, held_out: str = "17,18,19,20", trials: int = 162) -> None:
    """Tune a watershed and something naive on all slices but some, score both on those."""
    cases = medseg.Dataset.read(data).cases
    last = tuple(case for case in cases if case.name in held_out.split(","))
    fitting = medseg.Dataset(tuple(case for case in cases if case not in last))
    for name, (chain, fixed, ranges) in CHAINS.items():
        search = medseg.Search("v_rand", trials, fixed=fixed, ranges=ranges)
        tuned = medseg.tune(chain, fitting, search)
        tuned.save(out / f"{name}.json", data.name)
        rand, info = (score(last, tuned.chain, metric) for metric in ("v_rand", "v_info"))
        typer.echo(
            f"{name:10} V_rand {tuned.score:.4f} cross-validated on {len(fitting)} slices; "
            f"on {len(last)} others V_rand {rand:.4f}, V_info {info:.4f}"
        )
    tiles = (Tile(c.image(), tuned.chain.segment(c.image()), title=c.name) for c in last)
    draw_mosaic(tiles, out / "cells.png", columns=2, title="basins of the watershed")


if __name__ == "__main__":
    typer.run(main)
