"""Cells under the electron microscope: a U-Net that learns the gaps between them.

python pipelines/em_unet.py DATA RUN       # DATA: image/ and label/, slices as PNG, 2D
"""

from pathlib import Path

import numpy as np
import typer

import medseg
from medseg.components import components
from medseg.metrics import PARTITION
from medseg.metrics.partition import Partition

THRESHOLDS = np.arange(0.2, 0.9, 0.025)
CHANGES = ("rotation", "mirroring", "elastic-2015", "brightness", "contrast", "noise")
RECIPE = {"batch": 3, "loss": "cross-entropy", "voxel_weights": "unet-2015"}


def compared(model: medseg.Model, case: medseg.Case) -> tuple[medseg.Image, np.ndarray]:
    """Return how probable cells are in a slice, and the numbered cells that were annotated."""
    return model.probabilities(case.image()).channel(1), components(case.labels().array)[0]


def cells(probability: medseg.Image, threshold: float) -> np.ndarray:
    """Number what is above a threshold, and let it grow until membranes have no width."""
    seeds = medseg.Labels(components(probability.array[0] > threshold)[0], probability.grid)
    relief = medseg.Image(-probability.array, probability.grid)
    return medseg.method("watershed", relief="image").segment(relief, seeds).array


def score(pairs: list[tuple[medseg.Image, np.ndarray]], threshold: float, metric: str) -> float:
    """Return the mean of a metric of partitions over slices."""
    found = (Partition.of(cells(image, threshold), truth) for image, truth in pairs)
    return float(np.mean([PARTITION[metric].compute(partition) for partition in found]))


def main(
    data: Path, run: Path, held_out: str = "17,18,19,20", minutes: float = 20, steps: int = 0
) -> None:
    """Train on all slices but some, choose the threshold on these, score on the others."""
    cases = medseg.Dataset.read(data).cases
    last = tuple(case for case in cases if case.name in held_out.split(","))
    fitting = medseg.Dataset(tuple(case for case in cases if case not in last))
    side = min(256, *cases[0].image().grid.shape)
    plan = medseg.make_plan(fitting, settings={"patch": (side, side), "mirror": (0, 1)})
    budget = {"steps": steps} if steps else {"minutes": minutes}
    medseg.train(fitting, plan, medseg.Training(**budget, **RECIPE, augmentations=CHANGES), run)
    model = medseg.Model.load(run, mirrored=(0, 1))
    known, new = ([compared(model, case) for case in some] for some in (fitting.cases, last))
    best = max(THRESHOLDS, key=lambda threshold: score(known, threshold, "v_rand"))
    for name, pairs in (("trained on", known), ("held out", new)):
        rand, info = (score(pairs, best, metric) for metric in ("v_rand", "v_info"))
        typer.echo(f"{len(pairs)} slices {name}: V_rand {rand:.4f}, V_info {info:.4f} ({best:.3f})")


if __name__ == "__main__":
    typer.run(main)
