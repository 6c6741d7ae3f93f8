"""Memory and time of `medseg predict` over a thousand small cases, beside the bare computation.

The bare computation is `model.segment` on images in memory; it is timed before and after, so
that a machine that grows slower meanwhile is seen.
"""

import tempfile
import time
from itertools import cycle, islice
from pathlib import Path
from statistics import median

import torch
import typer
from rich.console import Console

import medseg
from medseg import device as devices
from medseg.learning.trial import watched
from medseg.phantom import draw_case

SHAPE = (36, 50, 35)  # as a hippocampus of the Medical Segmentation Decathlon
FEATURES = [8, 16, 32]  # a small network, so that reading and writing weigh more
DRAWN, PARTS = 20, 10


def main(cases: int = 1000, device: str = "auto") -> None:
    """Draw, predict and print."""
    say = Console(soft_wrap=True).print
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        both = [draw_case(seed, SHAPE) for seed in range(min(cases, DRAWN))]
        drawn = [(image.channel(0), labels) for image, labels in both]
        data = written(drawn, place / "data")
        plan = medseg.make_plan(data, settings={"network.features": FEATURES})
        torch.manual_seed(0)
        model = medseg.Model.untrained(plan, device)
        images = [image for image, _ in drawn]
        for number, image in zip(range(cases), cycle(images), strict=False):
            medseg.write(image, place / "images" / f"case_{number:04d}.nii.gz")
        devices.keep_freed_memory()  # as `predict` does
        bare(model, images)
        before = bare(model, images)
        with watched(every=0.2) as memory:
            began = time.perf_counter()
            medseg.predict(model, place / "images", place / "out", statistics=place / "s.csv")
            taken = (time.perf_counter() - began) / cases
        after = bare(model, images)
    parts = [memory[k * len(memory) // PARTS] for k in range(PARTS)] + memory[-1:]
    shown = " ".join(f"{part / 1e6:.0f}" for part in parts)
    say(f"{cases} cases of {SHAPE} voxels, {model.device}, {torch.get_num_threads()} threads")
    say(f"MB in memory, from the first case to the last: {shown}")
    say(f"predict: {1e3 * taken:.1f} ms a case; {cases} files read, segmented, measured, written")
    say(f"bare: {1e3 * before:.1f} ms before, {1e3 * after:.1f} ms after")
    say(f"predict takes {100 * (2 * taken / (before + after) - 1):+.0f} % of it more")


def written(drawn: list[tuple[medseg.Image, medseg.Labels]], folder: Path) -> medseg.Dataset:
    """The drawn cases as a data set."""
    for number, (image, labels) in enumerate(drawn):
        medseg.write(image, folder / "images" / f"case_{number:04d}.nii.gz")
        medseg.write(labels, folder / "labels" / f"case_{number:04d}.nii.gz")
    return medseg.Dataset.read(folder)


def bare(model: medseg.Model, images: list[medseg.Image]) -> float:
    """Seconds that a case takes in memory, the median of several."""
    seconds = []
    for image in islice(cycle(images), 2 * len(images)):
        began = time.perf_counter()
        model.segment(image)
        seconds.append(time.perf_counter() - began)
    return median(seconds)


if __name__ == "__main__":
    typer.run(main)
