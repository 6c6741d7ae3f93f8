"""Losses by hand, against their papers and against MONAI's."""

from math import log

import pytest
import torch
from logits import certain, logits_of, some_logits, some_target

from medseg.learning import LOSSES

pytestmark = pytest.mark.usefixtures("one_thread")

# By hand: two voxels, the first is of class 1 with probability 0.6, the second background with 0.9.

LOGITS = logits_of([0.4, 0.6], [0.9, 0.1])
TARGET = torch.tensor([[[1], [0]]])
LINEAR = 1 - (2 * 0.6 + 1) / (0.6 + 0.1 + 1 + 1)
SQUARED = 1 - (2 * 0.6 + 1) / (0.36 + 0.01 + 1 + 1)
ENTROPY = -(log(0.6) + log(0.9)) / 2


@pytest.mark.parametrize(
    ("loss", "wanted"),
    [
        ("cross-entropy", ENTROPY),
        ("dice", LINEAR),
        ("squared-dice", SQUARED),
        ("dice+cross-entropy", LINEAR + ENTROPY),
        ("squared-dice+cross-entropy", SQUARED + ENTROPY),
        # Divided by the number of classes, as MONAI does.
        # Each voxel is all there is of its class.
        ("weighted-cross-entropy", ENTROPY),
        ("focal", -(0.4**2 * log(0.6) + 0.1**2 * log(0.9)) / 4),
        # 0.1 is a false alarm, 0.4 is missed.
        ("iou", 1 - (0.6 + 0.5) / (0.6 + 0.1 + 1 - 0.6 + 0.5)),
        ("generalised-dice", 1 - 2 * (0.6 + 0.9) / (2 + 2)),
        # Each voxel is one away from the other side; 0.4 is missed, 0.1 is a false alarm.
        ("boundary", (0.4 + 0.1) / 2),
        # And from that of the prediction, which has the same border.
        ("hausdorff", (0.16 + 0.01) * 2 / 2),
        ("dice+boundary", 2 * LINEAR),
        ("dice+hausdorff", 2 * LINEAR),
        ("tversky", 1 - 0.6 / (0.6 + 0.3 * 0.1 + 0.7 * 0.4)),
    ],
)
def test_two_voxels_by_hand(loss: str, wanted: float) -> None:
    assert float(LOSSES[loss](LOGITS, TARGET)) == pytest.approx(wanted, abs=1e-4)


def test_dice_is_taken_over_the_batch_not_over_its_samples() -> None:
    # In one sample the class is missed, in the other it is found: 2 * 1 of 1 + 2, not 0.5.
    target = torch.tensor([[[1, 0]], [[1, 0]]])
    logits = torch.full((2, 2, 1, 2), -50.0)
    logits[0, 1, 0, 0] = logits[0, 0, 0, 1] = logits[1, 0] = 50.0
    assert float(LOSSES["dice"](logits, target)) == pytest.approx(1 - 3 / 4)


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize(("loss", "squared"), [("dice", False), ("squared-dice", True)])
def test_dice_equals_monais_with_one_on_both_sides(loss: str, ndim: int, *, squared: bool) -> None:
    from monai.losses import DiceLoss

    oracle = DiceLoss(
        include_background=False,
        to_onehot_y=True,
        softmax=True,
        squared_pred=squared,
        smooth_nr=1,
        smooth_dr=1,
        batch=True,
    )
    logits, target = some_logits(ndim), some_target(ndim)
    torch.testing.assert_close(LOSSES[loss](logits, target), oracle(logits, target[:, None]))


@pytest.mark.parametrize("ndim", [2, 3])
def test_focal_and_tversky_equal_monais(ndim: int) -> None:
    from monai.losses import FocalLoss, TverskyLoss

    logits, target = some_logits(ndim).float(), some_target(ndim)
    focal = FocalLoss(use_softmax=True, to_onehot_y=True)(logits, target[:, None])
    torch.testing.assert_close(LOSSES["focal"](logits, target), focal)
    oracle = TverskyLoss(
        include_background=False, softmax=True, to_onehot_y=True, alpha=0.3, beta=0.7
    )
    torch.testing.assert_close(LOSSES["tversky"](logits, target), oracle(logits, target[:, None]))


@pytest.mark.parametrize("ndim", [2, 3])
def test_iou_and_generalised_dice_equal_monais(ndim: int) -> None:
    from monai.losses import DiceLoss, GeneralizedDiceLoss

    options = {"softmax": True, "to_onehot_y": True, "batch": True}
    logits, target = some_logits(ndim), some_target(ndim)
    jaccard = DiceLoss(include_background=False, jaccard=True, smooth_nr=1, smooth_dr=1, **options)(
        logits, target[:, None]
    )
    torch.testing.assert_close(LOSSES["iou"](logits, target), jaccard)
    sudre = GeneralizedDiceLoss(smooth_nr=0, smooth_dr=0, **options)(logits, target[:, None])
    torch.testing.assert_close(LOSSES["generalised-dice"](logits, target), sudre)


def test_iou_is_that_of_the_dice() -> None:
    for target in (some_target(), torch.zeros(2, 6, 6)):
        logits = some_logits()[:, :2]
        dice = 1 - LOSSES["dice"](logits, target.clamp_max(1))
        iou = 1 - LOSSES["iou"](logits, target.clamp_max(1))
        torch.testing.assert_close(iou, dice / (2 - dice))


def test_the_slope_of_squared_dice_is_that_of_the_v_net() -> None:
    logits, target = some_logits()[:, :2].requires_grad_(), some_target().clamp_max(1)
    # So much weight that what is added on both sides does not show.
    loss = LOSSES["squared-dice"](logits, target, torch.full(target.shape, 1e12))
    (slope,) = torch.autograd.grad(loss, logits)
    p, g = logits.detach().softmax(1)[:, 1], target.double()
    squares, shared = (p**2).sum() + (g**2).sum(), (p * g).sum()
    of_dice = 2 * (g * squares - 2 * p * shared) / squares**2
    # Behind a softmax, dp/dlogit is p (1 - p).
    torch.testing.assert_close(slope[:, 1], -of_dice * p * (1 - p))


def test_weighted_cross_entropy_is_a_mean_over_classes_of_means() -> None:
    target = torch.tensor([[[1], [0], [0], [0]]])
    logits = logits_of([0.4, 0.6], [0.9, 0.1], [0.8, 0.2], [0.7, 0.3])
    wanted = -(log(0.6) + (log(0.9) + log(0.8) + log(0.7)) / 3) / 2
    assert float(LOSSES["weighted-cross-entropy"](logits, target)) == pytest.approx(wanted)


def test_in_generalised_dice_small_classes_weigh_as_much_as_large_ones() -> None:
    target = torch.zeros(1, 10, 10, dtype=torch.long)
    target[0, 0, 0] = 1
    right, missed = certain(target), certain(torch.zeros_like(target))
    assert float(LOSSES["generalised-dice"](right, target)) == pytest.approx(0, abs=1e-6)
    # Sizes 99 and 1: 1 - 2 (99/99² + 0) / ((100 + 99)/99² + (0 + 1)/1²).
    wanted = 1 - 2 * (1 / 99) / (199 / 99**2 + 1)
    assert float(LOSSES["generalised-dice"](missed, target)) == pytest.approx(wanted)


@pytest.mark.parametrize("loss", ["dice", "squared-dice"])
def test_sums_with_cross_entropy_are_sums(loss: str) -> None:
    logits, target = some_logits(), some_target()
    parts = LOSSES[loss](logits, target) + LOSSES["cross-entropy"](logits, target)
    torch.testing.assert_close(LOSSES[f"{loss}+cross-entropy"](logits, target), parts)
