"""Losses that are means over the voxels."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from medseg.learning.losses.weighing import class_indices, mean, total

_GAMMA = 2.0


def cross_entropy(logits: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean over the voxels of minus the logarithm of the label's probability."""
    return entropy_of(logits.log_softmax(1), class_indices(target, weights), weights)


def weighted_cross_entropy(logits: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
    """Cross-entropy in which each class of the batch counts the same, however rare it is.

    That is the mean over the classes of the mean over their voxels: a voxel weighs the inverse
    of how many there are of its class.
    """
    index = class_indices(target, weights)
    sizes = torch.stack([total(index == c, weights) for c in range(logits.shape[1])])
    shares = 1 / sizes.to(logits.dtype).where(sizes > 0, torch.inf)
    of_voxels = shares[index] if weights is None else shares[index] * weights
    return entropy_of(logits.log_softmax(1), index, of_voxels)


def focal(logits: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
    """Cross-entropy in which a voxel counts the less, the surer its label is: (1 - p)^2.

    It is divided by the number of classes, as MONAI does.

    References
    ----------
    T.-Y. Lin et al., "Focal loss for dense object detection", ICCV 2017,
    doi:10.1109/ICCV.2017.324
    """
    index = class_indices(target, weights)
    logarithms = logits.log_softmax(1)
    of_label = logarithms.gather(1, index[:, None])[:, 0]
    doubt = -of_label.expm1()  # 1 - p, exact where p is nearly 1
    return mean(-of_label * doubt**_GAMMA, weights) / logits.shape[1]


def entropy_of(logarithms: Tensor, index: Tensor, weights: Tensor | None) -> Tensor:
    """Cross-entropy of the logarithms of probabilities (B, classes, ...)."""
    if weights is None:
        return functional.nll_loss(logarithms, index)
    return mean(functional.nll_loss(logarithms, index, reduction="none"), weights)
