"""The 13 convolutions of VGG16, with which FCN, SegNet and DeconvNet begin."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

from torch import Tensor, nn
from torch.nn import functional

from medseg.networks.config import NetworkConfig
from medseg.networks.topology import Topology
from medseg.networks.upsampling import max_unpooling

WIDTH = 64
"""Features of the first stage, as published."""

_WIDEST = 1024
_STAGES = (2, 2, 3, 3, 3)  # convolutions of each; a pooling follows on each stage

Stored = list[tuple[Tensor, tuple[int, ...]]]
"""Of each pooling, finest first: where its maxima were, and the size of what was pooled."""


@dataclass(frozen=True)
class VGGNetwork(NetworkConfig):
    """What networks on top of VGG16 have in common; it builds none itself.

    Parameters
    ----------
    width : int
        Features of the first stage, 64 as published; all others are multiples of it.
    """

    width: int = WIDTH

    ndims: ClassVar[tuple[int, ...]] = (2,)

    def __post_init__(self) -> None:
        if not 1 <= self.width <= _WIDEST:
            raise ValueError(
                f"{type(self).__name__} has a width from 1 to {_WIDEST}, got width={self.width}"
            )

    @classmethod
    def planned(cls, topology: Topology, _: str, /) -> dict[str, Any]:
        """Nothing: it is the same for all images."""
        return {}

    @classmethod
    def small(cls) -> dict[str, Any]:
        """An eighth of the width."""
        return {"width": WIDTH // 8}

    @property
    def ndim(self) -> int:
        """Always 2."""
        return 2

    @property
    def multiple(self) -> tuple[int, ...]:
        """Stride of the fifth pooling. Larger sizes are not padded: poolings round up."""
        return (2 ** len(_STAGES),) * 2

    @property
    def dense(self) -> int:
        """Features of the layers that are dense in VGG16."""
        return 64 * self.width


def stage_widths(width: int) -> tuple[int, ...]:
    """Features of the five stages, the first of which has `width`."""
    return width, 2 * width, 4 * width, 8 * width, 8 * width


def vgg_stages(channels: int, width: int, *, norm: bool) -> nn.ModuleList:
    """Five stages of convolutions, without the poolings.

    Parameters
    ----------
    channels : int
    width : int
        Features of the first stage.
    norm : bool
        Whether batch normalisation follows on each convolution.

    References
    ----------
    K. Simonyan, A. Zisserman, "Very deep convolutional networks for large-scale image
    recognition", ICLR 2015, arXiv:1409.1556
    """
    widths = pairwise((channels, *stage_widths(width)))
    return nn.ModuleList(
        _rectified((before, *(after,) * count), nn.Conv2d, norm=norm)
        for (before, after), count in zip(widths, _STAGES, strict=True)
    )


def mirrored_stages(width: int, kind: type[nn.Conv2d | nn.ConvTranspose2d]) -> nn.ModuleList:
    """The stages in reverse, coarsest first; the last convolution of each has the width above."""
    widths = stage_widths(width)
    stages = zip(widths, (width, *widths), _STAGES, strict=False)
    return nn.ModuleList(
        _rectified((*(own,) * count, above), kind, norm=True)
        for own, above, count in reversed([*stages])
    )


def descend(stages: nn.ModuleList, x: Tensor) -> tuple[Tensor, Stored]:
    """Run each stage and pool what it gives; also what `ascend` needs to undo the poolings."""
    stored = []
    for stage in stages:
        x = stage(x)
        size = tuple(x.shape[2:])
        # Rounded up, so that no size loses its last row.
        x, positions = functional.max_pool2d_with_indices(x, (2, 2), ceil_mode=True)
        stored.append((positions, size))
    return x, stored


def ascend(stages: nn.ModuleList, x: Tensor, stored: Stored) -> Tensor:
    """Undo each pooling, coarsest first, and run a stage on what that gives."""
    for stage, (positions, size) in zip(stages, reversed(stored), strict=True):
        x = stage(max_unpooling(x, positions=positions, size=size))
    return x


def initialise(module: nn.Module) -> None:
    """Draw He's weights, which keep the variance through rectifiers; biases are 0."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def _rectified(
    widths: tuple[int, ...], kind: type[nn.Conv2d | nn.ConvTranspose2d], *, norm: bool
) -> nn.Sequential:
    """3x3 convolutions of a kind from each width to the next, that keep the size."""
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers.append(kind(before, after, 3, padding=1))
        if norm:
            layers.append(nn.BatchNorm2d(after))
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)
