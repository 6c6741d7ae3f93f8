"""Optimisers and schedules by hand, and that a training goes on with any of them."""

from pathlib import Path

import pytest
import torch
from balls import assert_same_weights, ball_plan, ball_training, balls, interrupted_at, last_weights
from torch import nn

from medseg import Dataset, Training, train
from medseg.learning import OPTIMIZERS, SCHEDULES
from medseg.learning.optimizers import DeepMedicRMSProp, add_penalties, state_names
from medseg.learning.schedules import rate

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return balls(tmp_path_factory.mktemp("balls"), 2)


def test_three_updates_of_deepmedic_are_those_computed_by_hand() -> None:
    weight = nn.Parameter(torch.tensor([1.0, -2.0]))
    optimizer = DeepMedicRMSProp([weight], lr=0.1, momentum=0.6)
    # For the gradients 1, -2, 3 of the first weight:
    #   a = 0.1                        s = 0.1 / sqrt(0.1001)      =  0.3160698
    #   a = 0.09 + 0.4 = 0.49          s = -0.2 / sqrt(0.4901)     = -0.2856851
    #   a = 0.441 + 0.9 = 1.341        s = 0.3 / sqrt(1.3411)      =  0.2590548
    #   v = -0.3160698, 0.0960432, -0.2014288
    #   moves by 0.6 v - s: -0.5057116, 0.3433110, -0.3799121
    # and the second has the gradient 0 throughout.
    expected = [1 - 0.5057116, 1 - 0.1624006, 1 - 0.5423127]
    for gradient, wanted in zip((1.0, -2.0, 3.0), expected, strict=True):
        weight.grad = torch.tensor([gradient, 0.0])
        optimizer.step()
        assert weight.tolist() == pytest.approx([wanted, -2], abs=1e-6)


def test_weights_without_a_gradient_stay() -> None:
    moved, still = nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1))
    optimizer = DeepMedicRMSProp([moved, still], lr=0.1, momentum=0.6)
    moved.grad = torch.ones(1)
    optimizer.step()
    assert moved.item() != 1
    assert still.item() == 1
    assert len(optimizer.state) == 1


def test_penalties_are_the_gradient_of_their_sums_over_convolutions_alone() -> None:
    network = nn.Sequential(nn.Conv3d(1, 2, 3), nn.BatchNorm3d(2), nn.PReLU(2))
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    add_penalties(network, l1=0.5, l2=0.25)
    weight = network[0].weight.detach().clone().requires_grad_()
    (0.5 * weight.abs().sum() + 0.25 * weight.square().sum()).backward()
    torch.testing.assert_close(network[0].weight.grad, weight.grad)
    others = [p for name, p in network.named_parameters() if name != "0.weight"]
    assert not any(bool(p.grad.any()) for p in others)


def test_penalties_shrink_weights(data: Dataset, tmp_path: Path) -> None:
    sizes = []
    for l2 in (0.0, 0.1):
        training = ball_training(optimizer="sgd", l2=l2, steps=20)
        model = train(data, ball_plan(), training, tmp_path / str(l2))
        weights = [p for p in model.network.parameters() if p.ndim > 2]
        sizes.append(sum(float(w.detach().square().sum()) for w in weights))
    assert sizes[1] < sizes[0]


def test_gradients_are_shortened_only_to_a_length_over_0(data: Dataset, tmp_path: Path) -> None:
    for name, fields in {
        "still": {"learning_rate": 1e-30},
        "free": {"longest_gradient": 0.0},
        "short": {"longest_gradient": 1e-6},
    }.items():
        training = ball_training(optimizer="sgd", steps=1, **fields)
        train(data, ball_plan(), training, tmp_path / name)
    still, free, short = (last_weights(tmp_path / name) for name in ("still", "free", "short"))
    moved = [
        max(float((weights[key] - still[key]).abs().max()) for key in still)
        for weights in (free, short)
    ]
    assert moved[0] > 1e-3
    assert moved[1] < 1e-6


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_interrupted_and_resumed_gives_the_same_weights(
    name: str, data: Dataset, tmp_path: Path
) -> None:
    training = ball_training(optimizer=name, learning_rate=1e-3, steps=4)
    train(data, ball_plan(), training, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt), interrupted_at(2):
        train(data, ball_plan(), training, tmp_path / "stopped")
    train(data, ball_plan(), training, tmp_path / "stopped")
    assert_same_weights(tmp_path / "whole", tmp_path / "stopped")


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_what_is_kept_of_a_parameter_is_known(name: str) -> None:
    parameter = nn.Parameter(torch.ones(2, 3))
    optimizer = OPTIMIZERS[name]([parameter], Training(optimizer=name))
    parameter.grad = torch.ones(2, 3)
    optimizer.step()
    kept = optimizer.state[parameter]
    assert kept.keys() == state_names(optimizer)
    assert all(value.shape == (2, 3) for key, value in kept.items() if key != "step")


def test_gradient_descent_may_have_no_momentum(data: Dataset, tmp_path: Path) -> None:
    training = ball_training(optimizer="sgd", momentum=0, steps=2)
    train(data, ball_plan(), training, tmp_path / "run")
    longer = ball_training(optimizer="sgd", momentum=0, steps=3)
    train(data, ball_plan(), longer, tmp_path / "run")


# Schedules


def rates(*shares: float, **fields: object) -> list[float]:
    return [rate(Training(**fields), share) for share in shares]


def test_a_rate_rises_over_the_warm_up_of_any_schedule() -> None:
    for schedule in SCHEDULES:
        halvings = (0.9,) if schedule == "halving" else ()
        found = rates(0, 0.05, 0.1, schedule=schedule, halvings=halvings, warm_up=0.1)
        assert found[0] < found[1] < found[2] == 1


def test_the_default_falls_to_0_as_a_power() -> None:
    found = rates(0, 0.5, 1, warm_up=0)
    assert found == pytest.approx([1, 0.5**0.9, 0])


def test_a_rate_is_halved_at_each_share() -> None:
    found = rates(0, 0.2, 0.5, 0.7, 0.99, schedule="halving", halvings=(0.5, 0.7), warm_up=0)
    assert found == [1, 1, 0.5, 0.25, 0.25]


def test_a_constant_rate_stays() -> None:
    assert rates(0, 0.3, 0.999, schedule="constant", warm_up=0) == [1, 1, 1]


def test_the_rate_reaches_the_optimiser(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[float] = []
    step = DeepMedicRMSProp.step

    def watched(self: DeepMedicRMSProp) -> None:
        seen.append(self.param_groups[0]["lr"])
        step(self)

    monkeypatch.setattr(DeepMedicRMSProp, "step", watched)
    fields = {"optimizer": "rmsprop", "schedule": "halving", "halvings": (0.5,), "warm_up": 0}
    train(data, ball_plan(), ball_training(steps=4, **fields), tmp_path / "run")
    assert seen == [0.03, 0.03, 0.015, 0.015]
