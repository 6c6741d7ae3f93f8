"""The U-Net of nnU-Net whose encoder is made of residual blocks, in 2D or 3D."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from medseg.networks.config import NetworkConfig
from medseg.networks.convolving import CONVOLUTION
from medseg.networks.normalisation import SLOPE, InstanceNormReLU
from medseg.networks.topology import Topology
from medseg.networks.unet import Expanding, UNet

_POOL: dict[int, Any] = {2: nn.AvgPool2d, 3: nn.AvgPool3d}
# Of the levels from the finest on; all that follow have as many as the last.
_BLOCKS = (1, 3, 4, 6)
_MOST_BLOCKS = 64


@dataclass(frozen=True)
class ResidualUNet(NetworkConfig):
    """A deep encoder of residual blocks, and a decoder of one convolution a level.

    The biases that nnU-Net gives to its convolutions are left out: the normalisation behind
    each takes them away again.

    Parameters
    ----------
    ndim : int
        2 or 3.
    features : tuple of int
        Width of each level, finest first.
    kernels, strides : tuple of int or of tuple of int
        Of each level, per axis, as of a `UNet`.
    blocks : tuple of int
        Residual blocks of each level, two convolutions each; by default 1, 3, 4, 6, 6, ...
    deep_supervision : bool
        In training, give the logits of all levels but the two coarsest.

    References
    ----------
    F. Isensee et al., "nnU-Net revisited: a call for rigorous validation in 3D medical image
    segmentation", MICCAI 2024, doi:10.1007/978-3-031-72114-4_47;
    T. He et al., "Bag of tricks for image classification with convolutional neural networks",
    CVPR 2019, doi:10.1109/CVPR.2019.00065
    """

    ndim: int = 3
    features: tuple[int, ...] = (16, 32, 64, 128)
    kernels: tuple[tuple[int, ...], ...] = ()
    strides: tuple[tuple[int, ...], ...] = ()
    blocks: tuple[int, ...] = ()
    deep_supervision: bool = False

    def __post_init__(self) -> None:
        levels = self._levels  # which refuses what makes no U-Net
        for name in ("features", "kernels", "strides"):
            object.__setattr__(self, name, getattr(levels, name))
        count = len(self.features)
        default = (*_BLOCKS, *(_BLOCKS[-1],) * count)[:count]
        blocks = tuple(int(n) for n in self.blocks or default)
        if len(blocks) != count or not 1 <= min(blocks) <= max(blocks) <= _MOST_BLOCKS:
            raise ValueError(
                f"{count} levels need as many numbers of blocks, 1 to {_MOST_BLOCKS}, got {blocks}"
            )
        object.__setattr__(self, "blocks", blocks)

    @classmethod
    def planned(cls, topology: Topology, member: str, /) -> dict[str, Any]:
        """Fields that fit a topology."""
        return UNet.planned(topology, member)

    @property
    def multiple(self) -> tuple[int, ...]:
        """Product of the strides along each axis."""
        return self._levels.multiple

    def build(self, channels: int, classes: int) -> nn.Module:
        """Make the network; each block begins as the identity, all else He-initialised."""
        width, kernel = self.features[0], self.kernels[0]
        first = _convolution(channels, width, kernel)
        stem = nn.Sequential(first, InstanceNormReLU(width))
        encoder = [self._level(level) for level in range(len(self.features))]
        return Expanding(self._levels, [nn.Sequential(stem, encoder[0]), *encoder[1:]], classes)

    @property
    def _levels(self) -> UNet:
        """U-Net that has the same levels, and the decoder."""
        return UNet(
            self.ndim,
            self.features,
            self.kernels,
            self.strides,
            convolutions=1,
            deep_supervision=self.deep_supervision,
        )

    def _level(self, level: int) -> nn.Sequential:
        width, kernel = self.features[level], self.kernels[level]
        entering = _Block(self.features[max(level - 1, 0)], width, kernel, self.strides[level])
        rest = self.blocks[level] - 1
        return nn.Sequential(
            entering, *(_Block(width, width, kernel, (1,) * self.ndim) for _ in range(rest))
        )


class _Block(nn.Module):
    """Two convolutions, and past them a mean over the stride and a change of width."""

    def __init__(
        self, inputs: int, width: int, kernel: tuple[int, ...], stride: tuple[int, ...]
    ) -> None:
        super().__init__()
        self.first = nn.Sequential(
            _convolution(inputs, width, kernel, stride), InstanceNormReLU(width)
        )
        normed = InstanceNormReLU(width, slope=1)
        nn.init.zeros_(normed.weight)
        self.second = nn.Sequential(_convolution(width, width, kernel), normed)
        past: list[nn.Module] = []
        if max(stride) > 1:
            past.append(_POOL[len(stride)](stride))
        if inputs != width:
            past += [
                _convolution(inputs, width, (1,) * len(kernel)),
                InstanceNormReLU(width, slope=1),
            ]
        self.past = nn.Sequential(*past)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, inputs, ...) to (B, width, ...), smaller by the stride."""
        return functional.leaky_relu(self.second(self.first(x)) + self.past(x), SLOPE)


def _convolution(
    inputs: int, outputs: int, kernel: tuple[int, ...], stride: tuple[int, ...] | int = 1
) -> nn.Module:
    padding = tuple(k // 2 for k in kernel)
    convolution: nn.Module = CONVOLUTION[len(kernel)](
        inputs, outputs, kernel, stride=stride, padding=padding, bias=False
    )
    return convolution
