"""Losses for the targets of a plan: its regions, and voxels that nobody has annotated."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from medseg.learning import LOSSES
from medseg.learning.losses.supervision import Loss, in_mm
from medseg.learning.losses.weighing import class_indices
from medseg.learning.plan import Plan


def planned(name: str, plan: Plan) -> Loss:
    """Loss of `LOSSES` for the logits and the class maps of a plan.

    With regions, it is the mean over them of the loss of one region and what is outside:
    "dice+cross-entropy" is then binary cross-entropy and the Dice of sigmoids.
    """
    loss = in_mm(LOSSES[name], tuple(plan.spacing[axis] for axis in plan.axes))
    if plan.regions:
        loss = by_region(loss, plan.members)
    return loss if plan.ignore is None else leaving_out(loss, plan.ignored)


def by_region(loss: Loss, members: Sequence[Sequence[int]]) -> Loss:
    """Mean loss of the regions, for logits (B, regions, ...) and targets that are class indices.

    Each region is a class beside a background whose logit is 0, so that its probability is the
    sigmoid of its logit, and any loss of classes does.

    Parameters
    ----------
    members : sequence of sequences of int
        Classes of which each region is made.
    """

    def of_regions(logits: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
        index = class_indices(target, weights)
        outside = torch.zeros_like(logits[:, 0])
        each = [
            loss(torch.stack([outside, logits[:, region]], 1), among(index, classes), weights)
            for region, classes in enumerate(members)
        ]
        return torch.stack(each).mean()

    return of_regions


def leaving_out(loss: Loss, ignored: int) -> Loss:
    """Loss in which voxels whose target is `ignored` weigh nothing."""

    def of_the_others(logits: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
        counted = (target != ignored).to(logits.dtype)
        return loss(logits, target, counted if weights is None else counted * weights)

    return of_the_others


def among(index: Tensor, classes: Sequence[int]) -> Tensor:
    """Whether (...) class indices are among some classes."""
    inside = torch.zeros_like(index, dtype=torch.bool)
    for number in classes:
        inside |= index == number
    return inside
