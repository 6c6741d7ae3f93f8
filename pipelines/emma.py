"""EMMA on the hippocampus: several architectures and losses, their ensemble, and how sure they are.

python pipelines/emma.py DATA RUNS        # DATA: the Decathlon folder Task04; 40 minutes

A run that is finished is not trained again. Why networks that are trained with soft Dice are
over-confident: 1 - 2 sum(p q) / (sum(p) + sum(q)), q the rate at which a group of like voxels is
truly foreground, is linear in each p at a given ratio D, and falls with p only where q > D / 2. So
its optimum is p = 1 there and p = 0 elsewhere, however unsure the voxel is; cross-entropy has its
optimum at p = q. A temperature makes all classes milder alike; it can't mend that one comes out too
large, which vector scaling can.
"""

from pathlib import Path

import typer

import medseg
from medseg.evaluation import Bootstrap
from medseg.evaluation.reliability_chart import reliability_chart
from medseg.learning.run import Run

MEMBERS = {"unet": "", "residual-unet": "dice", "deepmedic": "cross-entropy"}  # name: loss
PAIR = {"unet-dice": "dice", "unet-ce": "cross-entropy"}


def main(data: Path, runs: Path, minutes: float = 10, steps: int | None = None) -> None:
    """Train on four fifths of DATA; print how good and how calibrated each is on the others."""
    fitting, held_out = medseg.Dataset.read(data).split()
    models: dict[str, medseg.Model | medseg.Ensemble] = {}
    for name, loss in (MEMBERS | PAIR).items():
        if not Run(runs / name).last.is_file():
            network, share = (name, 1) if name in MEMBERS else ("unet", 0.5)
            how = {"steps": steps} if steps else {"minutes": share * minutes}
            training = medseg.Training(**how, **({"loss": loss} if loss else {}))
            plan = medseg.make_plan(fitting, network)
            medseg.train(fitting, plan, training, runs / name, validation=held_out)
        models[name] = medseg.Model.load(runs / name, scaling="none")
    models["ensemble"] = medseg.Ensemble(tuple(models[name] for name in MEMBERS))
    found = {name: medseg.calibrate(model, held_out) for name, model in models.items()}
    typer.echo("                 Dice     ECE   at T      T   r of expected Dice and Dice")
    for name, one in found.items():
        medseg.write_calibration_report(one, runs / f"{name}.html")
        means = one.of_cases("dice"), one.of_cases("ece"), one.of_cases("ece", "after")
        dice, before, after = (values.mean() for values in means)
        sure = ", ".join(f"{n} {one.confidence(label)[0]:.2f}" for label, n in one.names.items())
        t = one.scaling.temperature
        typer.echo(f"{name:14}{dice:7.4f} {before:7.4f} {after:6.4f} {t:6.3f}   {sure}")
    best = max(MEMBERS, key=lambda name: found[name].of_cases("dice").mean())
    for one, other in (("ensemble", best), ("unet-dice", "unet-ce")):
        for what in ("dice", "ece"):
            less = found[one].of_cases(what) - found[other].of_cases(what)
            mean, low, high = Bootstrap().of_mean(less)
            typer.echo(f"{one} less {other}: {what} {mean:+.4f} ({low:+.4f} to {high:+.4f})")
    for label, name in found["ensemble"].names.items():
        curves = reliability_chart({n: x.tables("before")[label] for n, x in found.items()}, name)
        (runs / f"reliability-{name}.svg").write_text(curves.svg(), encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
