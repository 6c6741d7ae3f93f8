"""Hippocampus from T1 by an elastic surface that begins as a sphere, without training.

python pipelines/hippocampus_snake.py DATA SURFACES        # DATA: the Decathlon folder Task04
"""

from pathlib import Path

import numpy as np
import typer

import medseg
from medseg.io import write_contour

SNAKE = {"region": 0.2, "edge": 0.2, "balloon": 0.5, "elasticity": 1, "scale": 0.5}


def main(data: Path, surfaces: Path, radius: float = 5) -> None:
    """Segment the held-out cases, leave surfaces as VTK in SURFACES, print the Dice."""
    others, held_out = medseg.Dataset.read(data).split()
    # Where it lies on average, in cases that are not segmented here.
    place = np.mean([_middle(case.labels().array) for case in others.cases], axis=0)
    snake = medseg.method("snake", radius=radius, reach="gradient", contrast=0.7, **SNAKE)
    found = []
    for case in held_out.cases:
        image, labels = case.image(), case.labels()
        seeds = np.zeros(image.grid.shape, np.uint8)
        seeds[tuple(np.rint(place * (np.array(seeds.shape) - 1)).astype(int))] = 1
        start = labels.on(seeds, labels.grid)
        whole = labels.on((labels.array > 0).astype(np.uint8), labels.grid)
        scores = medseg.evaluate(snake.segment(image, start), whole, case.name)
        write_contour(snake.contours(image, start), surfaces / f"{case.name}.vtk")
        found.append(scores.mean("dice"))
        typer.echo(f"{case.name}   Dice {found[-1]:.4f}")
    typer.echo(f"mean of {len(found)} cases   Dice {np.mean(found):.4f}")


def _middle(labels: np.ndarray) -> np.ndarray:
    """Mean place of all labels, as shares of the axes."""
    return np.argwhere(labels).mean(axis=0) / (np.array(labels.shape) - 1)


if __name__ == "__main__":
    typer.run(main)
