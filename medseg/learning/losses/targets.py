"""Losses for the targets of a plan: its regions, and voxels of which not all is known."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from medseg.learning import LOSSES
from medseg.learning.losses.supervision import Loss, in_mm
from medseg.learning.losses.weighing import class_indices
from medseg.learning.partial import Unsure
from medseg.learning.plan import Plan

_SURE = Unsure()
_IMPOSSIBLE = -1e4  # a logit whose probability is 0


def planned(name: str, plan: Plan, unsure: Unsure = _SURE) -> Loss:
    """Loss of `LOSSES` for the logits and the class maps of a plan.

    With regions, it is the mean over them of the loss of one region and what is outside:
    "dice+cross-entropy" is then binary cross-entropy and the Dice of sigmoids.

    Where background may be other labels, of cases in which these were not looked for, it is
    learned that it is one of them, whichever; a region that they are of has no loss there.
    """
    loss = in_mm(LOSSES[name], tuple(plan.spacing[axis] for axis in plan.axes))
    if plan.regions:
        loss = by_region(loss, plan.members, unsure)
    elif unsure.missing:
        loss = either(loss, unsure)
    return loss if plan.ignore is None else leaving_out(loss, plan.ignored)


def by_region(loss: Loss, members: Sequence[Sequence[int]], unsure: Unsure = _SURE) -> Loss:
    """Mean loss of the regions, for logits (B, regions, ...) and targets that are class indices.

    Each region is a class beside a background whose logit is 0, so that its probability is the
    sigmoid of its logit, and any loss of classes does.

    Parameters
    ----------
    members : sequence of sequences of int
        Classes of which each region is made.
    unsure : Unsure
        Targets in which they may hide.
    """

    def of_regions(logits: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
        index = class_indices(target, weights)
        outside = torch.zeros_like(logits[:, 0])
        each = [
            loss(
                torch.stack([outside, logits[:, region]], 1),
                among(index, classes),
                _of_the_sure(index, classes, unsure, weights),
            )
            for region, classes in enumerate(members)
        ]
        return torch.stack(each).mean()

    return of_regions


def either(loss: Loss, unsure: Unsure) -> Loss:
    """Loss in which a voxel that is background or one of some classes may be any of them.

    Its probability of background is that of all of them together, and they themselves have none:
    the marginal loss.

    References
    ----------
    G. Shi et al., "Marginal loss and exclusion loss for partially supervised multi-organ
    segmentation", Medical Image Analysis 70, 2021, doi:10.1016/j.media.2021.101979
    """

    def of_either(logits: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
        channels = list(logits.unbind(1))
        for number, missing in unsure.numbered():
            here = target == number
            together = torch.stack([channels[c] for c in (0, *missing)]).logsumexp(0)
            channels[0] = torch.where(here, together, channels[0])
            for c in missing:
                channels[c] = channels[c].masked_fill(here, _IMPOSSIBLE)
            target = target.masked_fill(here, 0)
        return loss(torch.stack(channels, 1), target, weights)

    return of_either


def leaving_out(loss: Loss, ignored: int) -> Loss:
    """Loss in which voxels whose target is `ignored` weigh nothing."""

    def of_the_others(logits: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
        counted = (target != ignored).to(logits.dtype)
        return loss(logits, target, counted if weights is None else counted * weights)

    return of_the_others


def _of_the_sure(
    index: Tensor, classes: Sequence[int], unsure: Unsure, weights: Tensor | None
) -> Tensor | None:
    """Weights, but 0 where classes may be that nobody looked for."""
    for number, missing in unsure.numbered():
        if set(missing) & set(classes):
            sure = (index != number).to(torch.float32)
            weights = sure if weights is None else weights * sure
    return weights


def among(index: Tensor, classes: Sequence[int]) -> Tensor:
    """Whether (...) class indices are among some classes."""
    inside = torch.zeros_like(index, dtype=torch.bool)
    for number in classes:
        inside |= index == number
    return inside
