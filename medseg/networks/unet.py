"""The U-Net, in 2D or 3D."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from medseg.networks.config import NetworkConfig
from medseg.networks.convolving import CONVOLUTION, joined
from medseg.networks.layout import lay_out
from medseg.networks.normalisation import SLOPE, InstanceNormReLU
from medseg.networks.padding import cropped, padded_to
from medseg.networks.topology import Topology

_MOST_LEVELS, _MOST_CONVOLUTIONS, _WIDEST = 10, 64, 64
_UPSAMPLE: dict[int, Any] = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}


@dataclass(frozen=True)
class UNet(NetworkConfig):
    """Contract, then expand with the details of each level passed across.

    Parameters
    ----------
    ndim : int
        2 or 3.
    features : tuple of int
        Width of each level, finest first.
    kernels, strides : tuple of int or of tuple of int
        Of each level, per axis; the stride is applied on entering the level. By default 3,
        and 2 from the second level on.
    convolutions : int
        Of each level, in the encoder and in the decoder.
    deep_supervision : bool
        In training, give the logits of all levels but the two coarsest.

    References
    ----------
    O. Ronneberger et al., "U-Net", MICCAI 2015, doi:10.1007/978-3-319-24574-4_28;
    O. Cicek et al., "3D U-Net", MICCAI 2016, doi:10.1007/978-3-319-46723-8_49
    """

    ndim: int = 3
    features: tuple[int, ...] = (16, 32, 64, 128)
    kernels: tuple[tuple[int, ...], ...] = ()
    strides: tuple[tuple[int, ...], ...] = ()
    convolutions: int = 2
    deep_supervision: bool = False

    def __post_init__(self) -> None:
        if self.ndim not in CONVOLUTION:
            raise ValueError(f"a U-Net has 2 or 3 axes, got ndim={self.ndim}")
        levels = len(self.features)
        if levels < 1 or min(self.features) < 1 or self.convolutions < 1:
            raise ValueError(
                "a U-Net has at least one level, feature and convolution, got features "
                f"{tuple(self.features)} and {self.convolutions} convolutions"
            )
        if levels > _MOST_LEVELS or self.convolutions > _MOST_CONVOLUTIONS:
            raise ValueError(
                f"a U-Net has up to {_MOST_LEVELS} levels and {_MOST_CONVOLUTIONS} convolutions "
                f"a level, got {levels} and {self.convolutions}"
            )
        object.__setattr__(self, "features", tuple(int(width) for width in self.features))
        for name, default in (("kernels", (3,) * levels), ("strides", (1, *(2,) * (levels - 1)))):
            given = tuple(getattr(self, name)) or default
            if len(given) != levels:
                raise ValueError(f"{levels} levels need as many {name}, got {given}")
            per_axis = tuple(
                (k,) * self.ndim if isinstance(k, int) else tuple(int(n) for n in k) for k in given
            )
            if any(len(k) != self.ndim or not 1 <= min(k) <= max(k) <= _WIDEST for k in per_axis):
                raise ValueError(
                    f"{name} have {self.ndim} positive numbers up to {_WIDEST} a level, got {given}"
                )
            object.__setattr__(self, name, per_axis)
        if any(k % 2 == 0 for kernel in self.kernels for k in kernel) or max(self.strides[0]) > 1:
            raise ValueError(
                "a U-Net has odd kernels and a stride of 1 in its first level, got kernels "
                f"{self.kernels} and strides {self.strides}"
            )

    @classmethod
    def planned(cls, topology: Topology, _: str, /) -> dict[str, Any]:
        """Fields that fit a topology."""
        return {
            "ndim": topology.ndim,
            "features": topology.features,
            "kernels": topology.kernels,
            "strides": topology.strides,
        }

    @property
    def multiple(self) -> tuple[int, ...]:
        """Product of the strides along each axis."""
        return Topology(self.kernels, self.strides, self.features).multiple

    def build(self, channels: int, classes: int) -> nn.Module:
        """Make the network, with He-initialised weights."""
        widths = (channels, *self.features)
        encoder = [
            _level(self, level, inputs, stride=True) for level, inputs in enumerate(widths[:-1])
        ]
        return Expanding(self, encoder, classes)


class Expanding(nn.Module):
    """An encoder, and the decoder of a U-Net that brings its levels back together.

    Parameters
    ----------
    config : UNet
        Its levels are those of the encoder.
    encoder : sequence of nn.Module
        One a level, finest first; each enters its level with the stride of that level.
    classes : int
    """

    def __init__(self, config: UNet, encoder: Sequence[nn.Module], classes: int) -> None:
        super().__init__()
        self.multiple = config.multiple
        self.reductions = np.cumprod(config.strides, axis=0).tolist()
        self.encoder = nn.ModuleList(encoder)
        below = range(len(config.features) - 2, -1, -1)
        self.up = nn.ModuleList(
            _UPSAMPLE[config.ndim](
                config.features[level + 1],
                config.features[level],
                config.strides[level + 1],
                stride=config.strides[level + 1],
            )
            for level in below
        )
        self.decoder = nn.ModuleList(
            _level(config, level, 2 * config.features[level], stride=False) for level in below
        )
        supervised = max(len(config.features) - 2, 1) if config.deep_supervision else 1
        self.heads = nn.ModuleList(
            CONVOLUTION[config.ndim](config.features[level], classes, 1)
            for level in range(supervised)
        )
        self.apply(_initialise)
        lay_out(self)

    def forward(self, x: Tensor) -> Tensor | list[Tensor]:
        """Map (B, channels, ...) to logits (B, classes, ...); in training perhaps a list."""
        size = x.shape[2:]
        x = padded_to(x, self.multiple)
        skips = []
        for block in self.encoder:
            x = block(x)
            skips.append(x)
        outputs = [skips.pop()]
        for up, block in zip(self.up, self.decoder, strict=True):
            outputs.append(block(joined(up(outputs[-1]), skips.pop())))
        finest: Sequence[Tensor] = outputs[::-1]
        if self.training and len(self.heads) > 1:
            return [
                cropped(head(y), self._size_at(level, size))
                for level, (head, y) in enumerate(zip(self.heads, finest, strict=False))
            ]
        return cropped(self.heads[0](finest[0]), size)

    def _size_at(self, level: int, size: torch.Size) -> tuple[int, ...]:
        """Voxels of a level that hold some of the input, and not its padding alone."""
        strides = self.reductions[level]
        return tuple(-(-n // stride) for n, stride in zip(size, strides, strict=True))


def _level(config: UNet, level: int, inputs: int, *, stride: bool) -> nn.Sequential:
    width, kernel = config.features[level], config.kernels[level]
    convolution = CONVOLUTION[config.ndim]
    layers: list[nn.Module] = []
    for a, b in pairwise((inputs, *(width,) * config.convolutions)):
        step = config.strides[level] if stride and not layers else 1
        padding = tuple(k // 2 for k in kernel)
        layers += [
            convolution(a, b, kernel, stride=step, padding=padding, bias=False),
            InstanceNormReLU(b),
        ]
    return nn.Sequential(*layers)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.ConvTranspose3d):
        nn.init.kaiming_normal_(module.weight, a=SLOPE)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
