"""Losses: what they must all do, with weights and on several levels too."""

import pytest
import torch
from logits import CLASSES, certain, some_logits, some_target, some_weights
from torch import Tensor

from medseg.distance import distance_in_torch
from medseg.learning import LOSSES
from medseg.learning.losses import borders, supervised

pytestmark = pytest.mark.usefixtures("one_thread")

# Those to which the places of the voxels are all the same.
PLACELESS = [name for name in LOSSES if "boundary" not in name and "hausdorff" not in name]

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


@pytest.mark.parametrize("name", PLACELESS)
def test_the_order_of_the_voxels_does_not_matter(name: str) -> None:
    order = torch.randperm(6, generator=torch.manual_seed(0))
    found = LOSSES[name](some_logits()[..., order], some_target()[..., order])
    torch.testing.assert_close(found, LOSSES[name](some_logits(), some_target()))


def test_a_mirrored_or_turned_patch_costs_the_same(name: str) -> None:
    for turned in (lambda x: x.flip(-1), lambda x: x.transpose(-1, -2)):
        found = LOSSES[name](turned(some_logits(3)), turned(some_target(3)))
        torch.testing.assert_close(found, LOSSES[name](some_logits(3), some_target(3)))


def test_a_slice_is_scored_like_a_picture(name: str) -> None:
    found = LOSSES[name](some_logits()[..., None], some_target()[..., None])
    torch.testing.assert_close(found, LOSSES[name](some_logits(), some_target()))


@pytest.mark.parametrize("samples", [1, 2])
def test_single_voxels_are_enough(name: str, samples: int) -> None:
    logits = torch.tensor([[0.3, 0.2]] * samples)[..., None, None].requires_grad_()
    loss = LOSSES[name](logits, torch.ones(samples, 1, 1))
    loss.backward()
    assert loss.isfinite()
    assert logits.grad.isfinite().all()


# In the others, a number that balances two losses counts as a constant.
@pytest.mark.parametrize("name", sorted(LOSSES.keys() - {"dice+boundary", "dice+hausdorff"}))
@pytest.mark.parametrize("weighted", [False, True])
def test_the_gradient_is_that_of_finite_differences(name: str, *, weighted: bool) -> None:
    logits = some_logits()[..., :3].clone().requires_grad_()
    target = some_target()[..., :3]
    weights = some_weights()[..., :3] if weighted else None
    assert torch.autograd.gradcheck(lambda x: LOSSES[name](x, target, weights), logits)


def test_half_precision_logits_are_welcome(name: str) -> None:
    logits = some_logits().bfloat16().requires_grad_()
    loss = LOSSES[name](logits, some_target())
    loss.backward()
    assert logits.grad.isfinite().all()
    wanted = float(LOSSES[name](some_logits(), some_target()))
    assert float(loss.detach()) == pytest.approx(wanted, rel=0.05)


@pytest.mark.parametrize("name", ["boundary", "hausdorff"])
def test_distances_in_torch_do_as_well(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = LOSSES[name](some_logits(3), some_target(3))
    monkeypatch.setattr(borders, "distance_to", distance_in_torch)
    torch.testing.assert_close(LOSSES[name](some_logits(3), some_target(3)), wanted)


@pytest.mark.cuda
@pytest.mark.parametrize("weighted", [False, True])
def test_cuda_gives_what_the_cpu_gives(
    name: str, monkeypatch: pytest.MonkeyPatch, *, weighted: bool
) -> None:
    # Where there is a GPU, there may be no numba.
    monkeypatch.setattr(borders, "distance_to", distance_in_torch)

    def found(device: str) -> tuple[Tensor, Tensor]:
        logits = some_logits().to(device).requires_grad_()
        weights = some_weights().to(device) if weighted else None
        loss = LOSSES[name](logits, some_target().to(device), weights)
        return loss.detach().cpu(), torch.autograd.grad(loss, logits)[0].cpu()

    torch.testing.assert_close(found("cuda"), found("cpu"))


# Weights of voxels


def in_a_row(values: Tensor) -> Tensor:
    """Voxels of all samples one after the other in a single sample: (1, [classes,] n, 1)."""
    if values.ndim == 3:
        return values.reshape(1, -1, 1)
    return values.movedim(1, 0).reshape(1, CLASSES, -1, 1)


@pytest.mark.parametrize("name", PLACELESS)
def test_a_weight_is_so_many_voxels(name: str) -> None:
    logits, target, weights = map(in_a_row, (some_logits(), some_target(), some_weights()))
    times = weights.flatten().long()
    repeated = (values.repeat_interleave(times, -2) for values in (logits, target))
    torch.testing.assert_close(LOSSES[name](logits, target, weights), LOSSES[name](*repeated))


@pytest.mark.parametrize("name", sorted(LOSSES.keys() - {"tversky"}))  # a mean over samples
def test_a_sample_that_weighs_two_is_two_samples(name: str) -> None:
    logits, target = some_logits(), some_target()
    weights = torch.tensor([2.0, 1.0]).reshape(2, 1, 1).expand(2, 6, 6)
    twice = [0, 0, 1]
    found = LOSSES[name](logits, target, weights)
    torch.testing.assert_close(found, LOSSES[name](logits[twice], target[twice]))


def test_ignored_voxels_at_the_edge_are_as_good_as_cut_off(name: str) -> None:
    logits, target, weights = some_logits(), some_target(), torch.ones(2, 6, 6)
    weights[..., 4:] = 0
    found = LOSSES[name](logits, target, weights)
    torch.testing.assert_close(found, LOSSES[name](logits[..., :4], target[..., :4]))


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
