"""A network that is looked at, and left as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def still(network: nn.Module) -> Iterator[None]:
    """Evaluation mode, and no gradients of weights; each module and weight is as before after it.

    Gradients of what the network sees, and of what happens inside, can be taken all the same.
    """
    modes = [(module, module.training) for module in network.modules()]
    wanted = [(weight, weight.requires_grad) for weight in network.parameters()]
    network.eval()
    for weight, _ in wanted:
        weight.requires_grad = False
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
        for weight, wants in wanted:
            weight.requires_grad = wants
