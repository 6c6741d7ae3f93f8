"""Brain tumour from FLAIR and T1c: large volumes, two channels, five classes, a brain mask.

python pipelines/brats.py DATA RUN      # DATA: folders train/ and validation/, a folder per case
"""

from pathlib import Path

import typer

import medseg

REGIONS = {"whole": (1, 2, 3, 4), "core": (1, 3, 4), "enhancing": (4,)}


def main(
    data: Path, run: Path, minutes: float = 10, steps: int | None = None, patch: int = 64
) -> None:
    """Train on DATA/train, segment DATA/validation inside the brain, print the scores."""
    fitting = medseg.Dataset.read(data / "train")
    plan = medseg.make_plan(fitting, settings={"patch": (patch,) * 3})
    training = medseg.Training(
        minutes=None if steps else minutes, steps=steps, sampler="balanced", validations=1
    )
    model = medseg.train(fitting, plan, training, run)

    medseg.predict(model, data / "validation", run / "predictions", existing="overwrite")
    scores = medseg.evaluate_cases(
        run / "predictions", data / "validation", ("dice", "hd95"), REGIONS
    )
    for row in scores.summary():
        typer.echo(f"{row.name or row.label!s:12} {row.metric:5} {row.mean:8.3f}  of {row.scored}")


if __name__ == "__main__":
    typer.run(main)
