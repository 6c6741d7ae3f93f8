"""Parts of a network that stay as they are."""

import pytest
import torch
from balls import ball_plan
from torch import nn

from medseg import Model
from medseg.learning.freezing import freeze

pytestmark = pytest.mark.usefixtures("one_thread")


def updated(network: nn.Module) -> set[str]:
    """Names of what a step changes."""
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    optimizer = torch.optim.AdamW(network.parameters(), 0.1)
    optimizer.zero_grad()
    network(torch.randn(2, 1, 8, 8, 8, generator=torch.manual_seed(0))).square().mean().backward()
    optimizer.step()
    after = network.state_dict()
    return {name for name, tensor in before.items() if not torch.equal(tensor, after[name])}


def with_batch_norm() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Sequential(nn.Conv3d(1, 4, 3), nn.BatchNorm3d(4)),
        nn.Sequential(nn.Conv3d(4, 4, 1), nn.BatchNorm3d(4)),
        nn.Conv3d(4, 2, 1),
    )


def test_frozen_parts_keep_weights_and_statistics() -> None:
    network = with_batch_norm()
    freeze(network, ("0",))
    changed = updated(network)
    assert {name.partition(".")[0] for name in changed} == {"1", "2"}
    assert "1.1.running_mean" in changed
    assert all(weight.grad is None for weight in network[0].parameters())


def test_parts_are_named_as_deep_as_one_likes() -> None:
    network = with_batch_norm()
    freeze(network, ("0.0", "2.bias"))
    names = set(network.state_dict()) - updated(network)
    assert names == {"0.0.weight", "0.0.bias", "2.bias"}


def test_a_part_that_is_let_go_learns_again() -> None:
    network = with_batch_norm()
    freeze(network, ("0",))
    freeze(network, ())
    # A constant before a batch normalisation has no gradient worth the name.
    assert updated(network) >= set(network.state_dict()) - {"0.0.bias", "1.0.bias"}


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (("encodr",), r"the network has no part 'encodr' to freeze; it has encoder, up"),
        (("",), "no part ''"),
        (("enc",), "no part 'enc'"),
        (("encoder", "up", "decoder", "heads"), "leaves no weights to learn"),
    ],
)
def test_parts_that_make_no_sense_are_refused(parts: tuple[str, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        freeze(Model.untrained(ball_plan(), "cpu").network, parts)
