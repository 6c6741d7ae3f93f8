"""Brain tumour with DeepMedic, trained as published.

python pipelines/brats_deepmedic.py DATA RUN                                     # tiny, on a CPU
python pipelines/brats_deepmedic.py DATA RUN --network deepmedic --steps 70000   # on a GPU

DATA has folders train/ and validation/, with a folder per case. The defaults are those of the
original's example: 2 epochs of 2 times 100 updates. Half of the segments are on tumour, as in the
article; --sampler balanced takes each class as often, as later versions do.
"""

from pathlib import Path
from time import perf_counter, process_time

import typer

import medseg

REGIONS = {"whole": (1, 2, 3, 4)}


def main(
    data: Path,
    run: Path,
    network: str = "deepmedic-tiny",
    steps: int = 400,
    sampler: str = "foreground",
    seed: int = 0,
    device: str = "auto",
) -> None:
    """Train on DATA/train, segment DATA/validation inside the brain, print Dice and time."""
    began, used = perf_counter(), process_time()
    fitting = medseg.Dataset.read(data / "train")
    recipe = medseg.RECIPES["deepmedic"]
    plan = medseg.make_plan(fitting, network, settings=recipe.plan)
    training = recipe.trained_with(
        {"steps": steps, "sampler": sampler, "seed": seed, "device": device}
    )
    model = medseg.train(fitting, plan, training, run)
    trained = perf_counter()

    medseg.predict(model, data / "validation", run / "predictions", existing="overwrite")
    segmented, busy = perf_counter(), process_time() - used
    scores = medseg.evaluate_cases(run / "predictions", data / "validation", ("dice",), REGIONS)
    for row in scores.summary():
        typer.echo(f"{row.name or row.label!s:12} {row.metric:5} {row.mean:8.3f}  of {row.scored}")
    typer.echo(
        f"training {trained - began:.0f} s, segmenting {segmented - trained:.0f} s, "
        f"{busy:.0f} s of processor time"
    )


if __name__ == "__main__":
    typer.run(main)
