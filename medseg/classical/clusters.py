"""Nodes of a diffusion joined to clusters by their strongest ties: the nodes of a coarser one.

Each node follows its strongest tie to the next, until two lead to each other: all that come to
the same two are a cluster. Voxels that hang together, but on the rest by next to nothing, so
become one node before they are joined with others. It is a step of Borůvka's algorithm.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from medseg.device import computing_threads

if TYPE_CHECKING:
    from torch import Tensor

NOWHERE = -1
# Who is tied to others this much more weakly than to what is left out is left out, too:
# in a cluster it would hold the others fast.
WEAKER = 8
_WORTH_A_THREAD = 50_000  # nodes
_MANTISSA = 23  # bits of a float32 in front of which its exponent stands


@dataclass(frozen=True, eq=False)
class Clusters:
    """Which cluster each node belongs to.

    Parameters
    ----------
    of : (nodes,) int32 tensor
        `NOWHERE` where to none.
    begins : (clusters + 1,) int64 tensor
        Where the members of each cluster begin in `members`.
    members : int32 tensor
        Nodes, one cluster after the other.
    """

    of: Tensor
    begins: Tensor
    members: Tensor

    @classmethod
    def along(cls, to: Tensor) -> Clusters:
        """Clusters of nodes each of which leads `to` another, or nowhere."""
        import torch

        if in_torch(to):
            return cls.along_in_torch(to)
        from medseg.classical import _cluster_kernels as kernels

        of = torch.empty_like(to)
        count = kernels.numbered(to.numpy(), of.numpy())
        begins = torch.empty(count + 1, dtype=torch.int64)
        members = torch.empty(int((of != NOWHERE).sum()), dtype=torch.int32)
        kernels.listed(of.numpy(), begins.numpy(), members.numpy())
        return cls(of, begins, members)

    @classmethod
    def along_in_torch(cls, to: Tensor) -> Clusters:
        """What `along` gives, in torch alone, on any device."""
        import torch

        own = torch.arange(len(to), device=to.device)
        goes = to != NOWHERE
        end = torch.where(goes, to, own).long()
        first = goes & (~goes[end] | ((end[end] == own) & (own < end)))
        end = torch.where(first, own, end)
        while not torch.equal(end, further := end[end]):
            end = further
        of = torch.where(goes, (first.cumsum(0) - 1)[end], NOWHERE)
        members = torch.where(goes, of, len(to)).argsort(stable=True)[: int(goes.sum())]
        begins = torch.zeros(int(first.sum()) + 1, dtype=torch.int64, device=to.device)
        begins[1:] = torch.bincount(of[goes], minlength=len(begins) - 1).cumsum(0)
        return cls(of.int(), begins, members.int())

    def __len__(self) -> int:
        return len(self.begins) - 1

    def gathered(self, values: Tensor, workers: Executor) -> Tensor:
        """Sums (maps, clusters) over the members of each, of (maps, nodes)."""
        if in_torch(values):
            return summed(values[:, self.members.long()], self.begins)
        from medseg.classical import _graph_kernels as kernels

        sums = values.new_empty((len(values), len(self)))
        members = self.members.numpy().view(np.uint32)
        given = self.begins.numpy(), members, values.numpy(), sums.numpy()
        shared(workers, kernels.gathered, len(self), values.numel(), *given)
        return sums

    def spread(self, sums: Tensor, values: Tensor, workers: Executor) -> None:
        """Add to each node of (maps, nodes) the value of its cluster."""
        if in_torch(values):
            values[:, self.members.long()] += sums.repeat_interleave(self.begins.diff(), dim=1)
            return
        from medseg.classical import _graph_kernels as kernels

        given = self.of.numpy(), sums.numpy(), values.numpy()
        shared(workers, kernels.spread, len(self.of), values.numel(), *given)


def in_torch(tensor: Tensor) -> bool:
    """Whether torch works on such tensors; numba does on the CPU."""
    return tensor.is_cuda


def strongest_in_torch(
    edges: tuple[Tensor, Tensor, Tensor], sinks: Tensor, bound: Tensor
) -> Tensor:
    """What `strongest` of the kernels gives, in torch alone, on any device.

    Parameters
    ----------
    edges : (one end, the other end, tie)
        Each pair stands there twice.
    sinks, bound : (nodes,) float32 and bool tensors
    """
    import torch

    one, two, ties = edges
    most = sinks.scatter_reduce(0, one, ties, "amax")
    loose = ~bound[one] & ~bound[two]
    one, two, ties = one[loose], two[loose], ties[loose]
    low, high = torch.minimum(one, two), torch.maximum(one, two)
    mixed = (low * 0x1E3779B1 + high * 0x05EBCA77) & 0x7FFFFFFF
    mixed = ((mixed ^ (mixed >> 15)) * 0x2C1B3C6D) & 0x7FFFFFFF
    ranks = ((ties.view(torch.int32) >> _MANTISSA).long() << 31) + mixed
    best = ranks.new_full((len(bound),), -1).scatter_reduce_(0, one, ranks, "amax")
    to = one.new_full((len(bound),), NOWHERE)
    is_best = ranks == best[one]
    one, two, ties = one[is_best], two[is_best], ties[is_best]
    to[one] = torch.where(WEAKER * ties < most[one], NOWHERE, two)
    return to.int()


def summed(values: Tensor, begins: Tensor) -> Tensor:
    """Sums (maps, rows) of (maps, items), where the items of each row begin there."""
    import torch

    sums: Tensor = torch.segment_reduce(
        values.T.contiguous(), "sum", offsets=begins, axis=0, unsafe=True, initial=0
    )
    return sums.T.contiguous()


def shared(
    workers: Executor, kernel: Callable[..., Any], parts: int, size: int, *arrays: Any
) -> list[Any]:
    """Call a kernel on stretches of so many parts, all at once if there is enough to do.

    Returns what it gives for each stretch.
    """
    threads = min(computing_threads(), parts, size // _WORTH_A_THREAD)
    if threads <= 1:
        return [kernel(0, parts, *arrays)]
    edges = [parts * part // threads for part in range(threads + 1)]
    return list(workers.map(lambda ends: kernel(*ends, *arrays), pairwise(edges)))
