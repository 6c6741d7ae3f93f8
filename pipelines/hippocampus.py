"""Hippocampus from T1: train a U-Net for ten minutes, score it on the held-out cases.

python pipelines/hippocampus.py DATA RUN        # DATA: the Decathlon folder Task04
"""

from pathlib import Path

import typer

import medseg
from medseg.learning.run import Run
from medseg.pictures import draw_curve


def main(
    data: Path,
    run: Path,
    minutes: float = 10,
    steps: int | None = None,
    seed: int = 0,
    ndim: int = 3,
) -> None:
    """Train on four fifths of DATA, leave the model in RUN, print the scores on the others."""
    fitting, held_out = medseg.Dataset.read(data).split()
    plan = medseg.make_plan(fitting, ndim=ndim)
    training = medseg.Training(minutes=None if steps else minutes, steps=steps, seed=seed)
    medseg.train(fitting, plan, training, run, validation=held_out, after_validation=_draw)

    for weights in ("best", "last"):
        model = medseg.Model.load(run, weights=weights)
        scores = medseg.Scores(())
        for case in held_out.cases:
            predicted = model.segment(case.image())
            scores += medseg.evaluate(predicted, case.labels(held_out.names), case.name)
        typer.echo(f"{weights} weights, {len(held_out)} cases:")
        for label, name in held_out.names.items():
            dice, hd95 = (scores.mean(metric, label) for metric in ("dice", "hd95"))
            typer.echo(f"  {name:10} Dice {dice:.4f}   HD95 {hd95:.3f} mm")
        typer.echo(f"  {'mean':10} Dice {scores.mean('dice'):.4f}")


def _draw(run: Run) -> None:
    draw_curve(run.log, run.curve)


if __name__ == "__main__":
    typer.run(main)
