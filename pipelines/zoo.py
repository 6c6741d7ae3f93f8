"""Every network on one small task: its parameters, receptive field, time of a step, and Dice.

python pipelines/zoo.py --small              # drawn heads, networks an eighth as wide
python pipelines/zoo.py --small --overfit    # a drawn case by heart; for deconvnet, --side 384
python pipelines/zoo.py --data DATA          # any data set, networks as wide as published
"""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
import typer
from _small import draw_balls, narrow

import medseg
from medseg.phantom import draw_cohort

NAMES = ",".join(medseg.NETWORKS).replace("monai", "monai:SegResNet")
BY_HEART = {"augmentations": (), "sampler": "uniform", "batch": 2}
NARROW = 10_000  # A network of fewer weights has none to spare.


def main(
    data: str = "",
    names: str = NAMES,
    steps: int = 200,
    side: int = 160,
    small: bool = False,
    overfit: bool = False,
) -> None:
    """Train each network, with each number of axes that it takes, and print a row for it."""
    how = medseg.Training(steps=steps, validations=1, **(BY_HEART if overfit else {}))
    typer.echo("network                 parameters  voxels seen  ms a step   Dice")
    kinds = ((n, k) for n in names.split(",") for k in medseg.NETWORKS[n.split(":")[0]].ndims)
    for name, ndim in kinds:
        with TemporaryDirectory() as place:
            folder, run = Path(place, "cases"), Path(place, "run")
            source = data or (draw_balls(folder, ndim, side) if overfit else draw_cohort(folder))
            cases = medseg.Dataset.read(source)
            known, new = (cases, cases) if overfit else cases.split()
            # Planned, the patch of networks that crop would have few voxels with logits.
            settings = {"patch": (24, 24, 24)} if ndim == 3 and not data else {}
            plan = medseg.make_plan(known, name, ndim=ndim, settings=settings)
            with torch.device("meta"):
                weights = plan.network.build(len(plan.channels), len(plan.labels)).parameters()
            sees = "x".join(str(seen[-1]) for seen in medseg.receptive_field(plan.network).sizes)
            count = sum(values.numel() for values in weights)
            if small and count > NARROW:
                plan = medseg.make_plan(known, name, ndim=ndim, settings=settings | narrow(plan))
            medseg.train(known, plan, how, run, validation=new)
            *log, last = map(json.loads, (run / "log.jsonl").read_text().splitlines())
        seconds, done = (np.diff([line[key] for line in log]) for key in ("seconds", "step"))
        row = f"{name:20} {ndim}D {count:10} {sees:12} {1000 * np.median(seconds / done):10.0f}"
        typer.echo(f"{row} {last['dice']['mean']:6.3f}")


if __name__ == "__main__":
    typer.run(main)
