"""How a network computes when it does not learn."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from medseg import device as devices
from medseg.learning.memory import memory_errors


@contextmanager
def inference(network: nn.Module, device: torch.device, precision: str) -> Iterator[None]:
    """Evaluation mode without gradients, and back: validation must not end training mode.

    Parameters
    ----------
    precision : str
        "float32", "bfloat16", or "auto": the fast one of the device.
    """
    auto = precision == "auto"
    dtype = devices.fast_precision(device) if auto else getattr(torch, precision)
    lower = dtype != torch.float32
    before = network.training
    network.eval()
    try:
        with (
            memory_errors(),
            torch.inference_mode(),
            torch.autocast(device.type, dtype if lower else None, enabled=lower),
        ):
            yield
    finally:
        network.train(before)
