"""Losses: by hand, against MONAI's, and what they must all do."""

from math import log

import pytest
import torch
from torch import Tensor

from medseg.learning import LOSSES
from medseg.learning.losses import supervised

pytestmark = pytest.mark.usefixtures("one_thread")
CLASSES = 3


def some_target(ndim: int = 2, samples: int = 2) -> Tensor:
    return torch.randint(0, CLASSES, (samples, *(6,) * ndim), generator=torch.manual_seed(0))


def some_logits(ndim: int = 2, samples: int = 2) -> Tensor:
    shape = (samples, CLASSES, *(6,) * ndim)
    return torch.randn(shape, generator=torch.manual_seed(1), dtype=torch.float64)


def certain(target: Tensor) -> Tensor:
    """Logits that leave no doubt."""
    one_hot = torch.nn.functional.one_hot(target.long(), CLASSES)
    return 50.0 * one_hot.movedim(-1, 1)


def logits_of(*probabilities: list[float]) -> Tensor:
    """(1, classes, voxels, 1) logits of probabilities, voxel by voxel."""
    return torch.tensor(probabilities, dtype=torch.float64).log().T[None, ..., None]


# All losses


@pytest.fixture(params=LOSSES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("ndim", [2, 3])
def test_is_one_finite_number_at_least_zero(name: str, ndim: int) -> None:
    loss = LOSSES[name](some_logits(ndim), some_target(ndim))
    assert loss.shape == ()
    assert 0 <= float(loss) < 100


def test_a_perfect_prediction_costs_nothing(name: str) -> None:
    target = some_target()
    assert float(LOSSES[name](certain(target), target)) == pytest.approx(0, abs=1e-3)


def test_a_wrong_prediction_costs_more_than_a_vague_one(name: str) -> None:
    target = some_target()
    wrong, vague = certain((target + 1) % CLASSES), torch.zeros(2, CLASSES, 6, 6)
    assert float(LOSSES[name](wrong, target)) > float(LOSSES[name](vague, target)) + 0.1


def test_the_gradient_leads_downhill(name: str) -> None:
    logits, target = some_logits().requires_grad_(), some_target()
    loss = LOSSES[name](logits, target)
    (slope,) = torch.autograd.grad(loss, logits)
    assert slope.isfinite().all()
    lower = LOSSES[name]((logits - 0.1 * slope).detach(), target)
    assert float(lower) < float(loss.detach())


def test_the_gradient_stays_finite_for_large_logits(name: str) -> None:
    logits = (1e4 * some_logits().float()).requires_grad_()
    LOSSES[name](logits, some_target()).backward()
    assert logits.grad.isfinite().all()


def test_a_class_that_is_nowhere_is_no_trouble(name: str) -> None:
    target = torch.zeros(1, 6, 6, dtype=torch.long)
    loss = LOSSES[name](certain(target), target)
    assert float(loss) == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64])
def test_the_dtype_of_the_target_does_not_matter(name: str, dtype: torch.dtype) -> None:
    found = LOSSES[name](some_logits(), some_target().to(dtype))
    torch.testing.assert_close(found, LOSSES[name](some_logits(), some_target()))


def test_the_order_of_the_voxels_does_not_matter(name: str) -> None:
    order = torch.randperm(6, generator=torch.manual_seed(0))
    found = LOSSES[name](some_logits()[..., order], some_target()[..., order])
    torch.testing.assert_close(found, LOSSES[name](some_logits(), some_target()))


# Weights of voxels


def in_a_row(values: Tensor) -> Tensor:
    """Voxels of all samples one after the other in a single sample: (1, [classes,] n, 1)."""
    if values.ndim == 3:
        return values.reshape(1, -1, 1)
    return values.movedim(1, 0).reshape(1, CLASSES, -1, 1)


def some_weights() -> Tensor:
    return torch.randint(0, 3, (2, 6, 6), generator=torch.manual_seed(2)).double()


def test_a_weight_is_so_many_voxels(name: str) -> None:
    logits, target, weights = map(in_a_row, (some_logits(), some_target(), some_weights()))
    times = weights.flatten().long()
    repeated = (values.repeat_interleave(times, -2) for values in (logits, target))
    torch.testing.assert_close(LOSSES[name](logits, target, weights), LOSSES[name](*repeated))


def test_ones_change_nothing(name: str) -> None:
    logits, target = some_logits(), some_target()
    found = LOSSES[name](logits, target, torch.ones(target.shape))
    torch.testing.assert_close(found, LOSSES[name](logits, target))


def test_an_ignored_voxel_has_no_gradient_and_any_label(name: str) -> None:
    logits, target, weights = some_logits().requires_grad_(), some_target(), some_weights()
    loss = LOSSES[name](logits, target, weights)
    (slope,) = torch.autograd.grad(loss, logits)
    ignored = weights == 0
    assert (slope.movedim(1, -1)[ignored] == 0).all()
    assert (slope.movedim(1, -1)[~ignored] != 0).any()
    other = target.where(~ignored, 255)
    assert torch.equal(LOSSES[name](logits, other, weights), loss)


def test_nothing_but_ignored_voxels_cost_nothing(name: str) -> None:
    logits = some_logits().requires_grad_()
    loss = LOSSES[name](logits, some_target() + 100, torch.zeros(2, 6, 6))
    loss.backward()
    assert float(loss.detach()) == pytest.approx(0, abs=1e-6)
    assert not logits.grad.any()


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
        ("focal", -(0.4**2 * log(0.6) + 0.1**2 * log(0.9)) / 4),
        # 0.1 is a false alarm, 0.4 is missed.
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


@pytest.mark.parametrize("loss", ["dice", "squared-dice"])
def test_sums_with_cross_entropy_are_sums(loss: str) -> None:
    logits, target = some_logits(), some_target()
    parts = LOSSES[loss](logits, target) + LOSSES["cross-entropy"](logits, target)
    torch.testing.assert_close(LOSSES[f"{loss}+cross-entropy"](logits, target), parts)


# Deep supervision


def test_levels_weigh_half_of_the_finer_one_and_one_together() -> None:
    values = iter([torch.tensor(1.0), torch.tensor(10.0), torch.tensor(100.0)])
    levels = [torch.zeros(1, 2, size, size) for size in (8, 4, 2)]
    found = supervised(lambda *given: next(values), levels, torch.zeros(1, 8, 8))
    assert float(found) == pytest.approx((4 * 1 + 2 * 10 + 1 * 100) / 7)


def test_one_level_is_the_loss_itself() -> None:
    logits, target = some_logits().float(), some_target()
    found = supervised(LOSSES["dice"], logits, target)
    assert torch.equal(found, LOSSES["dice"](logits, target))
    assert torch.equal(supervised(LOSSES["dice"], [logits], target), found)


def test_the_target_of_a_coarse_level_is_made_of_voxels_of_the_full_one() -> None:
    target = torch.zeros(1, 8, 8, dtype=torch.uint8)
    target[:, 4:] = 2
    seen = []

    def watched(logits: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
        seen.append(target)
        return logits.sum()

    supervised(watched, [torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 4, 2)], target)
    assert seen[1].dtype == target.dtype
    assert seen[1][0].tolist() == [[0, 0], [0, 0], [2, 2], [2, 2]]


def test_the_weights_of_a_coarse_level_are_those_of_the_same_voxels() -> None:
    target = torch.arange(64).reshape(1, 8, 8)
    seen = []

    def watched(logits: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
        seen.append((target, weights))
        return logits.sum()

    levels = [torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 4, 3)]
    supervised(watched, levels, target, 0.5 * target)
    assert [weights.shape for _, weights in seen] == [(1, 8, 8), (1, 4, 3)]
    assert all(torch.equal(weights, 0.5 * target) for target, weights in seen)


def test_half_precision_logits_are_scored_in_full() -> None:
    seen = []

    def watched(logits: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
        seen.append(logits.dtype)
        return logits.sum()

    supervised(watched, torch.zeros(1, 2, 4, 4, dtype=torch.bfloat16), torch.zeros(1, 4, 4))
    supervised(watched, [torch.zeros(1, 2, 4, 4, dtype=torch.bfloat16)], torch.zeros(1, 4, 4))
    assert seen == [torch.float32, torch.float32]
