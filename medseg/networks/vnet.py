"""The V-Net as published: convolutions of 5 in 3D, each stage a residual."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

from torch import Tensor, nn

from medseg.networks.config import NetworkConfig
from medseg.networks.convolving import joined
from medseg.networks.layout import lay_out
from medseg.networks.padding import cropped, padded_to
from medseg.networks.topology import Topology

_WIDTHS = (16, 32, 64, 128, 256)
_MOST_STAGES, _MOST_CONVOLUTIONS = 10, 64


@dataclass(frozen=True)
class VNet(NetworkConfig):
    """Stages of convolutions of 5 to whose result their input is added, PReLU, no normalisation.

    Convolutions of 2 with a stride of 2 lead down and up. An expanding stage has the details of
    the contracting one beside it, so twice its width, and as many convolutions.

    Parameters
    ----------
    features : tuple of int
        Width of each contracting stage, finest first.
    convolutions : tuple of int
        Of each contracting stage.

    References
    ----------
    F. Milletari, N. Navab, S.-A. Ahmadi, "V-Net: fully convolutional neural networks for
    volumetric medical image segmentation", 3DV 2016, doi:10.1109/3DV.2016.79
    """

    ndims: ClassVar[tuple[int, ...]] = (3,)

    features: tuple[int, ...] = _WIDTHS
    convolutions: tuple[int, ...] = (1, 2, 3, 3, 3)

    def __post_init__(self) -> None:
        for name in ("features", "convolutions"):
            object.__setattr__(self, name, tuple(int(n) for n in getattr(self, name)))
        stages = len(self.features)
        if not 1 <= stages <= _MOST_STAGES or len(self.convolutions) != stages:
            raise ValueError(
                f"a V-Net has 1 to {_MOST_STAGES} stages, each with a width and a number of "
                f"convolutions, got features {self.features} and convolutions {self.convolutions}"
            )
        fewest, most = min(self.convolutions), max(self.convolutions)
        if min(self.features) < 1 or fewest < 1 or most > _MOST_CONVOLUTIONS:
            raise ValueError(
                f"a stage of a V-Net has at least one feature and 1 to {_MOST_CONVOLUTIONS} "
                f"convolutions, got features {self.features} and convolutions {self.convolutions}"
            )

    @classmethod
    def planned(cls, topology: Topology, member: str, /) -> dict[str, Any]:
        """Nothing: the network is the published one, whatever the images."""
        return {}

    @classmethod
    def small(cls) -> dict[str, Any]:
        """Fields for an eighth of the width."""
        return {"features": tuple(width // 8 for width in _WIDTHS)}

    @property
    def ndim(self) -> int:
        """Axes of the published network."""
        return 3

    @property
    def multiple(self) -> tuple[int, ...]:
        """What each axis is divided by on the way down."""
        return (2 ** (len(self.features) - 1),) * self.ndim

    def build(self, channels: int, classes: int) -> nn.Module:
        """Make the network, with weights drawn as the authors' code does."""
        return _VNetModule(self, channels, classes)


class _VNetModule(nn.Module):
    def __init__(self, config: VNet, channels: int, classes: int) -> None:
        super().__init__()
        self.multiple = config.multiple
        widths, depths = config.features, config.convolutions
        self.encoder = nn.ModuleList(
            _Stage(inputs, width, depth)
            for inputs, width, depth in zip((channels, *widths[1:]), widths, depths, strict=True)
        )
        self.down = nn.ModuleList(
            nn.Sequential(nn.Conv3d(a, b, 2, 2), nn.PReLU(b)) for a, b in pairwise(widths)
        )
        # What comes from below is as wide as all that the stage there gives.
        given = [2 * width for width in widths[:-1]] + [widths[-1]]
        below = range(len(widths) - 2, -1, -1)
        self.up = nn.ModuleList(
            nn.Sequential(nn.ConvTranspose3d(given[k + 1], widths[k], 2, 2), nn.PReLU(widths[k]))
            for k in below
        )
        self.decoder = nn.ModuleList(_Stage(given[k], given[k], depths[k]) for k in below)
        self.head = nn.Conv3d(given[0], classes, 1)
        self.apply(_initialise)
        lay_out(self)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, channels, ...) to logits (B, classes, ...) of the same size."""
        size = x.shape[2:]
        x = padded_to(x, self.multiple)
        skips = []
        for stage, down in zip(self.encoder, self.down, strict=False):
            skips.append(stage(x))
            x = down(skips[-1])
        x = self.encoder[-1](x)
        for up, stage in zip(self.up, self.decoder, strict=True):
            x = stage(joined(up(x), skips.pop()))
        return cropped(self.head(x), size)


class _Stage(nn.Module):
    """Convolutions of 5 with rectifiers; what went in is added before the last of these."""

    def __init__(self, inputs: int, width: int, convolutions: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for a, b in pairwise((inputs, *(width,) * convolutions)):
            layers += [nn.Conv3d(a, b, 5, padding=2), nn.PReLU(b)]
        self.convolutions, self.rectifier = nn.Sequential(*layers[:-1]), layers[-1]

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, inputs, ...) to (B, width, ...)."""
        found = self.convolutions(x)
        rectified: Tensor = self.rectifier(found + _repeated(x, found.shape[1]))
        return rectified


def _repeated(x: Tensor, width: int) -> Tensor:
    """(B, C, ...) with its channels over and over, until there are so many."""
    times = -(-width // x.shape[1])
    return x if x.shape[1] == width else x.repeat(1, times, 1, 1, 1)[:, :width]


def _initialise(module: nn.Module) -> None:
    """Draw weights of variance 2 / N, with N the mean of the numbers that come and go."""
    if isinstance(module, nn.Conv3d | nn.ConvTranspose3d):
        nn.init.xavier_normal_(module.weight, gain=2**0.5)
        assert module.bias is not None
        nn.init.zeros_(module.bias)
