"""Diffusion on a graph, whose nodes are clusters of voxels or of other clusters."""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np

from medseg.classical.clusters import (
    Clusters,
    in_torch,
    shared,
    strongest_in_torch,
    summed,
)

if TYPE_CHECKING:
    from torch import Tensor

# Measured on FLAIR: as strong as Jacobi sweeps stay stable, and the fewest steps.
DAMPING = 0.9
# A node that is tied to what is fixed more strongly than to all others needs none of them
# [Y. Notay, An aggregation-based algebraic multigrid method, Electron. Trans. Numer. Anal.
# 37:123-146, 2010].
_BOUND = 0.5


@dataclass(frozen=True, eq=False)
class Graph:
    """A level of the multigrid: how strongly nodes are joined.

    Numba does the work on the CPU, torch on CUDA.

    Parameters
    ----------
    starts : (nodes + 1,) int64 tensor
        Where the neighbours of each node begin in `others`.
    others, ties : (edges,) int32 and float32 tensors
        Neighbours, and how strongly they are tied; each pair stands there twice.
    sinks : (nodes,) float32 tensor
        How strongly nodes are tied to what is fixed.
    relaxation : (nodes,) float64 tensor
        What a Jacobi sweep multiplies rests by; see `relaxation_of`.
    """

    starts: Tensor
    others: Tensor
    ties: Tensor
    sinks: Tensor
    relaxation: Tensor

    def rest(self, sources: Tensor, values: Tensor, workers: Executor) -> Tensor:
        """What values leave of the sources; both are (maps, nodes) float64."""
        import torch

        if in_torch(values):
            return sources + self.inflow_in_torch(values)
        from medseg.classical import _graph_kernels as kernels

        out = torch.empty_like(values)
        given = *self._arrays(), sources.numpy(), values.numpy(), out.numpy()
        shared(workers, kernels.rest, len(self.sinks), values.numel(), *given)
        return out

    def swept(self, sources: Tensor, values: Tensor, workers: Executor) -> Tensor:
        """Values after a Jacobi sweep."""
        import torch

        if in_torch(values):
            return values + (sources + self.inflow_in_torch(values)) * self.relaxation
        from medseg.classical import _graph_kernels as kernels

        out = torch.empty_like(values)
        state = sources.numpy(), values.numpy(), out.numpy()
        given = *self._arrays(), self.relaxation.numpy(), *state
        shared(workers, kernels.swept, len(self.sinks), values.numel(), *given)
        return out

    def inflow_in_torch(self, values: Tensor) -> Tensor:
        """What comes to each node less what goes into its sink, on any device."""
        one, two, ties = self.edges()
        flow = (values[:, two] - values[:, one]) * ties
        return summed(flow, self.starts) - self.sinks * values

    def edges(self) -> tuple[Tensor, Tensor, Tensor]:
        """Both ends (int64) of each tie, and the tie."""
        import torch

        nodes = torch.arange(len(self.sinks), device=self.sinks.device)
        return nodes.repeat_interleave(self.starts.diff()), self.others.long(), self.ties

    def clusters(self, workers: Executor) -> Clusters:
        """Nodes joined by their strongest ties."""
        import torch

        bound = is_bound(self.sinks, self.relaxation)
        if in_torch(bound):
            return Clusters.along(strongest_in_torch(self.edges(), self.sinks, bound))
        from medseg.classical import _cluster_kernels as kernels

        to = torch.empty(len(bound), dtype=torch.int32)
        starts, others, ties, sinks = self._arrays()
        given = starts, others, ties, ties.view(np.int32), sinks, bound.numpy()
        shared(workers, kernels.strongest, len(to), len(to), *given, to.numpy())
        return Clusters.along(to)

    def joined(self, clusters: Clusters, workers: Executor) -> Graph:
        """Graph of the clusters."""
        if in_torch(self.sinks):
            return joined_in_torch(self.edges(), self.sinks, clusters)
        from medseg.classical import _cluster_kernels as kernels

        return joined_by(kernels.joined, self._arrays(), clusters, workers)

    def matrix(self) -> Tensor:
        """Whole matrix, float64: what flows off each node, less what comes from others."""
        import torch

        one, two, ties = self.edges()
        nodes = len(self.sinks)
        matrix = torch.zeros((nodes, nodes), dtype=torch.float64, device=ties.device)
        matrix[one, two] = -ties.double()
        matrix.diagonal().copy_(self.sinks - matrix.sum(1))
        return matrix

    def _arrays(self) -> tuple[np.ndarray, ...]:
        # Of an unsigned index, numba need not ask whether it counts from the end.
        others = self.others.numpy().view(np.uint32)
        return self.starts.numpy(), others, self.ties.numpy(), self.sinks.numpy()


def relaxation_of(total: Tensor) -> Tensor:
    """What a Jacobi sweep multiplies rests by, of the sum of all ties; 0 where that is 0."""
    return total.reciprocal_().mul_(DAMPING).nan_to_num_(posinf=0)


def is_bound(sinks: Tensor, relaxation: Tensor) -> Tensor:
    """Which nodes are tied to hardly anything, or anyhow to what is fixed above all."""
    return (sinks * relaxation > _BOUND * DAMPING) | (relaxation == 0)


def joined_by(
    kernel: Any, arrays: tuple[np.ndarray, ...], clusters: Clusters, workers: Executor
) -> Graph:
    """Graph of clusters of nodes that a kernel knows how to join, of arrays that describe them."""
    import torch

    ends = torch.zeros(len(clusters) + 1, dtype=torch.int64)
    sinks, totals = torch.empty(len(clusters)), torch.empty(len(clusters), dtype=torch.float64)
    given = clusters.of.numpy(), clusters.begins.numpy(), clusters.members.numpy()
    rows = ends[1:].numpy(), sinks.numpy(), totals.numpy()
    size = len(clusters.members)
    parts = shared(workers, kernel, len(clusters), size, *arrays, *given, *rows)
    lengths = [len(others) for others, _ in parts]
    # Each stretch counts from its own begin.
    edges = [len(clusters) * part // len(parts) for part in range(len(parts) + 1)]
    for number, before in enumerate(accumulate(lengths[:-1], initial=0)):
        ends[1 + edges[number] : 1 + edges[number + 1]] += before
    others, ties = (torch.from_numpy(np.concatenate(each)) for each in zip(*parts, strict=True))
    return Graph(ends, others, ties, sinks, relaxation_of(totals))


def joined_in_torch(
    edges: tuple[Tensor, Tensor, Tensor], sinks: Tensor, clusters: Clusters
) -> Graph:
    """Graph of clusters of the nodes at the ends of edges, in torch alone, on any device."""
    import torch

    one, two, ties = edges
    count = len(clusters)
    one, two = clusters.of[one].long(), clusters.of[two].long()
    inside, leads = one >= 0, two >= 0
    members = clusters.members.long()
    all_sinks = summed(sinks[members].double()[None], clusters.begins)[0]
    out = inside & ~leads
    all_sinks.index_add_(0, one[out], ties[out].double())
    apart = inside & leads & (one != two)
    pairs, which = (one[apart] * count + two[apart]).sort(stable=True)
    pairs, sizes = pairs.unique_consecutive(return_counts=True)
    begins = torch.zeros(len(pairs) + 1, dtype=torch.int64, device=ties.device)
    begins[1:] = sizes.cumsum(0)
    sums = summed(ties[apart][which].double()[None], begins)[0].float()
    starts = torch.zeros(count + 1, dtype=torch.int64, device=ties.device)
    starts[1:] = torch.bincount(pairs // max(count, 1), minlength=count).cumsum(0)
    totals = all_sinks + summed(sums.double()[None], starts)[0]
    others = (pairs % max(count, 1)).int()
    return Graph(starts, others, sums, all_sinks.float(), relaxation_of(totals))
