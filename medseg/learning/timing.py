"""How long a step of a training takes on this machine, measured."""

from __future__ import annotations

import time
from math import prod

import torch

from medseg import device as devices
from medseg.learning import OPTIMIZERS
from medseg.learning.batch_size import batch_size
from medseg.learning.losses import supervised
from medseg.learning.losses.targets import planned
from medseg.learning.memory import build_network
from medseg.learning.plan import Plan
from medseg.learning.settings import Training

# A patch of so many voxels takes a CPU some seconds; a larger one is measured on a part of it.
_MOST_VOXELS = 2**18
# The first one also chooses algorithms.
_FEWEST, _MOST, _SHORT = 2, 4, 1.0


def seconds_per_step(plan: Plan, device: str = "auto") -> float:
    """Time of an update of the network, from one patch and as many times it as a batch has.

    Forward, loss, backward and the update are measured. Cutting patches is not: it goes on
    meanwhile.
    """
    place = devices.resolve(device)
    with torch.random.fork_rng(devices=[place] if place.type == "cuda" else []):
        torch.manual_seed(0)
        network = build_network(plan, place).to(place).train()
        sides = tuple(plan.patch[axis] for axis in plan.axes)
        measured = sides if place.type == "cuda" else _part(plan, sides)
        share = prod(measured) / prod(sides)
        return batch_size(plan) / share * _seconds(network, plan, measured, place)


def _part(plan: Plan, sides: tuple[int, ...]) -> tuple[int, ...]:
    """Sides halved, longest first, until a CPU is done with them soon."""
    part = plan.network.fitted(sides)
    while prod(part) > _MOST_VOXELS:
        longest = part.index(max(part))
        half = tuple(n // 2 if k == longest else n for k, n in enumerate(part))
        smaller = plan.network.fitted(half)
        if prod(smaller) >= prod(part):
            return part
        part = smaller
    return part


def _seconds(
    network: torch.nn.Module, plan: Plan, sides: tuple[int, ...], place: torch.device
) -> float:
    """Shortest of some updates with one patch."""
    margins = zip(sides, plan.network.margin, strict=True)
    seen = tuple(side + 2 * margin for side, margin in margins)
    images = torch.randn(1, plan.inputs, *seen, device=place)
    targets = torch.randint(len(plan.labels), (1, *sides), device=place)
    precision = devices.fast_precision(place) if place.type == "cuda" else torch.float32
    training = Training()
    loss = planned(training.loss, plan)
    optimizer = OPTIMIZERS[training.optimizer](network.parameters(), training)
    times: list[float] = []
    while len(times) < _FEWEST or (sum(times) < _SHORT and len(times) < _MOST):
        began = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(place.type, precision, enabled=precision != torch.float32):
            outputs = network(images)
        supervised(loss, outputs, targets).backward()
        optimizer.step()
        if place.type == "cuda":
            torch.cuda.synchronize(place)
        times.append(time.perf_counter() - began)
    return min(times)
