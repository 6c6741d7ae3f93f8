"""A loss at the outputs of a network, which may be of several levels."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from inspect import signature
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional


class Loss(Protocol):
    """One number of logits, a target and perhaps weights; `medseg.learning.losses` says which."""

    def __call__(self, logits: Tensor, target: Tensor, /, weights: Tensor | None = None) -> Tensor:
        """Mean or sum over the voxels, 0 or more."""


def in_mm(loss: Loss, spacing: tuple[float, ...]) -> Loss:
    """Return the loss with distances in mm, or as it is if it measures none.

    On coarse levels, `spacing` is still that of the finest: their distances are smaller by the
    stride, which a sum of losses in equal parts does not see.
    """
    if "spacing" not in signature(loss).parameters:
        return loss
    measuring: Any = loss
    return partial(measuring, spacing=spacing)


def supervised(
    loss: Loss,
    outputs: Tensor | Sequence[Tensor],
    target: Tensor,
    weights: Tensor | None = None,
) -> Tensor:
    """Loss of logits, or of those of several levels, finest first, each weighing half.

    Target and weight of a voxel of a coarse level are those of the nearest voxel of the full one.
    """
    if isinstance(outputs, Tensor):
        return loss(outputs.float(), target, weights)
    shares = [0.5**level for level in range(len(outputs))]
    total = torch.zeros((), device=target.device)
    for share, logits in zip(shares, outputs, strict=True):
        size = logits.shape[2:]
        coarse = None if weights is None else _shrunk(weights, size)
        total = total + share / sum(shares) * loss(logits.float(), _shrunk(target, size), coarse)
    return total


def _shrunk(voxels: Tensor, size: torch.Size) -> Tensor:
    if voxels.shape[1:] == size:
        return voxels
    small = functional.interpolate(voxels[:, None].float(), size, mode="nearest-exact")
    return small[:, 0].to(voxels.dtype)
