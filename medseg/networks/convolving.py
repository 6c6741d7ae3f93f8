"""Convolutions of single samples on the CPU, and tensors put together, as fast as of several."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class Conv2d(nn.Conv2d):
    """As torch's, but a single small sample takes oneDNN's path too."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, D, ...)."""
        return _convolved(self, x)


class Conv3d(nn.Conv3d):
    """As torch's, but a single small sample takes oneDNN's path too."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, X, Y, Z) to (B, D, ...)."""
        return _convolved(self, x)


CONVOLUTION: dict[int, Any] = {2: Conv2d, 3: Conv3d}


def joined(*parts: Tensor) -> Tensor:
    """(B, A + C + ..., ...) channels of all parts, which lie channels-last on the CPU.

    For a single sample, which may lie either way, torch takes a loop that is 15 times slower.
    """
    if parts[0].device.type != "cpu" or torch.compiler.is_compiling():
        return torch.cat(parts, dim=1)
    return torch.cat([part.movedim(1, -1) for part in parts], dim=-1).movedim(-1, 1)


def _convolved(module: nn.Conv2d | nn.Conv3d, x: Tensor) -> Tensor:
    weight, bias, padding = module.weight, module.bias, module.padding
    if isinstance(padding, str) or not _is_held_back(x):
        found: Tensor = module._conv_forward(x, weight, bias)
    else:
        options = padding, module.stride, module.dilation, module.groups
        found = torch.mkldnn_convolution(x, weight, bias, *options)
    return found


def _is_held_back(x: Tensor) -> bool:
    """Whether torch would convolve a sample without oneDNN, as it does with small ones.

    Those are of less than 20480 numbers in their first three axes, so a tile of a volume is one
    in all levels of a U-Net but the widest. It makes a small network take twice as long.
    """
    return (
        not torch.compiler.is_compiling()  # asked first: a batch that is exported has no length yet
        and len(x) == 1
        and x.device.type == "cpu"
        and x.dtype == torch.float32
        and not torch.is_grad_enabled()
        and not torch.is_autocast_enabled("cpu")
        and torch.backends.mkldnn.is_available()
    )
