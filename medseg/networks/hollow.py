"""Networks whose tensors have a shape and no content: their size, and how they are wired."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from medseg.networks.config import NetworkConfig


def hollow(network: NetworkConfig, channels: int, classes: int) -> nn.Module:
    """Build a network out of tensors without content.

    Raises
    ------
    RuntimeError
        If it looks at the numbers in its tensors, as some of MONAI's do, or one is too large.
    """
    with torch.device("meta"), _Undrawn():
        return network.build(channels, classes)


class _Undrawn(TorchFunctionMode):
    """Draws no random numbers: where there is no content, torch loads its compiler for that."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func is torch.Tensor.normal_:
            return args[0]
        return func(*args, **(kwargs or {}))
