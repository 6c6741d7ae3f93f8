"""Time and memory of the cheapest cut of a cube of voxels beside PyMaxflow's.

python pipelines/benchmarks/graph_cut.py [IMAGE] [--size 128] [--maxflow-python PYTHON]

Each side has a process of its own, since its most memory never falls, and the same whole numbers:
borders as of graph-cut, brightness as preference. Both build their graph and solve it.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Annotated

import numpy as np
import torch
import typer
from _comparing import Volume
from _interactive_rows import cost_of_cut, scribbled
from _resident import most_resident, resident

import medseg
from medseg.classical.cutting import first_side
from medseg.classical.graph_cut import borders
from medseg.phantom import draw_case

HERE = Path(__file__).parent


def main(
    image: Annotated[Path | None, typer.Argument(help="Default: a drawn head.")] = None,
    size: int = 128,
    repeats: int = 3,
    maxflow_python: Annotated[
        Path | None, typer.Option(help="Of an environment with PyMaxflow.")
    ] = None,
) -> None:
    """Print seconds, memory beyond the input, and what the cut costs, for each side."""
    head = draw_case(0, (size,) * 3)[0] if image is None else medseg.read_image(image)
    costs, preferences = network(Volume.of(head, "cpu"), size)
    sides = {"medseg": [sys.executable, HERE / "graph_cut.py", "--side"]}
    if maxflow_python is not None:
        sides["PyMaxflow"] = [maxflow_python, HERE / "_maxflow_side.py"]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.npz"
        np.savez(path, costs=costs, preferences=preferences)
        for name, command in sides.items():
            done = subprocess.run(
                [*command, path, str(repeats)], check=True, capture_output=True, text=True
            )
            seconds, megabytes, cost = done.stdout.split()
            typer.echo(
                f"{name:12} {float(seconds):.3f} s   {float(megabytes):.0f} MB   cost {cost}"
            )


def network(volume: Volume, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Costs of borders (3, i, j, k) and preferences (i, j, k) of the middle, whole numbers."""
    image, _ = scribbled(volume, size)
    values = image.array[0]
    costs = (1000 * borders(torch.tensor(image.array), (1.0, 1.0, 1.0), 30.0)).round()
    wanted = np.rint(2000 * (values - np.median(values)) / values.std())
    return costs.numpy().astype(np.int32), wanted.astype(np.int32)


def own_side(path: Path, repeats: int) -> None:
    """What medseg takes, in a process that does nothing else."""
    given = np.load(path)
    ties, preferences = (
        torch.from_numpy(given[name].astype(np.float32)) for name in ("costs", "preferences")
    )
    first_side(ties[:, :2, :2, :2], preferences[:2, :2, :2])  # imports take memory too
    before, seconds = resident(), []
    for _ in range(repeats):
        began = time.perf_counter()
        side = first_side(ties, preferences)
        seconds.append(time.perf_counter() - began)
    most = most_resident() - before
    print(median(seconds), most / 1e6, cost_of_cut(ties, preferences, side))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--side"]:
        own_side(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        typer.run(main)
