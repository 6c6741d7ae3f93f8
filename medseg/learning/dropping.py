"""A trained model whose dropout stays on: each seed gives another network."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import nn
from torch.nn.modules.dropout import _DropoutNd

from medseg.learning.model import Model
from medseg.learning.plan import Plan
from medseg.learning.stored import Stored
from medseg.segmenter import Probabilistic
from medseg.volume import Image, Labels


@dataclass(frozen=True, eq=False)
class Dropping:
    """What a network says with dropout, all else of it as in inference; a `Probabilistic`.

    Parameters
    ----------
    member : Model or Stored
    seed : int
        Of the numbers that are dropped: the same seed, image, device and machine give the same.
    """

    member: Model | Stored
    seed: int = 0

    @property
    def plan(self) -> Plan:
        """Plan of the model."""
        return self.member.plan

    def probabilities(
        self, image: Image, seeds: Labels | None = None, mask: Labels | None = None
    ) -> Image:
        """Probability of each label, as the network has it that is left."""
        model = self.member.load() if isinstance(self.member, Stored) else self.member
        before = model.network.training
        devices = [model.device] if model.device.type == "cuda" else []
        try:
            with torch.random.fork_rng(devices):
                torch.manual_seed(self.seed)
                dropping = replace(model, network=_WithDropout(model.network))
                return dropping.probabilities(image, seeds, mask)
        finally:
            model.network.train(before)


class _WithDropout(nn.Module):
    """A network whose dropout evaluation mode does not end; batch normalisation goes with it."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.network(tiles)
        return found

    def train(self, mode: bool = True) -> _WithDropout:  # noqa: FBT001, FBT002 - as nn.Module has it
        super().train(mode)
        for layer in self.network.modules():
            if isinstance(layer, _DropoutNd):
                layer.train()
        return self


def require_dropout(member: Probabilistic) -> Model | Stored:
    """Return a trained model whose network has dropout.

    Raises
    ------
    ValueError
        If it is none, or its network has none.
    """
    if not isinstance(member, Model | Stored):
        raise ValueError(
            f"dropout is left on in a trained network, and {type(member).__name__} is none"
        )
    network = member.network if isinstance(member, Model) else _outline(member.plan)
    if not any(isinstance(layer, _DropoutNd) and layer.p > 0 for layer in network.modules()):
        raise ValueError(
            f"the network {type(member.plan.network).__name__} has no dropout to leave on; take "
            "--variants augmented, or an ensemble of several runs"
        )
    return member


def _outline(plan: Plan) -> nn.Module:
    """The network of a plan without numbers."""
    with torch.device("meta"):
        return plan.network.build(len(plan.channels), plan.outputs)
