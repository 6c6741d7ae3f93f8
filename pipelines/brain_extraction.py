"""The brain out of a T1 head, by classical means: bright tissue, its core, a watershed from there.

python pipelines/brain_extraction.py HEAD BRAIN   # BRAIN: not 0 where the brain is, as ch2bet
"""

from pathlib import Path

import numpy as np
import typer

import medseg
from medseg.distance import distance_to

TISSUE = {"gaussian.sigma": 1.0, "otsu.classes": 4, "relabel.pairs": ((2, 1), (3, 1))}
CORE, OUTSIDE, GAPS = 5.0, 20.0, 4.0  # mm


def extract(image: medseg.Image) -> medseg.Labels:
    """Return the brain of a head."""
    even = medseg.FILTERS["n4"]()(image)
    tissue = medseg.Chain.parse("gaussian+otsu+relabel", TISSUE).segment(even)
    spacing = image.grid.spacing
    # Deep inside the tissue, nothing joins the brain to what lies outside the skull.
    core = tissue.on(distance_to(tissue.array == 0, spacing) > CORE, image.grid)
    core = medseg.CLEANUPS["keep-largest"]()(core)
    outside = distance_to(core.array > 0, spacing) > OUTSIDE
    seeds = core.on(np.where(outside, -1, core.array.astype(int)), image.grid)
    brain = medseg.method("watershed", scale=1.0).segment(even, seeds)
    return medseg.CLEANUPS["close"](radius=GAPS)(brain)


def disturbed(head: medseg.Image, brain: medseg.Labels):
    """Yield the head as worse scanners would give it, and its brain."""
    at = np.meshgrid(*(np.linspace(-1, 1, n) for n in head.grid.shape), indexing="ij")
    field = np.exp(0.4 * (0.6 * at[0] + 0.5 * at[1] - 0.6 * at[2] - 0.5 * at[1] ** 2))
    biased = head.on(head.array * field, head.grid)
    typical = head.array[0][brain.array > 0].mean()
    real, imaginary = np.random.default_rng(0).normal(0, typical / 15, (2, *head.array.shape))
    noisy = [x.on(np.hypot(x.array + real, imaginary), x.grid) for x in (head, biased)]
    thick = medseg.with_spacing(head.grid, (*head.grid.spacing[:2], 2 * head.grid.spacing[2]))
    yield f"bias field of {field.min():.2f} to {field.max():.2f}", biased, brain
    yield "noise of a 15th of the brain", noisy[0], brain
    yield "slices twice as thick", *(medseg.resample(x, thick) for x in (head, brain))
    yield "stored as PIR", *(medseg.reorient(x, "PIR") for x in (head, brain))
    worst = (medseg.reorient(medseg.resample(x, thick), "PIR") for x in (noisy[1], brain))
    yield "all of these together", *worst


def main(head: Path, brain: Path) -> None:
    """Print the Dice of the brain that is found, under disturbances and last as it is."""
    image, known = medseg.read_image(head), medseg.read_labels(brain)
    known = known.on(known.array > 0, known.grid)
    for what, worse, truth in (*disturbed(image, known), ("as it is", image, known)):
        scores = medseg.evaluate(extract(worse), truth, metrics=["dice", "hd95"])
        dice, hd95 = scores.mean("dice"), scores.mean("hd95")
        typer.echo(f"{what:34} HD95 {hd95:6.2f} mm   Dice {dice:.4f}")


if __name__ == "__main__":
    typer.run(main)
