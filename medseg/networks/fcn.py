"""Fully convolutional networks: VGG16's answers on a coarse grid, interpolated to every pixel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional

from medseg.networks.layout import lay_out
from medseg.networks.upsampling import interpolating
from medseg.networks.vgg import VGGNetwork, initialise, stage_widths, vgg_stages

# Around the image, so that the window of the dense layers lies around every pixel. It is as if
# the first convolution padded by 100; it pads by 1 itself.
_PAD = 99
# Rows and columns that are cut off so that maps of two strides, or the image, lie upon each
# other: what the padding adds at a stride, and what kernels without padding take away again.
_CROP_AT = {16: 5, 8: 9}
_CROP_OF_IMAGE = {32: 19, 16: 27, 8: 31}


@dataclass(frozen=True)
class _FCN(VGGNetwork):
    """What the three have in common; `dropout` is as in `FCN32s`."""

    dropout: float = 0.5

    stride: ClassVar[int]

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is a share in [0, 1), got dropout={self.dropout}")

    def build(self, channels: int, classes: int) -> nn.Module:
        """Make the network: He's weights, scores of 0, bilinear upsampling."""
        return _FCNModule(self, channels, classes)


@dataclass(frozen=True)
class FCN32s(_FCN):
    """Scores of VGG16 at stride 32, interpolated to the image at once.

    Parameters
    ----------
    width : int
        Features of VGG16's first stage, 64 as published; all others are multiples of it.
    dropout : float in [0, 1)
        Share of the dense layers' features left out in training.

    References
    ----------
    J. Long, E. Shelhamer, T. Darrell, "Fully convolutional networks for semantic segmentation",
    CVPR 2015. doi:10.1109/CVPR.2015.7298965
    """

    stride: ClassVar[int] = 32


@dataclass(frozen=True)
class FCN16s(_FCN):
    """Scores at stride 32, and those of the fourth pooling at stride 16 added on the way.

    Parameters and reference are those of `FCN32s`.
    """

    stride: ClassVar[int] = 16


@dataclass(frozen=True)
class FCN8s(_FCN):
    """Scores at stride 32, and those of the fourth and third pooling added on the way.

    Parameters and reference are those of `FCN32s`.
    """

    stride: ClassVar[int] = 8


class _FCNModule(nn.Module):
    def __init__(self, config: _FCN, channels: int, classes: int) -> None:
        super().__init__()
        widths, dense = stage_widths(config.width), config.dense
        self.stride = config.stride
        self.stages = vgg_stages(channels, config.width, norm=False)
        self.fc6 = nn.Conv2d(widths[-1], dense, 7)
        self.fc7 = nn.Conv2d(dense, dense, 1)
        self.dropout = nn.Dropout(config.dropout)
        self.apply(initialise)
        self.score = _score(dense, classes)
        # Poolings whose scores are added, coarsest first.
        added = [stride for stride in (16, 8) if stride >= config.stride]
        self.scores = nn.ModuleDict(
            {str(stride): _score(widths[stride // 8 + 1], classes) for stride in added}
        )
        self.up = nn.ModuleList(interpolating(classes, 2) for _ in added)
        self.last_up = interpolating(classes, config.stride)
        self.last_up.requires_grad_(requires_grad=False)
        lay_out(self)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, channels, ...) to logits (B, classes, ...)."""
        size = tuple(x.shape[2:])
        x = functional.pad(x, (_PAD,) * 4)
        pooled: dict[int, Tensor] = {}
        for level, stage in enumerate(self.stages, start=1):
            # Ceil, as in Caffe: the last row of an odd number is pooled too.
            x = functional.max_pool2d(stage(x), 2, ceil_mode=True)
            pooled[2**level] = x
        for dense in (self.fc6, self.fc7):
            x = self.dropout(functional.relu(dense(x), inplace=True))
        x = self.score(x)
        for up, (stride, score) in zip(self.up, self.scores.items(), strict=True):
            x = up(x)
            finer = score(pooled[int(stride)])
            x = x + _cut(finer, _CROP_AT[int(stride)], tuple(x.shape[2:]))
        return _cut(self.last_up(x), _CROP_OF_IMAGE[self.stride], size)


def _cut(x: Tensor, start: int, size: tuple[int, ...]) -> Tensor:
    return x[..., start : start + size[0], start : start + size[1]]


def _score(features: int, classes: int) -> nn.Conv2d:
    """One map a class, 0 before anything is learnt."""
    convolution = nn.Conv2d(features, classes, 1)
    for values in convolution.parameters():
        nn.init.zeros_(values)
    return convolution
