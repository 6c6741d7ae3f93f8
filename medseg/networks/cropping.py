"""What the 2D and the 3D U-Net have in common, as they were first published."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from medseg.networks.config import NetworkConfig
from medseg.networks.convolving import joined
from medseg.networks.padding import cropped, padded_to
from medseg.networks.topology import Topology

Padding = Literal["valid", "same"]
_MOST_LEVELS = 10


class CroppingConfig(NetworkConfig, Protocol):
    """Config of a U-Net of two convolutions of 3 a level, with halvings between.

    Valid convolutions lose a voxel at each end; "same" ones are padded with 0 and lose none.
    """

    features: tuple[int, ...]
    padding: Padding

    def __post_init__(self) -> None:
        object.__setattr__(self, "features", tuple(int(width) for width in self.features))
        if not 1 <= len(self.features) <= _MOST_LEVELS or min(self.features) < 2:
            raise ValueError(
                f"a U-Net has 1 to {_MOST_LEVELS} levels of at least 2 features, got "
                f"{self.features}"
            )
        if self.padding not in ("valid", "same"):
            raise ValueError(f"padding is 'valid' or 'same', got {self.padding!r}")

    @classmethod
    def planned(cls, topology: Topology, member: str, /) -> dict[str, Any]:
        """Nothing: the network is the published one, whatever the images."""
        return {}

    @property
    def ndim(self) -> int:
        """Axes of the published network."""
        return self.ndims[0]

    @property
    def multiple(self) -> tuple[int, ...]:
        """What each axis is divided by on the way down."""
        return (2 ** (len(self.features) - 1),) * self.ndim

    @property
    def remainder(self) -> tuple[int, ...]:
        """With valid convolutions 4, the voxels that two of them lose on the way up."""
        return tuple(4 % m if self.padding == "valid" else 0 for m in self.multiple)

    @property
    def margin(self) -> tuple[int, ...]:
        """With valid convolutions 2 of its voxels a level going down, and as many going up."""
        lost = 3 * 2 ** len(self.features) - 4
        return (lost if self.padding == "valid" else 0,) * self.ndim


class CroppingUNet(nn.Module):
    """Contract, then expand; what a level passes across is cropped to what arrives from below.

    Parameters
    ----------
    config : CroppingConfig
    encoder : sequence of module
        Of each level, finest first.
    up, decoder : sequence of module
        Of each level but the coarsest, from there on; `up` doubles the size.
    head : module
    """

    def __init__(
        self,
        config: CroppingConfig,
        encoder: Sequence[nn.Module],
        up: Iterable[nn.Module],
        decoder: Iterable[nn.Module],
        head: nn.Module,
    ) -> None:
        super().__init__()
        self.config = config
        self.encoder = nn.ModuleList(encoder)
        self.pool = {2: nn.MaxPool2d, 3: nn.MaxPool3d}[config.ndim](2)
        self.up = nn.ModuleList(up)
        self.decoder = nn.ModuleList(decoder)
        self.head = head
        self.apply(_initialise)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, channels, ...) to logits (B, classes, ...), smaller by the margin."""
        size = tuple(n - 2 * m for n, m in zip(x.shape[2:], self.config.margin, strict=True))
        if min(size) < 1:
            raise ValueError(
                f"the network gives no logits for {self.config.margin} voxels at each end, got "
                f"an image of {tuple(x.shape[2:])}; give it a larger one"
            )
        x = self._padded(x, size)
        skips: list[Tensor] = []
        for block in self.encoder:
            x = block(self.pool(x) if skips else x)
            skips.append(x)
        skips.pop()
        for up, block in zip(self.up, self.decoder, strict=True):
            x = up(x)
            x = block(joined(_middle(skips.pop(), x.shape[2:]), x))
        return cropped(self.head(x), size)

    def _padded(self, x: Tensor, size: tuple[int, ...]) -> Tensor:
        """Continue an image behind each axis, so that every halving comes out even."""
        if self.config.padding == "same":
            return padded_to(x, self.config.multiple)
        fits = zip(size, self.config.multiple, self.config.remainder, strict=True)
        missing = [(remainder - n) % multiple for n, multiple, remainder in fits]
        # Mirrored, as the paper does it with tiles that reach beyond the image.
        pads = [side for more in reversed(missing) for side in (0, more)]
        return functional.pad(x, pads, mode="reflect") if any(missing) else x


def convolutions(
    convolve: Callable[..., nn.Module],
    widths: Sequence[int],
    padding: Padding,
    follow: Callable[[int], Iterable[nn.Module]],
) -> nn.Sequential:
    """Convolutions of 3 from each width to the next, and what is to follow on each width."""
    layers: list[nn.Module] = []
    for a, b in pairwise(widths):
        layers += [convolve(a, b, 3, padding=int(padding == "same")), *follow(b)]
    return nn.Sequential(*layers)


def _middle(x: Tensor, size: torch.Size) -> Tensor:
    """Middle voxels of (B, C, ...); those lost at both ends are as many."""
    for axis, length in enumerate(size, start=2):
        x = x.narrow(axis, (x.shape[axis] - length) // 2, length)
    return x


def _initialise(module: nn.Module) -> None:
    """Draw weights of variance 2 / N, with N the numbers that a neuron adds up."""
    if isinstance(module, nn.Conv2d | nn.Conv3d):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    elif isinstance(module, nn.ConvTranspose2d | nn.ConvTranspose3d):
        # Where kernel and stride are the same, each voxel comes from one voxel below.
        nn.init.normal_(module.weight, std=(2 / module.in_channels) ** 0.5)
    else:
        return
    if module.bias is not None:
        nn.init.zeros_(module.bias)
