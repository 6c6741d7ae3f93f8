"""Losses in which a wrong voxel counts the more, the farther it is from the border.

Distances are those to the nearest voxel on the other side of the border, centre to centre, and
never have a gradient. They are in voxels, or in mm where a spacing is given.
"""

from __future__ import annotations

import torch
from torch import Tensor

from medseg.distance import distance_to
from medseg.learning.losses.overlap import soft_dice
from medseg.learning.losses.weighing import class_indices, mean

Spacing = tuple[float, ...] | None


def boundary(
    logits: Tensor, target: Tensor, weights: Tensor | None = None, *, spacing: Spacing = None
) -> Tensor:
    """Mean over foreground classes and voxels of |p - truth| times the distance to the true border.

    It differs from the mean of p times the signed distance by what a perfect prediction has of
    that, so that it is 0 at best. A class that a sample has none of, or nothing else, has no
    border there and costs nothing: train with `dice_boundary`.

    References
    ----------
    H. Kervadec et al., "Boundary loss for highly unbalanced segmentation", MIDL 2019, and
    Med. Image Anal. 67, 2021, doi:10.1016/j.media.2020.101851
    """
    index, known = class_indices(target, weights), None if weights is None else weights > 0
    probabilities = logits.softmax(1)
    costs = []
    for c in range(1, logits.shape[1]):
        truth = index == c
        away = _to_border(truth, known, spacing).to(logits.dtype)
        costs.append(mean(away * _error(probabilities[:, c], truth), weights))
    return torch.stack(costs).mean()


def hausdorff(
    logits: Tensor, target: Tensor, weights: Tensor | None = None, *, spacing: Spacing = None
) -> Tensor:
    """Mean over foreground classes and voxels of (p - truth)^2 (a^2 + b^2).

    a and b are the distances to the true border and to that of what is predicted, p > 0.5;
    where there is no border, they are 0. To train, take `dice_hausdorff`.

    References
    ----------
    D. Karimi, S. E. Salcudean, "Reducing the Hausdorff distance in medical image segmentation
    with convolutional neural networks", IEEE TMI 39(2):499-513, 2020,
    doi:10.1109/TMI.2019.2930068
    """
    index, known = class_indices(target, weights), None if weights is None else weights > 0
    probabilities = logits.softmax(1)
    costs = []
    for c in range(1, logits.shape[1]):
        truth, predicted = index == c, probabilities[:, c]
        away = _to_border(truth, known, spacing).square_()
        away += _to_border(predicted.detach() > 0.5, known, spacing).square_()
        costs.append(mean(away.to(logits.dtype) * _error(predicted, truth).square(), weights))
    return torch.stack(costs).mean()


def dice_boundary(
    logits: Tensor, target: Tensor, weights: Tensor | None = None, *, spacing: Spacing = None
) -> Tensor:
    """`soft_dice`, and `boundary` scaled so that it is as large.

    Its authors let the share of the boundary grow by a schedule.
    """
    dice = soft_dice(logits, target, weights)
    return _in_equal_parts(dice, boundary(logits, target, weights, spacing=spacing))


def dice_hausdorff(
    logits: Tensor, target: Tensor, weights: Tensor | None = None, *, spacing: Spacing = None
) -> Tensor:
    """`soft_dice`, and `hausdorff` scaled so that it is as large, as its authors balance them."""
    dice = soft_dice(logits, target, weights)
    return _in_equal_parts(dice, hausdorff(logits, target, weights, spacing=spacing))


def _in_equal_parts(dice: Tensor, other: Tensor) -> Tensor:
    """Sum of two losses, the other being scaled by a number that has no gradient.

    Distances shrink from the size of the patch to about a voxel while a network learns, so no
    constant would do for all of a training.
    """
    scale = dice.detach() / other.detach().clamp_min(torch.finfo(other.dtype).tiny)
    return dice + scale * other


def _error(probability: Tensor, truth: Tensor) -> Tensor:
    return torch.where(truth, 1 - probability, probability)


def _to_border(region: Tensor, known: Tensor | None, spacing: Spacing) -> Tensor:
    """Distance (B, ...) of each voxel to the other side of the border among the known voxels."""
    away = torch.zeros(region.shape, dtype=torch.float64, device=region.device)
    spacing = spacing or (1.0,) * (region.ndim - 1)
    for sample, inside in enumerate(region):
        outside, box = ~inside, (slice(None),) * inside.ndim
        if known is not None:
            inside, outside = inside & known[sample], outside & known[sample]
        if not (bool(inside.any()) and bool(outside.any())):
            continue
        if known is None:
            box = _box(inside)
        # On its own side of the border, each is 0.
        away[sample] = distance_to(inside, spacing)
        away[sample][box] += distance_to(outside[box], spacing)
    return away


def _box(inside: Tensor) -> tuple[slice, ...]:
    """Box around a region, one voxel wider, in which all its distances to the outside are found.

    What is outside beyond the box has a voxel of the box's rim before it, which is nearer.
    """
    ends = [
        inside.any(dim=tuple(k for k in range(inside.ndim) if k != axis)).nonzero()
        for axis in range(inside.ndim)
    ]
    return tuple(slice(max(int(at[0]) - 1, 0), int(at[-1]) + 2) for at in ends)
