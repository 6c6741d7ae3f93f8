"""Classes that prefer to be like their neighbours: a Potts field, by mean-field sweeps."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from medseg.device import computing_threads

if TYPE_CHECKING:
    from torch import Tensor

# Planes that a thread does in one go.
_BLOCK = 8


def weights_of(spacing: tuple[float, ...]) -> tuple[float, ...]:
    """How much a face neighbour along each axis counts: less the farther, 1 in the mean."""
    near = [1 / step for step in spacing]
    return tuple(len(near) * weight / sum(near) for weight in near)


def swept(
    beliefs: Tensor, evidence: Tensor, inside: Tensor, pull: float, weights: tuple[float, ...]
) -> Tensor:
    """Beliefs after every voxel has listened to its neighbours once.

    The voxels of even places come first, then those of odd ones, like the colours of a
    chessboard: none is changed together with its neighbours, so that each step lowers the
    free energy of the field and no two voxels swap classes for ever.

    Parameters
    ----------
    beliefs : (K, ...) float32 tensor
        Probability of each class; 0 outside.
    evidence : (K, ...) float32 tensor
        Log of the probability of each class, neighbours apart, but for a constant.
    inside : (...) bool tensor
    pull : float
        How much a neighbour of weight 1 adds to the log probability of its class.
    weights : tuple of float
        Of the neighbours along each axis.
    """
    if beliefs.is_cuda:
        return swept_in_torch(beliefs, evidence, inside, pull, weights)
    from medseg.classical import _field_kernels

    after = beliefs.clone()
    lead = (1,) * (3 - inside.ndim)
    shape = (*lead, *inside.shape)
    arrays = [each.numpy().reshape(len(after), *shape) for each in (after, evidence.contiguous())]
    pulls = (*(0.0 for _ in lead), *(pull * weight for weight in weights))
    with ThreadPoolExecutor(computing_threads()) as pool:
        for colour in (0, 1):

            def do(start: int, colour: int = colour) -> None:
                block = start, min(start + _BLOCK, shape[0])
                _field_kernels.sweep(block, colour, *arrays, inside.numpy().reshape(shape), pulls)

            list(pool.map(do, range(0, shape[0], _BLOCK)))
    return after


def swept_in_torch(
    beliefs: Tensor, evidence: Tensor, inside: Tensor, pull: float, weights: tuple[float, ...]
) -> Tensor:
    """Do what `swept` does in torch alone, on any device."""
    import torch

    even = chessboard(inside)
    for colour in (even, ~even):
        heard = torch.add(evidence, neighbours(beliefs, weights), alpha=pull)
        beliefs = torch.where(colour & inside, heard.softmax(0), beliefs)
    return beliefs


def chessboard(inside: Tensor) -> Tensor:
    """Every other voxel of a (...) tensor, bool."""
    import torch

    total = torch.zeros(inside.shape, dtype=torch.int64, device=inside.device)
    for axis, size in enumerate(inside.shape):
        shape = [1] * inside.ndim
        shape[axis] = size
        total += torch.arange(size, device=inside.device).view(shape)
    return total % 2 == 0


def neighbours(beliefs: Tensor, weights: tuple[float, ...]) -> Tensor:
    """Weighted sum over the face neighbours of each voxel: (K, ...), as `beliefs`."""
    import torch

    found = torch.zeros_like(beliefs)
    for axis, weight in enumerate(weights, start=1):
        size = beliefs.shape[axis]
        found.narrow(axis, 1, size - 1).add_(beliefs.narrow(axis, 0, size - 1), alpha=weight)
        found.narrow(axis, 0, size - 1).add_(beliefs.narrow(axis, 1, size - 1), alpha=weight)
    return found
