"""Gaussian filtering of scattered points, on a permutohedral lattice.

Points in d dimensions give their values to the d + 1 corners of the simplex that they lie in;
the corners are blurred along d + 1 axes, and give back. What it costs grows with the number of
points times d squared, however wide the Gaussian.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medseg.device import computing_threads

# Classes whose values are gathered at once in torch, which bounds its memory.
_AT_ONCE = 4
_FEWEST_SLOTS = 2**10


class Lattice(Protocol):
    """Filters values of points whose places were given before."""

    def filter(self, values: Tensor) -> Tensor:
        """Sum over all points of the Gaussian of their distance times their values.

        Parameters
        ----------
        values : (N, C) float32 tensor

        Returns
        -------
        (N, C) float32 tensor
            Smaller than the exact sum by up to a half, by a factor that varies slowly; a
            quotient of two such sums is within some per cent.

        References
        ----------
        A. Adams, J. Baek, M. A. Davis, "Fast high-dimensional filtering using the
        permutohedral lattice", Computer Graphics Forum 29(2), 2010.
        doi:10.1111/j.1467-8659.2009.01645.x
        """
        ...


def lattice_of(features: Tensor) -> Lattice:
    """Lattice of points (N, d), whose coordinates are in standard deviations of the Gaussian."""
    if features.is_cuda:
        return TorchLattice.of(features)
    return CompiledLattice.of(features)


@dataclass(frozen=True, eq=False)
class CompiledLattice:
    """A lattice on the CPU.

    Parameters
    ----------
    numbers, weights : (N, d + 1) arrays
        Lattice points about each point, and its barycentric coordinates.
    stretches : tuple of arrays
        The same by lattice point; see `_lattice_kernels.by_number`.
    neighbours : (d + 1, 2, M) array
        Of each lattice point along each axis; M where there is none.
    """

    numbers: NDArray[np.int32]
    weights: NDArray[np.float32]
    stretches: tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]
    neighbours: NDArray[np.int32]

    @classmethod
    def of(cls, features: Tensor) -> CompiledLattice:
        """Lattice of points (N, d), whose coordinates are in standard deviations."""
        from medseg.crf import _lattice_kernels as kernels  # numba takes a second

        points = np.ascontiguousarray(features.numpy(), np.float64)
        count, d = points.shape
        steps = _steps(d)
        keys, weights = np.empty((count, d + 1), np.int64), np.empty((count, d + 1), np.float32)
        _in_threads(kernels.placed, count, points, steps[:d], keys, weights)
        slots, found = _FEWEST_SLOTS, -1
        while found < 0:
            slots *= 4
            table, of_slot = np.empty(slots, np.int64), np.empty(slots, np.int32)
            numbers, unique, found = kernels.numbered(keys.ravel(), table, of_slot)
        with ThreadPoolExecutor(computing_threads()) as pool:
            ways = [sign * way for way in _ways(steps) for sign in (1, -1)]
            beside = pool.map(lambda way: kernels.neighbour(unique, way, table, of_slot), ways)
            neighbours = np.stack(list(beside)).reshape(d + 1, 2, found)
        numbers = numbers.reshape(count, d + 1)
        return cls(numbers, weights, kernels.by_number(numbers, weights, found), neighbours)

    def filter(self, values: Tensor) -> Tensor:
        """Sum over all points of the Gaussian of their distance times their values."""
        from medseg.crf import _lattice_kernels as kernels

        given = np.ascontiguousarray(values.numpy(), np.float32)
        count = self.neighbours.shape[2]
        # One row more, of 0, for neighbours that are not there.
        sums, other = (np.zeros((count + 1, given.shape[1]), np.float32) for _ in range(2))
        _in_threads(kernels.splatted, count, self.stretches, given, sums)
        for beside in self.neighbours:
            _in_threads(kernels.blurred, count, beside, sums, other)
            sums, other = other, sums
        result, factor = np.empty_like(given), _factor(len(self.neighbours) - 1)
        _in_threads(kernels.sliced, len(given), self.numbers, self.weights, sums, factor, result)
        return torch.from_numpy(result)


@dataclass(frozen=True, eq=False)
class TorchLattice:
    """A lattice in torch alone, on any device.

    Parameters
    ----------
    numbers : (N, d + 1) int64 tensor
    weights : (N, d + 1) float32 tensor
    order : (N * (d + 1)) int64 tensor
        Sorts `numbers`.
    ends : (M) int64 tensor
        Where the stretch of each lattice point ends in this order.
    neighbours : (d + 1, 2, M) int64 tensor
    """

    numbers: Tensor
    weights: Tensor
    order: Tensor
    ends: Tensor
    neighbours: Tensor

    @classmethod
    def of(cls, features: Tensor) -> TorchLattice:
        """Lattice of points (N, d), whose coordinates are in standard deviations."""
        d = features.shape[1]
        steps = torch.from_numpy(_steps(d)).to(features.device)
        keys, weights = _placed(features.double(), steps[:d])
        unique, numbers, counts = keys.unique(return_inverse=True, return_counts=True)
        neighbours = []
        for way in _ways(steps.cpu().numpy()):
            for wanted in (unique + way, unique - way):
                at = torch.searchsorted(unique, wanted).clamp_max(len(unique) - 1)
                neighbours.append(torch.where(unique[at] == wanted, at, len(unique)))
        order = numbers.flatten().argsort(stable=True)
        beside = torch.stack(neighbours).reshape(d + 1, 2, -1)
        return cls(numbers, weights.float(), order, counts.cumsum(0), beside)

    def filter(self, values: Tensor) -> Tensor:
        """Sum over all points of the Gaussian of their distance times their values."""
        parts = values.float().split(_AT_ONCE, dim=1)
        return torch.cat([self._filter(part) for part in parts], dim=1)

    def _filter(self, values: Tensor) -> Tensor:
        given = (self.weights[..., None] * values[:, None]).flatten(0, 1)[self.order]
        # Differences of running sums: unlike index_add, the same at each call on a GPU.
        running = given.double().cumsum(0)[self.ends - 1]
        sums = running.diff(dim=0, prepend=running.new_zeros(1, values.shape[1])).float()
        nothing = sums.new_zeros(1, values.shape[1])
        for beside in self.neighbours:
            known = torch.cat([sums, nothing])
            sums = sums + 0.5 * (known[beside[0]] + known[beside[1]])
        taken = self.weights[..., None] * sums[self.numbers]
        return taken.sum(1) * _factor(len(self.neighbours) - 1)


def _steps(d: int) -> NDArray[np.int64]:
    """What a step along each axis adds to a key: odd numbers of 64 bits; none along the last.

    A key is a linear hash of a lattice point, so that its neighbours' keys are a sum away.
    That two of M points share one has a probability of about M² / 2⁶⁴.
    """
    drawn = np.random.default_rng(d).integers(-(2**62), 2**62, d, np.int64)
    return np.append(2 * drawn + 1, 0)


def _ways(steps: NDArray[np.int64]) -> list[int]:
    """What leads from a key to the next one along each of the d + 1 axes of the lattice."""
    with np.errstate(over="ignore"):  # keys wrap around
        return [int(way) for way in steps.sum() - len(steps) * steps]


def _factor(d: int) -> float:
    """Makes the lattice's blur a sum of the Gaussian itself."""
    return 1 / (1 + 2.0**-d)


def _placed(features: Tensor, steps: Tensor) -> tuple[Tensor, Tensor]:
    """Keys and weights of the simplex about each point, as the compiled `placed` gives them."""
    d = features.shape[1]
    raised = _raised(features)
    whole = (raised / (d + 1)).round()
    rest = raised - (d + 1) * whole
    order = rest.argsort(dim=1, descending=True, stable=True)
    rank = order.argsort(dim=1) + whole.sum(1, keepdim=True).long()
    wrapped = (rank < 0).long() - (rank > d).long()
    rank = rank + wrapped * (d + 1)
    nearest = (whole.long() + wrapped) * (d + 1)
    part = (raised - nearest) / (d + 1)
    share = part.new_zeros(len(part), d + 2)
    share.scatter_add_(1, d - rank, part)
    share.scatter_add_(1, d + 1 - rank, -part)
    share[:, 0] += 1 + share[:, -1]
    keys = [
        ((nearest + corner - (d + 1) * (rank > d - corner))[:, :d] * steps).sum(1)
        for corner in range(d + 1)
    ]
    return torch.stack(keys, dim=1), share[:, : d + 1]


def _raised(features: Tensor) -> Tensor:
    """Points (N, d) in the plane of d + 1 coordinates whose sum is 0.

    Computed in the order of the compiled loops: voxels of a grid lie on faces of simplices, and
    which side they are given to, and so which corners there are to blur over, is up to the last
    bit.
    """
    d = features.shape[1]
    total, parts = features.new_zeros(len(features)), []
    for j in range(d, 0, -1):
        along = features[:, j - 1] * (math.sqrt(2 / 3) * (d + 1) / math.sqrt(j * (j + 1)))
        parts.append(total - j * along)
        total = total + along
    return torch.stack([total, *reversed(parts)], dim=1)


def _in_threads(kernel: Callable[..., Any], count: int, *arguments: Any) -> None:
    """Call `kernel(start, stop, ...)` on stretches of `count`, one a thread."""
    threads = computing_threads()
    bounds = [count * k // threads for k in range(threads + 1)]
    with ThreadPoolExecutor(threads, "medseg-lattice") as pool:
        done = [pool.submit(kernel, start, stop, *arguments) for start, stop in pairwise(bounds)]
        for each in done:
            each.result()
