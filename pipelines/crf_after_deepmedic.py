"""Brain tumour with DeepMedic, and what a dense CRF behind it changes.

python pipelines/crf_after_deepmedic.py DATA RUN     # folders train/ and validation/ of cases

The CRF is tuned to the cases of train/, where the network's probabilities are better than they
will be on others: there are too few cases to hold some out for that.
"""

from pathlib import Path

import typer

import medseg
from medseg.pictures import draw_comparison

REGIONS = {"whole": (1, 2, 3, 4)}


def main(
    data: Path,
    run: Path,
    network: str = "deepmedic-tiny",
    steps: int = 400,
    trials: int = 20,
    seed: int = 0,
    device: str = "auto",
) -> None:
    """Train and tune on DATA/train; print the Dice on DATA/validation, draw before and after."""
    fitting, held_out = (medseg.Dataset.read(data / side) for side in ("train", "validation"))
    recipe = medseg.RECIPES["deepmedic"]
    plan = medseg.make_plan(fitting, network, settings=recipe.plan)
    settings = {"steps": steps, "sampler": "foreground", "seed": seed, "device": device}
    model = medseg.train(fitting, plan, recipe.trained_with(settings), run)

    search = medseg.Search(trials=trials, seed=seed, device=device)
    tuned = medseg.tune_crf(model, fitting, search)
    tuned.save(run, str(data / "train"))
    typer.echo(f"{tuned.crf}\ntrain: {tuned.score_before:.3f} before, {tuned.score:.3f} after")

    methods = {"before": model, "after": medseg.Refined(model, tuned.crf)}
    for name, method in methods.items():
        medseg.predict(method, data / "validation", run / name, existing="overwrite")
        scores = medseg.evaluate_cases(run / name, data / "validation", ("dice",), REGIONS)
        for row in scores.summary():
            typer.echo(f"{name:7} {row.name or row.label!s:6} {row.mean:.3f}  of {row.scored}")
    for case in held_out.cases:
        made = {name: medseg.read_labels(run / name / f"{case.name}.nii.gz") for name in methods}
        picture = run / "pictures" / f"{case.name}.png"
        draw_comparison(case.image(), made, picture, case.labels(), title=case.name)


if __name__ == "__main__":
    typer.run(main)
