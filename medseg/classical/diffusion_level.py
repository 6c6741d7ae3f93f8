"""Diffusion on a grid: what flows between voxels, and their clusters."""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from medseg.classical.clusters import Clusters, in_torch, shared, strongest_in_torch
from medseg.classical.diffusion_graph import (
    DAMPING,
    Graph,
    is_bound,
    joined_by,
    joined_in_torch,
    relaxation_of,
)

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class Level:
    """The finest level of the multigrid: how strongly voxels are joined.

    Values and sources are (maps, i, j, k) float64. What is said to come to fixed voxels is
    anything: no sweep changes them. Numba does the work on the CPU, torch on CUDA.

    Parameters
    ----------
    ties : (3, i, j, k) float32 tensor
        With the next voxel along each axis; 0 at its end.
    relaxation : (i, j, k) float64 tensor
        What a Jacobi sweep multiplies a rest by; 0 where values are fixed or nothing is joined.
    """

    ties: Tensor
    relaxation: Tensor

    @classmethod
    def of(cls, ties: Tensor, free: Tensor) -> Level:
        """Level of these ties, whose values are fixed but where they are free."""
        total = ties[0].double()
        for axis in range(3):
            if axis:
                total += ties[axis]
            size = total.shape[axis] - 1
            total.narrow(axis, 1, size).add_(ties[axis].narrow(axis, 0, size))
        return cls(ties, relaxation_of(total).mul_(free))

    @property
    def free(self) -> Tensor:
        """Where values are not fixed, and something is joined."""
        return self.relaxation > 0

    def sinks(self) -> Tensor:
        """How strongly (i, j, k) free voxels are joined with others, float32."""
        import torch

        free, sinks = self.free, torch.zeros_like(self.ties[0])
        for axis, tie in enumerate(self.ties):
            size = tie.shape[axis] - 1
            along = tie.narrow(axis, 0, size)
            one, two = free.narrow(axis, 0, size), free.narrow(axis, 1, size)
            sinks.narrow(axis, 0, size).add_(along * (one & ~two))
            sinks.narrow(axis, 1, size).add_(along * (two & ~one))
        return sinks

    def inflow(self, values: Tensor, out: Tensor, workers: Executor) -> Tensor:
        """Put into `out` what comes to each voxel less what leaves it.

        Returns
        -------
        (maps) float64 tensor
            Scalar products with the values.
        """
        import torch

        if in_torch(values):
            return products(values, out.copy_(self.inflow_in_torch(values)))
        from medseg.classical import _diffusion_kernels as kernels

        sums = np.empty(values.shape[:2])
        arrays = self.ties.numpy(), values.numpy(), out.numpy(), sums
        shared(workers, kernels.inflow, len(self.relaxation), values.numel(), *arrays)
        return torch.from_numpy(sums.sum(axis=1))

    def inflow_in_torch(self, values: Tensor) -> Tensor:
        """What `inflow` gives, in torch alone, on any device."""
        import torch

        found = torch.zeros_like(values)
        for axis in range(3):
            size = values.shape[axis + 1] - 1
            flow = values.diff(dim=axis + 1) * self.ties[axis].narrow(axis, 0, size)
            found.narrow(axis + 1, 0, size).add_(flow)
            found.narrow(axis + 1, 1, size).sub_(flow)
        return found

    def rest(self, sources: Tensor, values: Tensor, out: Tensor, workers: Executor) -> None:
        """Put into `out` what a sweep from nothing to the values leaves of the sources."""
        if in_torch(values):
            out.copy_(sources + self.inflow_in_torch(values))
            return
        from medseg.classical import _diffusion_kernels as kernels

        given = self.ties.numpy(), sources.numpy(), values.numpy(), 1 - DAMPING, out.numpy()
        shared(workers, kernels.rest, len(self.relaxation), values.numel(), *given)

    def swept(
        self, sources: Tensor, values: Tensor, out: Tensor, workers: Executor
    ) -> tuple[Tensor, Tensor]:
        """Put into `out` the values after a Jacobi sweep.

        Returns
        -------
        (maps) float64 tensor
            Scalar products of `out` with the sources.
        (maps) float64 tensor
            Largest magnitudes of `out`.
        """
        import torch

        if in_torch(values):
            out.copy_(self.swept_in_torch(sources, values))
            return products(sources, out), out.flatten(1).abs().amax(dim=1)
        from medseg.classical import _diffusion_kernels as kernels

        sums, largest = np.empty(values.shape[:2]), np.empty(values.shape[:2])
        given = self.ties.numpy(), self.relaxation.numpy(), sources.numpy(), values.numpy()
        shared(
            *(workers, kernels.swept, len(self.relaxation), values.numel(), *given),
            *(1 - DAMPING, out.numpy(), sums, largest),
        )
        return torch.from_numpy(sums.sum(axis=1)), torch.from_numpy(largest.max(axis=1))

    def swept_in_torch(self, sources: Tensor, values: Tensor) -> Tensor:
        """Values after a Jacobi sweep, in torch alone, on any device."""
        return values + (sources + self.inflow_in_torch(values)) * self.relaxation

    def turn(self, direction: Tensor, shares: Tensor, guess: Tensor, workers: Executor) -> None:
        """Keep of the direction, in place, a share (maps), and add the guess."""
        if in_torch(direction):
            direction.mul_(shares.view(-1, 1, 1, 1)).add_(guess)
            return
        from medseg.classical import _diffusion_kernels as kernels

        arrays = guess.numpy(), shares.numpy(), direction.numpy()
        shared(workers, kernels.turned, len(self.relaxation), guess.numel(), *arrays)

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
            Changed in place; the values are float32.
        """
        import torch

        if in_torch(lengths):
            far = lengths.view(-1, 1, 1, 1)
            for each, along in zip(state, way, strict=False):
                each.add_(along * far)
            torch.mul(state[1], self.relaxation, out=state[2])
            return
        from medseg.classical import _diffusion_kernels as kernels

        direction, flown = (each.numpy() for each in way)
        arrays = lengths.numpy(), direction, flown, self.relaxation.numpy()
        shared(
            *(workers, kernels.stepped, len(self.relaxation), state[0].numel()),
            *(*arrays, *(each.numpy() for each in state)),
        )

    def edges(self) -> tuple[Tensor, Tensor, Tensor]:
        """Both ends (int64) of each tie of free voxels, in both orders, and the tie."""
        import torch

        free = self.free.flatten()
        number = torch.arange(len(free), device=free.device)
        found = []
        for tie, step in zip(self.ties, self.relaxation.stride(), strict=True):
            here = number[(tie.flatten() > 0) & free]
            here = here[free[here + step]]
            found += [(here, here + step, tie.flatten()[here])]
            found += [(here + step, here, tie.flatten()[here])]
        one, two, ties = (torch.cat(each) for each in zip(*found, strict=True))
        return one, two, ties

    def clusters(self, workers: Executor) -> Clusters:
        """Voxels joined by their strongest ties."""
        import torch

        sinks = self.sinks()
        bound = is_bound(sinks, self.relaxation).flatten()
        if in_torch(bound):
            return Clusters.along(strongest_in_torch(self.edges(), sinks.flatten(), bound))
        from medseg.classical import _cluster_kernels as kernels

        to = torch.empty(len(bound), dtype=torch.int32)
        ties = self.ties.numpy()
        given = ties, ties.view(np.int32), sinks.flatten().numpy(), bound.numpy(), to.numpy()
        shared(workers, kernels.strongest_on_grid, len(self.relaxation), len(to), *given)
        return Clusters.along(to)

    def joined(self, clusters: Clusters, workers: Executor) -> Graph:
        """Graph of the clusters."""
        if in_torch(self.ties):
            return joined_in_torch(self.edges(), self.sinks().flatten(), clusters)
        from medseg.classical import _cluster_kernels as kernels

        return joined_by(kernels.joined_on_grid, (self.ties.numpy(),), clusters, workers)


def products(one: Tensor, two: Tensor) -> Tensor:
    """Scalar product (maps) of each pair of maps."""
    return (one * two).flatten(1).sum(dim=1)
