"""Few annotated cases: train on them from scratch, or begin with a network of another task.

python pipelines/fine_tuning.py DATA OTHER RUNS     # two data sets, and a folder for the runs
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import typer

import medseg


def main(
    data: Path,
    other: Path,
    runs: Path,
    cases: int = 10,
    minutes: float = 3,
    other_minutes: float = 10,
    steps: int | None = None,
    seed: int = 0,
) -> None:
    """Train on a few cases of DATA, with and without OTHER; print the Dice on every fifth case."""
    fitting, held_out = medseg.Dataset.read(data).split()
    few = replace(fitting, cases=fitting.cases[:: -(-len(fitting) // cases)])
    plan = medseg.make_plan(few)
    source = medseg.Dataset.read(other)
    # With the same patch and spacing the networks are alike, but for channels and classes.
    alike = {"spacing": plan.spacing, "patch": plan.patch}
    other_plan = medseg.make_plan(source, settings=alike)

    def how(minutes: float, **settings: Any) -> medseg.Training:
        budget = {"steps": steps} if steps else {"minutes": minutes}
        return medseg.Training(**budget, seed=seed, **settings)

    medseg.train(source, other_plan, how(other_minutes), runs / "other")
    begun = {"start": str(runs / "other")}
    ways = {
        "scratch": how(minutes),
        "fine-tuned": how(minutes, **begun),
        "encoder-still": how(minutes, **begun, frozen=("encoder",), frozen_until=0.3),
    }
    for name, training in ways.items():
        model = medseg.train(few, plan, training, runs / name)
        scores = medseg.Scores(())
        for case in held_out.cases:
            predicted = model.segment(case.image())
            truth = case.labels(held_out.names)
            scores += medseg.evaluate(predicted, truth, case.name, metrics=("dice",))
        dice = "  ".join(f"{n} {scores.mean('dice', k):.4f}" for k, n in held_out.names.items())
        typer.echo(f"{name:14} Dice {scores.mean('dice'):.4f}   {dice}")


if __name__ == "__main__":
    typer.run(main)
