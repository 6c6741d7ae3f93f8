"""Connected components of label maps, on the CPU and on CUDA."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Literal, overload

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_Neighbours = Literal[4, 6, 8, 18, 26]
# cc3d names a neighbourhood by how many voxels it has: by axes, then by connectivity.
_NEIGHBOURS: dict[int, tuple[_Neighbours, _Neighbours, _Neighbours]] = {
    1: (6, 6, 6),
    2: (4, 8, 8),
    3: (6, 18, 26),
}


@overload
def components(labels: Tensor, connectivity: int = 1) -> tuple[Tensor, int]: ...
@overload
def components(
    labels: NDArray[np.integer | np.bool_], connectivity: int = 1
) -> tuple[NDArray[np.integer], int]: ...
def components(
    labels: Tensor | NDArray[np.integer | np.bool_], connectivity: int = 1
) -> tuple[Tensor | NDArray[np.integer], int]:
    """Number of the component that each voxel belongs to, and how many components there are.

    A component is a largest set of voxels of one label that are joined by steps between
    neighbours: touching voxels of different labels are different components. Components
    are numbered from 1 in the order in which their first voxels are stored, row by row,
    on any device.

    Parameters
    ----------
    labels : (...) bool or integer array or tensor of 1 to 3 axes
        0 is background; any other value is a label.
    connectivity : int
        Along how many axes neighbours may differ: 1 joins faces, 2 edges too, 3 corners too.
        More than there are axes is as many as there are.

    Returns
    -------
    (...) integer array or tensor, int
        As `labels` came: an array, or a tensor on the same device. 0 is background. The
        numbers have 32 bits, or 64 where there are more voxels than fit.

    Raises
    ------
    ValueError
        If the connectivity is not 1, 2 or 3, or there are more than 3 axes.
    """
    _require(labels.ndim, connectivity)
    if isinstance(labels, np.ndarray):
        return _by_library(labels, connectivity)
    if labels.is_cuda:
        return components_in_torch(labels, connectivity)
    import torch

    numbered, count = _by_library(labels.numpy(), connectivity)
    return torch.from_numpy(numbered), count


def components_in_torch(labels: Tensor, connectivity: int = 1) -> tuple[Tensor, int]:
    """Do what `components` does in torch alone, on any device.

    Voxels of one label that follow each other along the last axis are a run. Runs that
    touch are joined by hooking the later to the earlier and then letting each point to
    the first of its tree, until none is left to join: of the volume itself, a few passes
    are enough.
    """
    import torch

    _require(labels.ndim, connectivity)
    occupied = labels != 0
    starts = occupied.clone()
    same = labels[..., 1:] == labels[..., :-1]
    starts[..., 1:] &= ~same
    # A run's number is that of the last start before it; int64, as volumes may pass 2^31.
    run_of = starts.flatten().cumsum(0).view(labels.shape) - 1
    firsts = _joined(int(starts.sum()), _touching(labels, occupied, run_of, connectivity))
    is_first = firsts == torch.arange(len(firsts), device=firsts.device)
    numbers = is_first.cumsum(0)
    numbered = torch.zeros_like(run_of, dtype=_integers(run_of.numel()))
    numbered[occupied] = numbers[firsts][run_of[occupied]].to(numbered.dtype)
    return numbered, int(is_first.sum())


def sizes(numbered: Tensor, count: int) -> Tensor:
    """Voxels of each component, (count + 1,) int64; that of index 0 is the background."""
    import torch

    return torch.bincount(numbered.flatten(), minlength=count + 1)


def labels_of(numbered: Tensor, count: int, labels: Tensor) -> Tensor:
    """Label of each component, (count + 1,) of the dtype of `labels`; 0 for background."""
    found = labels.new_zeros(count + 1)
    found[numbered.flatten()] = labels.flatten()  # all voxels of a component write the same
    return found


def largest(labels: Tensor, connectivity: int = 1) -> Tensor:
    """Voxels of the largest component, (...) bool; none if all is background.

    Of several that are as large, the first.
    """
    numbered, count = components(labels, connectivity)
    if not count:
        return labels != 0
    return numbered == sizes(numbered, count)[1:].argmax() + 1


def _require(ndim: int, connectivity: int) -> None:
    if connectivity not in (1, 2, 3):
        raise ValueError(
            f"connectivity is 1 (faces), 2 (and edges) or 3 (and corners), got {connectivity}"
        )
    if ndim not in _NEIGHBOURS:
        raise ValueError(f"components are of 1 to 3 axes, got {ndim}")


def _by_library(
    labels: NDArray[np.integer | np.bool_], connectivity: int
) -> tuple[NDArray[np.integer], int]:
    import cc3d

    # In another order of storage it numbers in another order, and it refuses what is read-only.
    values = np.require(labels, requirements=("C", "W"))
    neighbours = _NEIGHBOURS[labels.ndim][connectivity - 1]
    if labels.ndim == 1:
        values = values.reshape(1, 1, -1)
    signed = np.int64 if labels.size >= 2**31 else np.int32
    unsigned = np.uint64 if labels.size >= 2**31 else np.uint32
    numbered, count = cc3d.connected_components(
        values, connectivity=neighbours, out_dtype=unsigned, return_N=True
    )
    return numbered.reshape(labels.shape).view(signed), int(count)


def _integers(voxels: int) -> torch.dtype:
    import torch

    return torch.int64 if voxels >= 2**31 else torch.int32


def _touching(
    labels: Tensor, occupied: Tensor, run_of: Tensor, connectivity: int
) -> tuple[Tensor, Tensor]:
    """Pairs of runs that touch and are of one label, the later one first: (pairs,) each."""
    import torch

    later, earlier = [], []
    for offset in product((-1, 0, 1), repeat=labels.ndim):
        steps = sum(step != 0 for step in offset)
        # Half of the neighbours; those along the last axis are in the same run already.
        if not 0 < steps <= connectivity or offset[:-1] <= (0,) * (labels.ndim - 1):
            continue
        here = tuple(slice(max(step, 0), step if step < 0 else None) for step in offset)
        back = tuple(slice(max(-step, 0), -step if step > 0 else None) for step in offset)
        meet = occupied[here] & (labels[here] == labels[back])
        first, second = run_of[here][meet], run_of[back][meet]
        # Along two runs that lie side by side the same pair comes again and again.
        new = torch.ones_like(first, dtype=torch.bool)
        new[1:] = (first[1:] != first[:-1]) | (second[1:] != second[:-1])
        later.append(first[new])
        earlier.append(second[new])
    if not later:
        return run_of.new_empty(0), run_of.new_empty(0)
    return torch.cat(later), torch.cat(earlier)


def _joined(count: int, pairs: tuple[Tensor, Tensor]) -> Tensor:
    """First of the runs that are joined with each run: (count,) int64."""
    import torch

    first, second = pairs
    parent = torch.arange(count, device=first.device)
    while len(first):
        # The ends of pairs are roots here, so that hooking the later loses no connection.
        low, high = torch.minimum(first, second), torch.maximum(first, second)
        parent.scatter_reduce_(0, high, low, "amin")
        while not torch.equal(parent, above := parent[parent]):
            parent = above
        first, second = parent[first], parent[second]
        apart = first != second
        first, second = first[apart], second[apart]
    return parent
