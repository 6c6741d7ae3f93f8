"""Diffusion between fixed values on a grid, solved by conjugate gradients over a multigrid."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from medseg.device import computing_threads

if TYPE_CHECKING:
    from torch import Tensor

# Measured on FLAIR: as strong as Jacobi sweeps stay stable, and the fewest steps.
_DAMPING = 0.9
# A smooth function that is made constant in each block does its rising at their borders, twice
# as steeply there as before, so that ties between blocks count for less than their sum
# [D. Braess, Towards algebraic multigrid for elliptic problems of second order, Computing
# 55:379-393, 1995, doi:10.1007/BF02238488].
_TIES_OF_BLOCKS = 0.6
_COARSEST = 200  # voxels, solved exactly
_MOST_STEPS = 500
_OUTLIERS = 1e-4  # the share of voxels whose values may still change by more than the tolerance


@dataclass(frozen=True, eq=False)
class Level:
    """A grid of the multigrid: how strongly voxels are joined.

    Parameters
    ----------
    ties : (3, i, j, k) float32 tensor
        With the next voxel along each axis; 0 at its end.
    sinks : (i, j, k) float32 tensor
        With what is fixed.
    relaxation : (i, j, k) float32 tensor
        What a Jacobi sweep multiplies a residual by; 0 where nothing is joined.
    factors : (int, int, int)
        How many voxels along each axis make one of the next level.
    """

    ties: Tensor
    sinks: Tensor
    relaxation: Tensor
    factors: tuple[int, int, int]

    @classmethod
    def of(cls, ties: Tensor, sinks: Tensor, factors: tuple[int, int, int]) -> Level:
        """Level of these ties and sinks."""
        total = sinks.clone()
        for axis in range(3):
            size = total.shape[axis]
            total += ties[axis]
            total.narrow(axis, 1, size - 1).add_(ties[axis].narrow(axis, 0, size - 1))
        relaxation = total.reciprocal_().mul_(_DAMPING).nan_to_num_(posinf=0)
        return cls(ties, sinks, relaxation, factors)

    def residual(self, values: Tensor, sources: Tensor | None, out: Tensor | None = None) -> Tensor:
        """What is left of the sources (maps, i, j, k), if there are any, by numba on the CPU."""
        import torch

        out = torch.empty_like(values) if out is None else out
        if values.is_cuda:
            return out.copy_(self.residual_in_torch(values, sources))
        from medseg.classical import _diffusion_kernels as kernels

        given = None if sources is None else sources.numpy()
        arrays = self.ties.numpy(), self.sinks.numpy(), values.numpy(), given, out.numpy()
        _in_threads(kernels.residual, len(self.sinks), values.numel(), *arrays)
        return out

    def residual_in_torch(self, values: Tensor, sources: Tensor | None) -> Tensor:
        """Do what `residual` does in torch alone, on any device."""
        left = self.sinks * -values
        if sources is not None:
            left += sources
        for axis in range(3):
            size = values.shape[axis + 1]
            if size == 1:
                continue
            flow = values.diff(dim=axis + 1) * self.ties[axis].narrow(axis, 0, size - 1)
            left.narrow(axis + 1, 0, size - 1).add_(flow)
            left.narrow(axis + 1, 1, size - 1).sub_(flow)
        return left

    def gathered(self, fine: Tensor) -> Tensor:
        """Sums over the blocks of the next level."""
        coarse = fine.new_zeros((len(fine), *_coarser(fine.shape[1:], self.factors)))
        if fine.is_cuda:
            return coarse.copy_(gathered_in_torch(fine, self.factors))
        from medseg.classical import _diffusion_kernels as kernels

        arrays = fine.contiguous().numpy(), self.factors, coarse.numpy()
        _in_threads(kernels.gathered, coarse.shape[1], fine.numel(), *arrays)
        return coarse

    def spread(self, coarse: Tensor, fine: Tensor) -> None:
        """Add to `fine` at each voxel the value of its block."""
        if fine.is_cuda:
            fine += spread_in_torch(coarse, self.factors, fine.shape[1:])
            return
        from medseg.classical import _diffusion_kernels as kernels

        arrays = coarse.numpy(), self.factors, fine.numpy()
        _in_threads(kernels.spread, fine.shape[1], fine.numel(), *arrays)

    def coarser(self, factors: tuple[int, int, int]) -> Level:
        """Level of the blocks, which will be joined by `factors` themselves."""
        import torch

        sums = []
        for axis in range(3):
            ties, size = self.ties[axis], self.sinks.shape[axis]
            if self.factors[axis] == 2:  # those inside a block tie nothing
                inner = torch.arange(0, size, 2, device=ties.device)
                ties = ties.index_fill(axis, inner, 0)
            sums.append(ties)
        joined = self.gathered(torch.stack([*sums, self.sinks]))
        return Level.of(joined[:3] * _TIES_OF_BLOCKS, joined[3].clone(), factors)


class Multigrid:
    """A diffusion on a grid, and coarser ones that answer for it approximately.

    Parameters
    ----------
    ties : (3, i, j, k) float32 tensor
        How strongly each voxel is joined with the next one along each axis; 0 at its end.
    sinks : (i, j, k) float32 tensor
        How strongly it is joined with what is fixed. Every part that hangs together by ties
        is joined with something fixed.
    spacing : tuple of float, mm
        Of three axes. Those along which voxels are near to each other are coarsened first.
    """

    def __init__(self, ties: Tensor, sinks: Tensor, spacing: tuple[float, ...]) -> None:
        steps, shape = list(spacing), tuple(sinks.shape)
        factors = _factors(shape, steps)
        self.levels = [Level.of(ties, sinks, factors)]
        while math.prod(shape) > _COARSEST:
            shape = _coarser(shape, factors)
            steps = [step * factor for step, factor in zip(steps, factors, strict=True)]
            factors = _factors(shape, steps)
            self.levels.append(self.levels[-1].coarser(factors))
        self._inverse = _inverse(self.levels[-1])

    def solved(self, sources: Tensor, start: Tensor, tolerance: float) -> Tensor:
        """Values at which everything that comes from the sources flows off.

        Conjugate gradients, preconditioned by one V-cycle; they end once that corrects no more
        than one voxel in 10 000 by more than the tolerance. Clusters that hang on weak ties
        come last, and are few.

        Parameters
        ----------
        sources, start : (maps, i, j, k) float32 tensors
            `start` is where to begin.
        tolerance : float

        Raises
        ------
        ValueError
            If that takes too long.
        """
        finest = self.levels[0]
        # In float32, a cluster that hangs on weak ties would not find its value: what flows
        # inside is rounded by more than what comes from outside.
        values = start.double()
        left = finest.residual(values, sources.double())
        direction = flown = before = None
        for _ in range(_MOST_STEPS):
            correction = self._cycle(0, left.float())
            guess = correction.double()
            if int((correction.abs() > tolerance).sum()) <= _OUTLIERS * guess.numel():
                return values.add_(guess).float()
            now = _products(left, guess)
            if direction is not None and before is not None:
                # A map that is done has nothing left to divide by.
                guess.addcmul_(direction, (now / before).nan_to_num_(0, 0, 0))
            direction, before = guess, now
            flown = finest.residual(direction, None, flown)  # minus what flows off
            length = (-now / _products(direction, flown)).nan_to_num_(0, 0, 0)
            values.addcmul_(direction, length)
            left.addcmul_(flown, length)
        raise ValueError(
            f"probabilities did not come within {tolerance} of their end in {_MOST_STEPS} steps; "
            "ask for a larger tolerance or a smaller contrast"
        )

    def _cycle(self, number: int, sources: Tensor) -> Tensor:
        """Values that nearly let the sources flow off: a V-cycle from a level downwards."""
        level = self.levels[number]
        if number == len(self.levels) - 1:
            flat = sources.flatten(1).double() @ self._inverse
            return flat.to(sources.dtype).view(sources.shape)
        values = sources * level.relaxation
        left = level.residual(values, sources)
        level.spread(self._cycle(number + 1, level.gathered(left)), values)
        left = level.residual(values, sources, left)
        return values.addcmul_(left, level.relaxation)


def gathered_in_torch(fine: Tensor, factors: tuple[int, int, int]) -> Tensor:
    """Sums over blocks of so many voxels along each axis."""
    from torch.nn.functional import avg_pool3d

    sums: Tensor = avg_pool3d(fine[None], factors, ceil_mode=True, divisor_override=1)
    return sums[0]


def spread_in_torch(
    coarse: Tensor, factors: tuple[int, int, int], shape: tuple[int, ...]
) -> Tensor:
    """Value of its block at each voxel of a grid of that shape."""
    for axis, factor in enumerate(factors):
        if factor > 1:
            coarse = coarse.repeat_interleave(factor, dim=axis + 1)
        coarse = coarse.narrow(axis + 1, 0, shape[axis])
    return coarse


def _inverse(level: Level) -> Tensor:
    """Inverse of the whole matrix of a level, as float64; 0 where nothing is joined."""
    import torch

    shape = tuple(level.sinks.shape)
    number = torch.arange(math.prod(shape)).view(shape)
    matrix = torch.diag(level.sinks.flatten().double().cpu())
    for axis in range(3):
        size = shape[axis] - 1
        one, two = (number.narrow(axis, begin, size).flatten() for begin in (0, 1))
        tie = level.ties[axis].narrow(axis, 0, size).flatten().double().cpu()
        for here, there in ((one, two), (two, one)):
            matrix[here, there] -= tie
            matrix.diagonal().index_add_(0, here, tie)
    alone = matrix.diagonal() == 0
    matrix.diagonal()[alone] = 1
    inverse: Tensor = torch.linalg.inv(matrix)
    inverse[:, alone] = 0
    inverse = (inverse + inverse.T) / 2
    return inverse.to(level.ties.device)


def _factors(shape: tuple[int, ...], steps: list[float]) -> tuple[int, int, int]:
    """2 along the axes whose voxels lie nearest to each other, 1 along the others."""
    nearest = min((step for size, step in zip(shape, steps, strict=True) if size > 1), default=1.0)
    near = [size > 1 and step < 1.9 * nearest for size, step in zip(shape, steps, strict=True)]
    return (1 + near[0], 1 + near[1], 1 + near[2])


def _coarser(shape: Iterable[int], factors: tuple[int, int, int]) -> tuple[int, ...]:
    return tuple(-(-size // factor) for size, factor in zip(shape, factors, strict=True))


def _products(one: Tensor, two: Tensor) -> Tensor:
    """Scalar product of each pair of maps, (maps, 1, 1, 1)."""
    import torch

    pairs = zip(one.flatten(1), two.flatten(1), strict=True)
    return torch.stack([torch.dot(a, b) for a, b in pairs]).view(-1, 1, 1, 1)


def _in_threads(kernel: Callable[..., None], parts: int, size: int, *arrays: Any) -> None:
    """Call a kernel on stretches of so many parts, all at once if there is enough to do."""
    threads = min(computing_threads(), parts)
    if size < 50_000 or threads == 1:
        kernel(0, parts, *arrays)
        return
    edges = [parts * part // threads for part in range(threads + 1)]
    with ThreadPoolExecutor(threads, "medseg-diffusion") as pool:
        list(pool.map(lambda ends: kernel(*ends, *arrays), pairwise(edges)))
