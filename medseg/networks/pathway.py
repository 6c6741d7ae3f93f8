"""A row of layers as DeepMedic has them: normalise, rectify, drop, convolve; with shortcuts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from medseg.networks.rolling_norm import RollingBatchNorm

_SLOPE = 0.01


@dataclass(frozen=True)
class Layers:
    """What the layers of a pathway are like, each in its place.

    Parameters
    ----------
    widths : tuple of int
        Channels that come in, then those that each layer gives.
    kernels : tuple of int
    dropout : tuple of float
        Share of the numbers that reach a layer and are dropped.
    residual : tuple of int
        Layers, counted from 1, to whose output the input of the layer before them is added.
    padded : bool
        Whether the border is continued, so that the size stays; else it shrinks.
    raw : bool
        Whether an image comes in, to which a number a channel is added, and no more.
    """

    widths: tuple[int, ...]
    kernels: tuple[int, ...]
    dropout: tuple[float, ...]
    residual: tuple[int, ...]
    padded: bool
    raw: bool


class InputBias(nn.Module):
    """Add a number to each channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Add it to (B, C, ...)."""
        return x + self.bias.to(x.dtype).reshape(-1, *[1] * (x.ndim - 2))


class Pathway(nn.Module):
    """Layers one after the other."""

    def __init__(self, layers: Layers) -> None:
        super().__init__()
        self.residual = layers.residual
        self.layers = nn.ModuleList(_layer(layers, k) for k in range(len(layers.kernels)))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, ...) to what the last layer gives."""
        inputs: list[Tensor] = []
        for number, layer in enumerate(self.layers, start=1):
            inputs.append(x)
            x = layer(x)
            if number in self.residual:
                x = add_middle(x, inputs[-2])
        return x


def add_middle(x: Tensor, larger: Tensor) -> Tensor:
    """Sum of (B, C, ...) and the middle of a larger one, with 0 for channels that it lacks."""
    for axis, size in enumerate(x.shape[2:], start=2):
        start = (larger.shape[axis] - 1) // 2 - (size - 1) // 2
        larger = larger.narrow(axis, start, size)
    missing = x.shape[1] - larger.shape[1]
    # Padding by a negative number cuts channels off.
    return x + functional.pad(larger, [0, 0] * (x.ndim - 2) + [0, missing])


def _layer(layers: Layers, k: int) -> nn.Sequential:
    inputs, width, kernel = layers.widths[k], layers.widths[k + 1], layers.kernels[k]
    padding = kernel // 2 if layers.padded else 0
    # PyTorch copies the whole input to continue its border, even by nothing.
    mode: Literal["replicate", "zeros"] = "replicate" if padding else "zeros"
    convolution = nn.Conv3d(inputs, width, kernel, padding=padding, padding_mode=mode, bias=False)
    nn.init.kaiming_normal_(convolution.weight)
    before: Sequence[nn.Module] = (RollingBatchNorm(inputs), nn.PReLU(inputs, _SLOPE))
    if layers.raw and k == 0:
        before = (InputBias(inputs),)
    dropped = (nn.Dropout(layers.dropout[k]),) if layers.dropout[k] else ()
    return nn.Sequential(*before, *dropped, convolution)
