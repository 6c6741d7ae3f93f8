"""Diffusion between fixed values on a grid, solved by conjugate gradients over a multigrid."""

from __future__ import annotations

import math
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import TYPE_CHECKING

from medseg.classical.diffusion_level import Level, coarser_shape, products
from medseg.device import computing_threads

if TYPE_CHECKING:
    from torch import Tensor

_COARSEST = 200  # voxels, solved exactly
_MOST_STEPS = 500
_OUTLIERS = 1e-4  # the share of voxels whose values may still change by more than the tolerance


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
        with _workers() as workers:
            while math.prod(shape) > _COARSEST:
                shape = coarser_shape(shape, factors)
                steps = [step * factor for step, factor in zip(steps, factors, strict=True)]
                factors = _factors(shape, steps)
                self.levels.append(self.levels[-1].coarser(factors, workers))
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
        import torch

        values, steps = start.double(), 0
        with _workers() as workers:
            while steps < _MOST_STEPS:
                # In float32, a cluster that hangs on weak ties would not find its value: what
                # flows inside is rounded by more than what comes from outside. So what is left
                # is computed anew at the end, and only corrections are rounded.
                left = torch.empty_like(values)
                self.levels[0].inflow(values, left, workers)
                left = left.add_(sources).float()
                correction, taken = self._correction(left, tolerance, workers)
                values += correction
                if taken == 0:
                    return values.float()
                steps += taken
        raise ValueError(
            f"probabilities did not come within {tolerance} of their end in {_MOST_STEPS} steps; "
            "ask for a larger tolerance or a smaller contrast"
        )

    def _correction(self, left: Tensor, tolerance: float, workers: Executor) -> tuple[Tensor, int]:
        """What is missing where so much is left, in float32, and how many steps that took."""
        import torch

        finest = self.levels[0]
        found, direction = torch.zeros_like(left), torch.zeros_like(left)
        guess, flown = torch.empty_like(left), torch.empty_like(left)
        begun = left * finest.relaxation
        before = torch.full((len(left),), math.inf, dtype=torch.float64, device=left.device)
        for step in range(_MOST_STEPS):
            now, large = self._cycle(0, left, begun, guess, tolerance, workers)
            if large <= _OUTLIERS * guess.numel():
                return found.add_(guess), step
            # A map that is done has nothing left to divide by.
            finest.turn(direction, (now / before).nan_to_num_(0, 0, 0), guess, workers)
            before = now
            curves = finest.inflow(direction, flown, workers)  # below 0
            lengths = (-now / curves).nan_to_num_(0, 0, 0)
            finest.advance(lengths, (direction, flown), (found, left, begun), workers)
        return found, _MOST_STEPS

    def _cycle(
        self,
        number: int,
        sources: Tensor,
        begun: Tensor,
        out: Tensor,
        tolerance: float,
        workers: Executor,
    ) -> tuple[Tensor, int]:
        """Put into `out` what nearly lets the sources flow off: a V-cycle from a level downwards.

        Parameters
        ----------
        number : int
            Of the level.
        sources, out : (maps, i, j, k) float32 tensors
        begun : (maps, i, j, k) float32 tensor
            A Jacobi sweep from nothing; used up.
        tolerance : float
        workers : Executor

        Returns
        -------
        As `Level.swept` does.
        """
        import torch

        level = self.levels[number]
        if number == len(self.levels) - 1:
            flat = sources.flatten(1).double() @ self._inverse
            out.copy_(flat.view(sources.shape))
            return products(sources, out), int((out.abs() > tolerance).sum())
        coarse = level.gathered_rest(sources, begun, workers)
        started = coarse * self.levels[number + 1].relaxation
        answer = torch.empty_like(coarse)
        self._cycle(number + 1, coarse, started, answer, tolerance, workers)
        level.spread(answer, begun, workers)
        return level.swept(sources, begun, out, tolerance, workers)


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


def _workers() -> Executor:
    """Threads for kernels."""
    return ThreadPoolExecutor(computing_threads(), "medseg-diffusion")
