"""Boundary and Hausdorff-distance losses: by hand, by SciPy, against MONAI's."""

import numpy as np
import pytest
import torch
from logits import certain, some_logits, some_target, some_weights
from scipy import ndimage
from torch import Tensor

from medseg.learning import LOSSES
from medseg.learning.losses import Loss, in_mm
from medseg.learning.losses.borders import boundary, dice_boundary, hausdorff

pytestmark = pytest.mark.usefixtures("one_thread")


def to_border(region: np.ndarray, spacing: tuple[float, ...]) -> np.ndarray:
    """Oracle: distance to the other side of the border."""
    if region.all() or not region.any():
        return np.zeros(region.shape)
    inside, outside = (ndimage.distance_transform_edt(r, spacing) for r in (region, ~region))
    return inside + outside


def row(*values: int) -> Tensor:
    return torch.tensor(values)[None, None]


def logits_of_row(*lesion: float) -> Tensor:
    p = torch.tensor(lesion, dtype=torch.float64)
    return torch.stack([(1 - p).log(), p.log()])[None, :, None]


# By hand: the border lies between the second and the third of five voxels.

TARGET = row(1, 1, 0, 0, 0)
LOGITS = logits_of_row(0.9, 0.7, 0.6, 0.2, 0.1)


def test_boundary_by_hand() -> None:
    wanted = (2 * 0.1 + 1 * 0.3 + 1 * 0.6 + 2 * 0.2 + 3 * 0.1) / 5
    assert float(boundary(LOGITS, TARGET)) == pytest.approx(wanted)


def test_hausdorff_by_hand() -> None:
    # What is predicted ends one voxel later.
    squares = ((4 + 9) * 0.01, (1 + 4) * 0.09, (1 + 1) * 0.36, (4 + 1) * 0.04, (9 + 4) * 0.01)
    assert float(hausdorff(LOGITS, TARGET)) == pytest.approx(sum(squares) / 5)


@pytest.mark.parametrize(("loss", "power"), [(boundary, 1), (hausdorff, 2)])
def test_distances_are_in_mm_where_a_spacing_is_given(loss: Loss, power: int) -> None:
    found = loss(LOGITS, TARGET, spacing=(1.0, 3.0))
    assert float(found) == pytest.approx(3**power * float(loss(LOGITS, TARGET)))


def test_only_losses_with_distances_are_told_the_spacing() -> None:
    wanted = boundary(LOGITS, TARGET, spacing=(1.0, 3.0))
    assert torch.equal(in_mm(boundary, (1.0, 3.0))(LOGITS, TARGET), wanted)
    assert in_mm(LOSSES["dice"], (1.0, 3.0)) is LOSSES["dice"]


def test_a_missed_voxel_costs_as_much_as_a_false_alarm() -> None:
    target = row(0, 0, 1, 0, 0)
    missed = logits_of_row(1e-9, 1e-9, 0.5, 1e-9, 1e-9)
    alarm = logits_of_row(1e-9, 0.5, 1 - 1e-9, 1e-9, 1e-9)
    assert float(boundary(missed, target)) == pytest.approx(0.5 / 5)
    assert float(boundary(alarm, target)) == pytest.approx(0.5 / 5)


@pytest.mark.parametrize("label", [0, 1])
def test_without_a_border_there_is_nothing_to_pay(label: int) -> None:
    target = torch.full((1, 1, 5), label)
    assert float(boundary(LOGITS, target)) == 0


def test_hausdorff_sees_a_false_alarm_where_the_class_is_not() -> None:
    squares = (9 * 0.81, 4 * 0.49, 1 * 0.36, 1 * 0.04, 4 * 0.01)
    found = hausdorff(LOGITS, torch.zeros(1, 1, 5))
    assert float(found) == pytest.approx(sum(squares) / 5)


def test_ignored_voxels_are_on_no_side_of_a_border() -> None:
    # Between the two sides lies a voxel of which nothing is known.
    weights = row(1, 1, 0, 1, 1)
    target = row(1, 1, 255, 0, 0)
    found = boundary(logits_of_row(0.9, 0.7, 0.5, 0.2, 0.1), target, weights)
    assert float(found) == pytest.approx((3 * 0.1 + 2 * 0.3 + 2 * 0.2 + 3 * 0.1) / 4)


# Oracles


@pytest.mark.parametrize(("ndim", "spacing"), [(2, (1.0, 2.0)), (3, (1.0, 2.0, 3.0))])
def test_boundary_is_the_mean_of_signed_distances_up_to_a_constant(
    ndim: int, spacing: tuple[float, ...]
) -> None:
    target, logits = some_target(ndim), some_logits(ndim)
    truth = np.stack([target == 1, target == 2], axis=1)
    away = np.stack([[to_border(c, spacing) for c in sample] for sample in truth])
    signed = torch.from_numpy(np.where(truth, -away, away))

    def published(logits: Tensor) -> float:
        return float((logits.softmax(1)[:, 1:] * signed).mean())

    found = float(boundary(logits, target, spacing=spacing))
    assert found == pytest.approx(published(logits) - published(certain(target).double()))


@pytest.mark.parametrize("ndim", [2, 3])
def test_hausdorff_equals_monais(ndim: int) -> None:
    from monai.losses import HausdorffDTLoss

    logits, target = 3 * some_logits(ndim), some_target(ndim)
    oracle = HausdorffDTLoss(softmax=True, to_onehot_y=True)(logits, target[:, None])
    assert float(hausdorff(logits, target)) == pytest.approx(float(oracle))


# Together with Dice


@pytest.mark.parametrize("other", ["boundary", "hausdorff"])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_slopes_add_up_in_equal_parts(other: str, *, weighted: bool) -> None:
    target, weights = some_target(), some_weights() if weighted else None

    def scored(name: str) -> tuple[float, Tensor]:
        logits = some_logits().requires_grad_()
        loss = LOSSES[name](logits, target, weights)
        return float(loss.detach()), torch.autograd.grad(loss, logits)[0]

    (dice, of_dice), (second, of_second) = scored("dice"), scored(other)
    both, of_both = scored(f"dice+{other}")
    assert both == pytest.approx(2 * dice)
    torch.testing.assert_close(of_both, of_dice + dice / second * of_second)


def test_together_they_do_not_depend_on_the_unit() -> None:
    def slope(**options: tuple[float, ...]) -> Tensor:
        logits = some_logits().requires_grad_()
        return torch.autograd.grad(dice_boundary(logits, some_target(), **options), logits)[0]

    torch.testing.assert_close(slope(spacing=(0.5, 0.5)), slope())
    assert not torch.allclose(slope(spacing=(0.5, 2.0)), slope())


def test_without_any_border_dice_is_left() -> None:
    logits, target = some_logits().requires_grad_(), torch.zeros(2, 6, 6)
    slopes = [
        torch.autograd.grad(LOSSES[name](logits, target), logits)[0]
        for name in ("dice+boundary", "dice")
    ]
    torch.testing.assert_close(*slopes)
