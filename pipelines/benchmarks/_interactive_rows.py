"""Rows of classical.py: interactive methods, from seeds all over the volume."""

from dataclasses import replace

import numpy as np
import torch
from _comparing import OURS, Row, Volume
from numpy.typing import NDArray
from scipy.sparse import csgraph, csr_array
from skimage import segmentation

import medseg
from medseg.classical.cutting import first_side
from medseg.classical.graph_cut import borders
from medseg.classical.random_walker import RandomWalker


def walk(volume: Volume) -> Row:
    """The random walker from seeds in a hundredth of 96³ voxels, as if they were isotropic."""
    image, seeds = scribbled(replace(volume, spacing=(1.0, 1.0, 1.0)), 96)
    walker = RandomWalker(contrast=20.0, device=str(volume.device))
    values = image.array[0]
    beta = 10 * walker.contrast / float(values.std())  # the same steps
    numbers = np.where(seeds.array < 0, 2, seeds.array)

    def theirs(tol: float) -> NDArray[np.float32]:
        # prob_tol, or it warns that probabilities are off by more.
        return segmentation.random_walker(
            values, numbers, beta, "cg_j", tol=tol, prob_tol=1, return_full_prob=True
        )[0]

    sides = {
        OURS: lambda: walker.probabilities(image, seeds).array[1],
        "scikit-image": lambda: theirs(1e-3),  # as it does unless asked
        "scikit-image, tol 1e-5": lambda: theirs(1e-5),
    }
    return Row(sides, alike)


def cut(volume: Volume) -> Row:
    """The cheapest cut of 40³ voxels: borders as of graph-cut, brightness as preference."""
    image, _ = scribbled(replace(volume, spacing=(1.0, 1.0, 1.0)), 40)
    costs = (1000 * borders(torch.tensor(image.array), (1.0, 1.0, 1.0), 30.0)).round()
    values = image.array[0]
    wanted = np.rint(2000 * (values - np.median(values)) / values.std())
    preferences = torch.from_numpy(wanted.astype(np.float32))
    graph = network(costs.numpy(), wanted)
    sides = {
        OURS: lambda: cost_of_cut(costs, preferences, first_side(costs, preferences)),
        "scipy": lambda: csgraph.maximum_flow(graph, values.size, values.size + 1).flow_value,
    }
    return Row(sides, lambda ours, theirs: f"energy {ours}, largest flow {theirs}")


def network(costs: NDArray, preferences: NDArray) -> csr_array:
    """Graph whose last two nodes are source and sink."""
    number = np.arange(preferences.size).reshape(preferences.shape)
    edges = []
    for axis, cost in enumerate(costs):
        size = number.shape[axis] - 1
        one, two = (number.take(range(begin, size + begin), axis) for begin in (0, 1))
        tie = cost.take(range(size), axis)
        edges += [(one, two, tie), (two, one, tie)]
    source, sink = np.full_like(number, number.size), np.full_like(number, number.size + 1)
    edges += [(source, number, preferences.clip(0)), (number, sink, -preferences.clip(None, 0))]
    begins, ends, limits = (
        np.concatenate([part.ravel() for part in each]) for each in zip(*edges, strict=True)
    )
    shape = (number.size + 2, number.size + 2)
    return csr_array((limits.astype(np.int32), (begins, ends)), shape)


def cost_of_cut(costs: torch.Tensor, preferences: torch.Tensor, side: torch.Tensor) -> int:
    """What a cut costs in all."""
    total = preferences.abs()[(preferences > 0) != side].double().sum()
    for axis, cost in enumerate(costs):
        parted = side.int().diff(dim=axis) != 0
        total += cost.narrow(axis, 0, parted.shape[axis])[parted].double().sum()
    return int(total)


def scribbled(volume: Volume, size: int) -> tuple[medseg.Image, medseg.Labels]:
    """Middle of the volume, a cube, and a seed in each hundredth voxel: 1 if bright, else -1."""
    begins = [max(0, n - size) // 2 for n in volume.values.shape]
    middle = tuple(slice(begin, begin + size) for begin in begins)
    image = medseg.Image.from_array(volume.values[middle], volume.spacing)
    bright = volume.bright[middle]
    marked = np.random.default_rng(0).random(bright.shape) < 0.01
    seeds = np.where(marked, np.where(bright, 1, -1), 0)
    return image, medseg.Labels(seeds, image.grid)


def alike(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> str:
    """How many voxels are labelled alike, and how many are as probable within 0.01."""
    same = 100 * ((ours > 0.5) == (theirs > 0.5)).mean()
    near = 100 * (np.abs(ours - theirs) <= 0.01).mean()
    return f"{same:.3f} % of labels, {near:.3f} % of probabilities within 0.01"
