"""Regions that grow from seeds, as far as voxels keep a rule."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor


class Rule(NamedTuple):
    """What a voxel keeps to join: an interval of intensities, or a distance from a mean.

    Parameters
    ----------
    low, high : float32
        Ends of the interval, both in it, for the only channel.
    reach : (3,) int64 array
        So many voxels along each axis to both sides must lie in the interval too.
    mean : (C,) float64 array
        Empty if it is the interval that counts.
    axes : (C, C) float64 array
        Rows that turn a difference from the mean into deviations along axes of no correlation.
    limit : float
        Largest squared length of such deviations.
    """

    low: np.float32
    high: np.float32
    reach: NDArray[np.int64]
    mean: NDArray[np.float64]
    axes: NDArray[np.float64]
    limit: float

    @classmethod
    def within(cls, low: float, high: float, reach: tuple[int, ...] = (0, 0, 0)) -> Rule:
        """From `low` to `high`; leading axes that `reach` lacks are one voxel long."""
        box = np.array([0] * (3 - len(reach)) + list(reach), np.int64)
        nothing = np.empty(0), np.empty((0, 0))
        return cls(np.float32(low), np.float32(high), box, *nothing, math.inf)

    @classmethod
    def near(cls, mean: NDArray[np.float64], axes: NDArray[np.float64], away: float) -> Rule:
        """At most `away` deviations from `mean`."""
        ends = np.float32(-np.inf), np.float32(np.inf)
        return cls(*ends, np.zeros(3, np.int64), mean, axes, float(away) ** 2)


def spread(
    image: Tensor, seeds: Tensor, rule: Rule, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Carry each label on, over faces, to voxels that keep the rule.

    A voxel that several labels can reach gets that with the fewest steps to it; of equals, the
    lowest, and background last. Seeds stay what they are, whether they keep the rule or not.

    Parameters
    ----------
    image : (C, ...) float32 tensor of 1 to 3 spatial axes
    seeds : (...) int32 tensor
    rule : Rule
    mask : (...) bool tensor, optional
        What is outside neither joins nor is looked at.

    Returns
    -------
    (...) int32 tensor, (n,) int64 tensor
        Labels, 0 where none comes; and the flat places of all that have one.
    """
    if image.is_cuda:
        return spread_in_torch(image, seeds, rule, mask)
    import torch

    from medseg.classical import _growing_kernels as kernels

    shape = (1,) * (3 - seeds.ndim) + tuple(seeds.shape)
    first = _in_turn(seeds)
    queue = np.empty(seeds.numel(), np.int64)
    queue[: len(first)] = first.numpy()
    free = _keeping(image, rule, mask).view(torch.uint8).numpy().reshape(shape)
    known = seeds.flatten()[first].unique()
    if len(known) == 1:  # who comes first does not matter
        count = kernels.fill(free.ravel(), shape[2], shape[1], queue, len(first))
        labels = torch.zeros_like(seeds)
        labels.view(-1)[torch.from_numpy(queue[:count])] = known
    else:
        labels = seeds.clone(memory_format=torch.contiguous_format)
        count = kernels.spread(free, labels.numpy().reshape(shape), queue, len(first))
    return labels, torch.from_numpy(queue[:count])


def spread_in_torch(
    image: Tensor, seeds: Tensor, rule: Rule, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Do what `spread` does in torch alone, on any device, a layer at a time."""
    import torch
    from torch.nn.functional import pad

    around = (1, 1) * seeds.ndim
    open_to = pad(_keeping(image, rule, mask), around).flatten() & (
        pad(seeds, around).flatten() == 0
    )
    labels = pad(seeds, around).flatten()
    padded = torch.Size(size + 2 for size in seeds.shape)
    steps = [math.prod(padded[axis + 1 :]) for axis in range(seeds.ndim)]
    offsets = torch.tensor([way * step for step in steps for way in (-1, 1)], device=seeds.device)
    turn = labels.new_full(labels.shape, 0)
    front = _in_turn(labels)
    members = [front]
    while len(front):
        to = (front[:, None] + offsets).flatten()
        from_ = front[:, None].expand(-1, len(offsets)).flatten()
        free = open_to[to]
        to, from_ = to[free], from_[free]
        # Among labels as they have their turn: background, -1, comes last.
        order = torch.where(labels[from_] < 0, 2**31 - 1, labels[from_])
        turn[to] = 2**31 - 1
        turn.scatter_reduce_(0, to, order, "amin")
        front = to.unique()
        labels[front] = torch.where(turn[front] == 2**31 - 1, -1, turn[front])
        open_to[front] = False
        members.append(front)
    inner = (slice(1, -1),) * seeds.ndim
    places = torch.full(padded, -1, device=seeds.device)
    places[inner] = torch.arange(seeds.numel(), device=seeds.device).view(seeds.shape)
    return labels.view(padded)[inner].contiguous(), places.flatten()[torch.cat(members)]


def deviations(values: Tensor, rule: Rule) -> Tensor:
    """Squared deviations from the mean of the rule, (...) float64, of a (C, ...) tensor."""
    import torch

    mean, axes = (torch.from_numpy(each).to(values.device) for each in (rule.mean, rule.axes))
    total = torch.zeros(values.shape[1:], dtype=torch.float64, device=values.device)
    for row in axes:
        along = torch.zeros_like(total)
        for weight, channel, middle in zip(row, values, mean, strict=True):
            along += weight * (channel.double() - middle)
        total += along * along
    return total


def _in_turn(seeds: Tensor) -> Tensor:
    """Flat places of the seeds, the lowest label first and background last."""
    import torch

    places = seeds.flatten().nonzero().flatten()
    labels = seeds.flatten()[places]
    return places[torch.where(labels < 0, 2**31 - 1, labels).argsort(stable=True)]


def _keeping(image: Tensor, rule: Rule, mask: Tensor | None) -> Tensor:
    """Voxels inside the mask that keep the rule, and whose box does."""
    import torch

    if len(rule.mean):
        kept = deviations(image, rule) <= rule.limit
        return kept if mask is None else kept & mask
    kept = (image[0] >= float(rule.low)) & (image[0] <= float(rule.high))
    if mask is not None:
        kept |= ~mask
    for axis, reach in enumerate(rule.reach[3 - kept.ndim :].tolist()):
        size = kept.shape[axis]
        before = kept.clone()
        for k in range(1, min(reach, size - 1) + 1):
            for here, there in ((0, k), (k, 0)):
                near = kept.narrow(axis, here, size - k)
                torch.logical_and(near, before.narrow(axis, there, size - k), out=near)
    return kept if mask is None else kept & mask
