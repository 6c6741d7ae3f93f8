"""One grid of a multigrid for diffusion: what flows on it, and its exchange with a coarser one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from medseg.device import computing_threads

if TYPE_CHECKING:
    from torch import Tensor

# Measured on FLAIR: as strong as Jacobi sweeps stay stable, and the fewest steps.
DAMPING = 0.9
# A smooth function that is made constant in each block does its rising at their borders, twice
# as steeply there as before, so that ties between blocks count for less than their sum
# [D. Braess, Towards algebraic multigrid for elliptic problems of second order, Computing
# 55:379-393, 1995, doi:10.1007/BF02238488].
_TIES_OF_BLOCKS = 0.6
_WORTH_A_THREAD = 25_000  # voxels


@dataclass(frozen=True, eq=False)
class Level:
    """A grid of the multigrid: how strongly voxels are joined.

    Values and sources are (maps, i, j, k). Numba does the work on the CPU, torch on CUDA.

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
        relaxation = total.reciprocal_().mul_(DAMPING).nan_to_num_(posinf=0)
        return cls(ties, sinks, relaxation, factors)

    def inflow(self, values: Tensor, out: Tensor, workers: Executor) -> Tensor:
        """Put into `out` what comes to each voxel less what goes into its sink.

        Returns
        -------
        (maps) float64 tensor
            Scalar products with the values.
        """
        import torch

        if values.is_cuda:
            return products(values, out.copy_(self.inflow_in_torch(values)))
        from medseg.classical import _diffusion_kernels as kernels

        sums = np.empty(values.shape[:2])
        arrays = self.ties.numpy(), self.sinks.numpy(), values.numpy(), out.numpy(), sums
        _shared(workers, kernels.inflow, len(self.sinks), values.numel(), *arrays)
        return torch.from_numpy(sums.sum(axis=1))

    def inflow_in_torch(self, values: Tensor) -> Tensor:
        """What `inflow` gives, in torch alone, on any device."""
        found = self.sinks * -values
        for axis in range(3):
            size = values.shape[axis + 1] - 1
            flow = values.diff(dim=axis + 1) * self.ties[axis].narrow(axis, 0, size)
            found.narrow(axis + 1, 0, size).add_(flow)
            found.narrow(axis + 1, 1, size).sub_(flow)
        return found

    def gathered_rest(self, sources: Tensor, values: Tensor, workers: Executor) -> Tensor:
        """What is left of the sources by a sweep from nothing to the values, of each block."""
        if values.is_cuda:
            rest = sources + self.inflow_in_torch(values)
            return gathered_in_torch(rest, self.factors)
        from medseg.classical import _diffusion_kernels as kernels

        coarse = self._coarse(values)
        arrays = self.ties.numpy(), sources.numpy(), values.numpy(), np.float32(1 - DAMPING)
        _shared(
            *(workers, kernels.gathered_rest, coarse.shape[1], values.numel()),
            *(*arrays, self.factors, coarse.numpy()),
        )
        return coarse

    def swept(
        self, sources: Tensor, values: Tensor, out: Tensor, tolerance: float, workers: Executor
    ) -> tuple[Tensor, int]:
        """Put into `out` the values after a Jacobi sweep.

        Returns
        -------
        (maps) float64 tensor
            Scalar products of `out` with the sources.
        int
            How many values of `out` exceed the tolerance.
        """
        import torch

        if values.is_cuda:
            out.copy_(self.swept_in_torch(sources, values))
            return products(sources, out), int((out.abs() > tolerance).sum())
        from medseg.classical import _diffusion_kernels as kernels

        sums, large = np.empty(values.shape[:2]), np.empty(values.shape[:2], np.int64)
        given = self.ties.numpy(), self.relaxation.numpy(), sources.numpy(), values.numpy()
        _shared(
            *(workers, kernels.swept, len(self.sinks), values.numel(), *given),
            *(np.float32(1 - DAMPING), out.numpy(), np.float32(tolerance), sums, large),
        )
        return torch.from_numpy(sums.sum(axis=1)), int(large.sum())

    def swept_in_torch(self, sources: Tensor, values: Tensor) -> Tensor:
        """Values after a Jacobi sweep, in torch alone, on any device."""
        return values + (sources + self.inflow_in_torch(values)) * self.relaxation

    def turn(self, direction: Tensor, shares: Tensor, guess: Tensor, workers: Executor) -> None:
        """Keep of the direction, in place, a share (maps), and add the guess."""
        if direction.is_cuda:
            direction.mul_(shares.float().view(-1, 1, 1, 1)).add_(guess)
            return
        from medseg.classical import _diffusion_kernels as kernels

        arrays = guess.numpy(), shares.float().numpy(), direction.numpy()
        _shared(workers, kernels.turned, len(self.sinks), guess.numel(), *arrays)

    def advance(
        self,
        lengths: Tensor,
        way: tuple[Tensor, Tensor],
        state: tuple[Tensor, Tensor, Tensor],
        workers: Executor,
    ) -> None:
        """Go a length (maps) of the way.

        Parameters
        ----------
        lengths : (maps) tensor
        way : (direction, its inflow)
        state : (values, what is left of the sources, a sweep from nothing)
            Changed in place.
        """
        if lengths.is_cuda:
            far = lengths.float().view(-1, 1, 1, 1)
            for each, along in zip(state, way, strict=False):
                each.addcmul_(along, far)
            state[2].copy_(state[1]).mul_(self.relaxation)
            return
        from medseg.classical import _diffusion_kernels as kernels

        direction, flown = (each.numpy() for each in way)
        arrays = lengths.float().numpy(), direction, flown, self.relaxation.numpy()
        _shared(
            *(workers, kernels.stepped, len(self.sinks), state[0].numel()),
            *(*arrays, *(each.numpy() for each in state)),
        )

    def gathered(self, fine: Tensor, workers: Executor) -> Tensor:
        """Sums over the blocks of the next level."""
        if fine.is_cuda:
            return gathered_in_torch(fine, self.factors)
        from medseg.classical import _diffusion_kernels as kernels

        coarse = self._coarse(fine)
        arrays = fine.numpy(), self.factors, coarse.numpy()
        _shared(workers, kernels.gathered, coarse.shape[1], fine.numel(), *arrays)
        return coarse

    def spread(self, coarse: Tensor, fine: Tensor, workers: Executor) -> None:
        """Add to `fine` at each voxel the value of its block."""
        if fine.is_cuda:
            fine += spread_in_torch(coarse, self.factors, fine.shape[1:])
            return
        from medseg.classical import _diffusion_kernels as kernels

        arrays = coarse.numpy(), self.factors, fine.numpy()
        _shared(workers, kernels.spread, fine.shape[1], fine.numel(), *arrays)

    def coarser(self, factors: tuple[int, int, int], workers: Executor) -> Level:
        """Level of the blocks, which will be joined by `factors` themselves."""
        import torch

        joined = [self.gathered(self.sinks[None], workers)[0]]
        for axis in range(3):
            ties, size = self.ties[axis], self.sinks.shape[axis]
            if self.factors[axis] == 2:  # those inside a block tie nothing
                inner = torch.arange(0, size, 2, device=ties.device)
                ties = ties.index_fill(axis, inner, 0)
            joined.append(self.gathered(ties[None], workers)[0])
        sinks, *between = joined
        return Level.of(torch.stack(between) * _TIES_OF_BLOCKS, sinks, factors)

    def _coarse(self, fine: Tensor) -> Tensor:
        return fine.new_zeros((len(fine), *coarser_shape(fine.shape[1:], self.factors)))


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


def products(one: Tensor, two: Tensor) -> Tensor:
    """Scalar product (maps) of each pair of maps, float64."""
    return (one.double() * two).flatten(1).sum(dim=1)


def coarser_shape(shape: Iterable[int], factors: tuple[int, int, int]) -> tuple[int, ...]:
    """How many blocks there are along each axis."""
    return tuple(-(-size // factor) for size, factor in zip(shape, factors, strict=True))


def _shared(
    workers: Executor, kernel: Callable[..., None], parts: int, size: int, *arrays: Any
) -> None:
    """Call a kernel on stretches of so many parts, all at once if there is enough to do."""
    threads = min(computing_threads(), parts, size // _WORTH_A_THREAD)
    if threads <= 1:
        kernel(0, parts, *arrays)
        return
    edges = [parts * part // threads for part in range(threads + 1)]
    list(workers.map(lambda ends: kernel(*ends, *arrays), pairwise(edges)))
