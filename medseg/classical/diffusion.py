"""Diffusion between fixed values on a grid, solved by conjugate gradients over a multigrid."""

from __future__ import annotations

from concurrent.futures import Executor, ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from medseg.classical.clusters import Clusters
from medseg.classical.diffusion_graph import Graph
from medseg.classical.diffusion_level import Level
from medseg.device import computing_threads

if TYPE_CHECKING:
    from torch import Tensor

_COARSEST = 200  # nodes, solved exactly
_MOST_STEPS = 200
# What a cycle at least gives of the correction that is needed, as long as nothing is known.
_LEAST_SHARE = 0.1
_SURELY = 0.5  # that share is found from above


class Multigrid:
    """A diffusion on a grid, and graphs of fewer and fewer nodes that answer for it approximately.

    All is float64: of what flows inside a cluster that hangs on weak ties, float32 would round
    off more than what comes from outside.

    Parameters
    ----------
    ties : (3, i, j, k) float32 tensor
        How strongly each voxel is joined with the next one along each axis; 0 at its end.
    free : (i, j, k) bool tensor
        Where values are asked for; elsewhere they are fixed. Every part that hangs together by
        ties has a voxel whose value is fixed.
    """

    def __init__(self, ties: Tensor, free: Tensor) -> None:
        self.finest = Level.of(ties, free)
        self.clusters: list[Clusters] = []
        self.graphs: list[Graph] = []
        level: Level | Graph = self.finest
        with _workers() as workers:
            while not self.graphs or len(self.graphs[-1].sinks) > _COARSEST:
                self.clusters.append(level.clusters(workers))
                level = level.joined(self.clusters[-1], workers)
                self.graphs.append(level)
        self._inverse = self.graphs[-1].matrix().inverse()

    def solve(self, values: Tensor, tolerance: float) -> None:
        """Change values, where they are free, to those at which as much flows off as comes in.

        Conjugate gradients, preconditioned by a cycle over all levels. Of the correction that
        would be exact, a cycle gives at least the share of its smallest eigenvalue; so they
        end once the largest correction is smaller than that share of the tolerance.

        Parameters
        ----------
        values : (maps, i, j, k) float32 tensor
            Those that are free tell where to begin.
        tolerance : float

        Raises
        ------
        ValueError
            If that takes too long.
        """
        import torch

        direction = values.double()
        # The guess is needed no longer once the direction has turned, and what flows begins.
        left, guess = torch.empty_like(direction), torch.empty_like(direction)
        shares = [_Shares() for _ in values]
        with _workers() as workers:
            self.finest.inflow(direction, left, workers)
            direction.zero_()
            begun = left * self.finest.relaxation
            before = left.new_full((len(left),), np.inf)
            for _ in range(_MOST_STEPS):
                now, largest = self._cycle(left, begun, guess, workers)
                least = largest.new_tensor([share.least() for share in shares])
                if bool((largest <= _SURELY * tolerance * least).all()):
                    values += guess
                    return
                # A map that is done has nothing left to divide by.
                kept = (now / before).nan_to_num_(0, 0, 0)
                self.finest.turn(direction, kept, guess, workers)
                before = now
                flown = guess
                curves = self.finest.inflow(direction, flown, workers)  # below 0
                lengths = (-now / curves).nan_to_num_(0, 0, 0)
                state = values, left, begun
                self.finest.advance(lengths, (direction, flown), state, workers)
                for share, *step in zip(shares, lengths.tolist(), kept.tolist(), strict=True):
                    share.add(*step)
        raise ValueError(
            f"probabilities did not come within {tolerance} of their end in {_MOST_STEPS} steps; "
            "ask for a larger tolerance or a smaller contrast"
        )

    def _cycle(
        self, sources: Tensor, begun: Tensor, out: Tensor, workers: Executor
    ) -> tuple[Tensor, Tensor]:
        """Put into `out` what nearly lets the sources flow off: a cycle over all levels.

        Parameters
        ----------
        sources, out : (maps, i, j, k) float64 tensors
        begun : (maps, i, j, k) float64 tensor
            A Jacobi sweep from nothing; used up.
        workers : Executor

        Returns
        -------
        As `Level.swept` does.
        """
        clusters, maps = self.clusters[0], len(sources)
        self.finest.rest(sources, begun, out, workers)
        answer = self._answer(0, clusters.gathered(out.view(maps, -1), workers), workers)
        clusters.spread(answer, begun.view(maps, -1), workers)
        return self.finest.swept(sources, begun, out, workers)

    def _answer(self, number: int, sources: Tensor, workers: Executor) -> Tensor:
        """What nearly lets the sources (maps, nodes) of a graph flow off: a W-cycle from there."""
        graph = self.graphs[number]
        if number == len(self.graphs) - 1:
            return sources @ self._inverse
        clusters, values = self.clusters[number + 1], sources * graph.relaxation
        # Values that are constant in each cluster are too few for one answer to be enough.
        for _ in range(2):
            rest = graph.rest(sources, values, workers)
            answer = self._answer(number + 1, clusters.gathered(rest, workers), workers)
            clusters.spread(answer, values, workers)
        return graph.swept(sources, values, workers)


class _Shares:
    """Which shares of exact corrections the cycles of conjugate gradients have given so far.

    They are the eigenvalues of a tridiagonal matrix that the steps tell: G. H. Golub and
    C. F. Van Loan, Matrix computations, 4th edition, Johns Hopkins 2013, section 11.3.
    """

    def __init__(self) -> None:
        self._lengths: list[float] = []
        self._kept: list[float] = []

    def add(self, length: float, kept: float) -> None:
        """Take note of a step: how far it went, and the share of the last direction it kept."""
        if length > 0:
            self._lengths.append(length)
            self._kept.append(kept)

    def least(self) -> float:
        """Smallest share."""
        if not self._lengths:
            return _LEAST_SHARE
        inverse, kept = 1 / np.array(self._lengths), np.array(self._kept)[1:]
        matrix = np.diag(inverse)
        below = np.arange(1, len(inverse))
        matrix[below, below] += kept * inverse[:-1]
        matrix[below, below - 1] = np.sqrt(kept) * inverse[:-1]
        return float(np.linalg.eigvalsh(matrix)[0])


def _workers() -> Executor:
    """Threads for kernels."""
    return ThreadPoolExecutor(computing_threads(), "medseg-diffusion")
