"""Losses that compare the sizes of what is predicted, of what is true, and of what they share."""

from __future__ import annotations

import torch
from torch import Tensor

from medseg.learning.losses.entropy import cross_entropy, entropy_of
from medseg.learning.losses.weighing import class_indices, total

_FALSE_ALARMS, _MISSES = 0.3, 0.7
_SMALL, _TINY = 1e-5, 1e-30


def soft_dice(logits: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
    """One minus the mean soft Dice of the foreground classes, over the whole batch.

    References
    ----------
    M. Drozdzal et al., "The importance of skip connections in biomedical image segmentation",
    DLMIA 2016, doi:10.1007/978-3-319-46976-8_19
    """
    probabilities = logits.softmax(1)
    size = total(probabilities, weights, _voxels(logits))
    return _one_minus_dice(probabilities, class_indices(target, weights), size, weights)


def squared_dice(logits: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
    """As `soft_dice`, with squared probabilities in the denominator.

    Its probabilities are better calibrated than those of the linear form.

    References
    ----------
    F. Milletari et al., "V-Net: fully convolutional neural networks for volumetric medical
    image segmentation", 3DV 2016, doi:10.1109/3DV.2016.79
    """
    probabilities = logits.softmax(1)
    size = total(probabilities.square(), weights, _voxels(logits))
    return _one_minus_dice(probabilities, class_indices(target, weights), size, weights)


def dice_cross_entropy(logits: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
    """Sum of `soft_dice` and `cross_entropy`, from one softmax."""
    logarithms, index = logits.log_softmax(1), class_indices(target, weights)
    probabilities = logarithms.exp()
    size = total(probabilities, weights, _voxels(logits))
    dice = _one_minus_dice(probabilities, index, size, weights)
    return dice + entropy_of(logarithms, index, weights)


def squared_dice_cross_entropy(
    logits: Tensor, target: Tensor, weights: Tensor | None = None
) -> Tensor:
    """Sum of `squared_dice` and `cross_entropy`."""
    return squared_dice(logits, target, weights) + cross_entropy(logits, target, weights)


def iou(logits: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
    """One minus the mean soft intersection over union of the foreground, over the whole batch.

    For a class whose Dice is D in `soft_dice`, intersection over union is D / (2 - D).

    References
    ----------
    M. A. Rahman, Y. Wang, "Optimizing intersection-over-union in deep neural networks for image
    segmentation", ISVC 2016, doi:10.1007/978-3-319-50835-1_22
    """
    probabilities, index = logits.softmax(1), class_indices(target, weights)
    size = total(probabilities, weights, _voxels(logits))
    shared, true = _shared_and_true(probabilities, index, weights)
    union = size[1:] + true - shared
    return 1 - ((shared + 0.5) / (union + 0.5)).mean()


def generalised_dice(logits: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
    """One minus a single soft Dice of all classes, in which each weighs 1 / (its true size)^2.

    Background is one of the classes. Those that are nowhere in the batch weigh as much as the
    rarest that is there.

    References
    ----------
    C. H. Sudre et al., "Generalised Dice overlap as a deep learning loss function for highly
    unbalanced segmentations", DLMIA 2017, doi:10.1007/978-3-319-67558-9_28
    """
    probabilities, index = logits.softmax(1), class_indices(target, weights)
    size = total(probabilities, weights, _voxels(logits))
    shared, true = _shared_and_true(probabilities, index, weights, first=0)
    true = true.to(size.dtype)
    rarest = true.where(true > 0, torch.inf).min().clamp_max(torch.finfo(size.dtype).max)
    # Relative to the rarest class, so that no square is too large or too small.
    shares = (rarest / true.where(true > 0, rarest)).square()
    return 1 - (2 * (shares * shared).sum() + _TINY) / ((shares * (size + true)).sum() + _TINY)


def tversky(logits: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
    """One minus the mean Tversky index of the foreground classes of each sample.

    Misses weigh more (0.7) than false alarms (0.3).

    References
    ----------
    S. S. M. Salehi et al., "Tversky loss function for image segmentation using 3D fully
    convolutional deep networks", MLMI 2017, doi:10.1007/978-3-319-67389-9_44
    """
    index, axes = class_indices(target, weights), tuple(range(1, target.ndim))
    probabilities = logits.softmax(1)
    indices = []
    for c in range(1, logits.shape[1]):
        predicted, truth = probabilities[:, c], index == c
        shared = total(predicted * truth, weights, axes)
        alarms = total(predicted, weights, axes) - shared
        misses = total(truth, weights, axes) - shared
        wrong = _FALSE_ALARMS * alarms + _MISSES * misses
        indices.append((shared + _SMALL) / (shared + wrong + _SMALL))
    return 1 - torch.stack(indices).mean()


def _voxels(logits: Tensor) -> tuple[int, ...]:
    return (0, *range(2, logits.ndim))


def _one_minus_dice(
    probabilities: Tensor, index: Tensor, size: Tensor, weights: Tensor | None
) -> Tensor:
    """From the size that is predicted of each class."""
    shared, true = _shared_and_true(probabilities, index, weights)
    # 1 on both sides: an absent class that is not predicted costs nothing.
    return 1 - ((2 * shared + 1) / (size[1:] + true + 1)).mean()


def _shared_and_true(
    probabilities: Tensor, index: Tensor, weights: Tensor | None, *, first: int = 1
) -> tuple[Tensor, Tensor]:
    """Size of what prediction and truth share, and of the truth, of each class from `first` on.

    The target is never made one-hot.
    """
    of_label = probabilities.gather(1, index[:, None])[:, 0]
    if weights is not None:
        of_label = of_label * weights
    shared, true = [], []
    for c in range(first, probabilities.shape[1]):
        truth = index == c
        shared.append((of_label * truth).sum())
        true.append(total(truth, weights))
    return torch.stack(shared), torch.stack(true)
