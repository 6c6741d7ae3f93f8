"""What training makes small; `medseg.learning.LOSSES` lists the choices.

A loss takes logits (B, classes, ...) and a target (B, ...) of class indices.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

Loss = Callable[[Tensor, Tensor], Tensor]


def cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Mean over the voxels of minus the logarithm of the label's probability."""
    return functional.cross_entropy(logits, target.long())


def soft_dice(logits: Tensor, target: Tensor) -> Tensor:
    """One minus the mean soft Dice of the foreground classes, over the whole batch.

    References
    ----------
    M. Drozdzal et al., "The importance of skip connections in biomedical image segmentation",
    DLMIA 2016, doi:10.1007/978-3-319-46976-8_19
    """
    probabilities = logits.softmax(1)
    return _one_minus_dice(probabilities, target, probabilities.sum(_voxels(logits)))


def squared_dice(logits: Tensor, target: Tensor) -> Tensor:
    """As `soft_dice`, with squared probabilities in the denominator.

    Its probabilities are better calibrated than those of the linear form.

    References
    ----------
    F. Milletari et al., "V-Net: fully convolutional neural networks for volumetric medical
    image segmentation", 3DV 2016, doi:10.1109/3DV.2016.79
    """
    probabilities = logits.softmax(1)
    return _one_minus_dice(probabilities, target, probabilities.square().sum(_voxels(logits)))


def dice_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Sum of `soft_dice` and `cross_entropy`, from one softmax."""
    logarithms = logits.log_softmax(1)
    probabilities = logarithms.exp()
    dice = _one_minus_dice(probabilities, target, probabilities.sum(_voxels(logits)))
    return dice + functional.nll_loss(logarithms, target.long())


def squared_dice_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Sum of `squared_dice` and `cross_entropy`."""
    return squared_dice(logits, target) + cross_entropy(logits, target)


def focal(logits: Tensor, target: Tensor) -> Tensor:
    """MONAI's focal loss with gamma 2, over all classes.

    References
    ----------
    T.-Y. Lin et al., "Focal loss for dense object detection", ICCV 2017,
    doi:10.1109/ICCV.2017.324
    """
    from monai.losses import FocalLoss  # takes seconds

    loss: Tensor = FocalLoss(use_softmax=True, to_onehot_y=True)(logits, target[:, None])
    return loss


def tversky(logits: Tensor, target: Tensor) -> Tensor:
    """MONAI's Tversky loss of the foreground; misses weigh more than false alarms.

    References
    ----------
    S. S. M. Salehi et al., "Tversky loss function for image segmentation using 3D fully
    convolutional deep networks", MLMI 2017, doi:10.1007/978-3-319-67389-9_44
    """
    from monai.losses import TverskyLoss

    function = TverskyLoss(
        include_background=False, softmax=True, to_onehot_y=True, alpha=0.3, beta=0.7
    )
    loss: Tensor = function(logits, target[:, None])
    return loss


def supervised(loss: Loss, outputs: Tensor | Sequence[Tensor], target: Tensor) -> Tensor:
    """Loss of logits, or of those of several levels, finest first, each weighing half.

    The target of a coarse level is the nearest voxel of the full one.
    """
    if isinstance(outputs, Tensor):
        return loss(outputs.float(), target)
    weights = [0.5**level for level in range(len(outputs))]
    total = torch.zeros((), device=target.device)
    for weight, logits in zip(weights, outputs, strict=True):
        total = total + weight / sum(weights) * loss(logits.float(), _shrunk(target, logits))
    return total


def _shrunk(target: Tensor, logits: Tensor) -> Tensor:
    size = logits.shape[2:]
    if target.shape[1:] == size:
        return target
    small = functional.interpolate(target[:, None].float(), size, mode="nearest-exact")
    return small[:, 0].to(target.dtype)


def _voxels(logits: Tensor) -> tuple[int, ...]:
    return (0, *range(2, logits.ndim))


def _one_minus_dice(probabilities: Tensor, target: Tensor, size: Tensor) -> Tensor:
    """From the size that is predicted of each class; the target is never made one-hot."""
    index = target.long()
    of_label = probabilities.gather(1, index[:, None])[:, 0]
    dice = []
    for c in range(1, probabilities.shape[1]):
        truth = index == c
        # 1 on both sides: an absent class that is not predicted costs nothing.
        dice.append((2 * (of_label * truth).sum() + 1) / (size[c] + truth.sum() + 1))
    return 1 - torch.stack(dice).mean()
