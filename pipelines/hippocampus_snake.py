"""Hippocampus from T1 by an elastic surface that begins as a sphere, without training.

python pipelines/hippocampus_snake.py DATA SURFACE.vtk        # DATA: the Decathlon folder Task04
"""

from pathlib import Path

import numpy as np
import typer
from numpy.typing import NDArray

import medseg
from medseg.classical.snake import Snake
from medseg.io import write_contour


def main(data: Path, surface: Path, radius: float = 6, iterations: int = 60) -> None:
    """Print the Dice of the held-out cases, and of spheres; write the SURFACE of the first one."""
    others, held_out = medseg.Dataset.read(data).split()
    # Where it lies on average, in cases that are not segmented here.
    place = np.mean([_middle(case.labels()) for case in others.cases], axis=0)
    # It leaks into what is as bright beside the hippocampus, so it is stopped before it rests.
    snake = Snake(radius=radius, iterations=iterations)
    scores = spheres = medseg.Scores(())
    for case in held_out.cases:
        image, labels = case.image(), case.labels()
        start = np.zeros(labels.array.shape, np.uint8)
        start[tuple(np.rint(place * (np.array(start.shape) - 1)).astype(int))] = 1
        seeds = labels.on(start, labels.grid)
        if not len(scores):
            write_contour(snake.contours(image, seeds), surface)
        whole = labels.on((labels.array > 0).astype(np.uint8), labels.grid)
        sphere = next(snake.states(image, seeds))
        spheres += medseg.evaluate(sphere, whole, case.name, metrics=["dice"])
        scores += medseg.evaluate(snake.segment(image, seeds), whole, case.name, metrics=["dice"])
        typer.echo(f"{case.name}   mean Dice so far {scores.mean('dice'):.4f}")
    typer.echo(
        f"mean of {len(held_out)} cases   Dice {scores.mean('dice'):.4f}, "
        f"of the spheres alone {spheres.mean('dice'):.4f}"
    )


def _middle(labels: medseg.Labels) -> NDArray[np.float64]:
    """Mean place of all labels, as shares of the axes."""
    return np.asarray(np.argwhere(labels.array).mean(axis=0) / (np.array(labels.grid.shape) - 1))


if __name__ == "__main__":
    typer.run(main)
