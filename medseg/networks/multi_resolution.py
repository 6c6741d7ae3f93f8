"""Paths of several resolutions, put together by fully connected layers: all DeepMedics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import lcm
from typing import Any, ClassVar, Literal, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from medseg.networks.config import NetworkConfig
from medseg.networks.layout import lay_out
from medseg.networks.pathway import InputBias, Layers, Pathway
from medseg.networks.topology import Topology

Alignment = Literal["original", "centred"]
_NARROW = (30, 30, 40, 40, 40, 40, 50, 50)
_KERNEL, _INFERENCE_SIDE = 3, 45
_MOST_LAYERS, _MOST_PATHS, _COARSEST = 64, 8, 31


@dataclass(frozen=True)
class DeepMedicConfig(NetworkConfig, Protocol):
    """The fields of all DeepMedics, with the defaults of v0.8.4.

    Parameters
    ----------
    features : tuple of int
        Width of each layer of the path of full resolution, all valid convolutions of 3.
    low_features : tuple of int
        The same of the paths of low resolution; empty for as many.
    factors : tuple of int
        Odd; a path sees every voxel of as many, and so more of the surroundings.
    residual : tuple of int
        Layers of each path, counted from 1, to which the input of the layer before is added.
    hidden : tuple of int
        Width of the fully connected layers, which are convolutions; one more gives the logits.
    kernels : tuple of int
        1 or 3, of the fully connected layers and of the last one; those of 3 continue the border.
    hidden_residual : tuple of int
        As `residual`, of the fully connected layers.
    dropout : tuple of float
        Share of the numbers dropped before each of them.
    lr_align : str
        "original": the voxel of a coarse path is the first of those that it stands for;
        "centred": the one in their middle.
    side : int
        Voxels of the segments that the path of full resolution sees in training.
    """

    ndims: ClassVar[tuple[int, ...]] = (3,)

    features: tuple[int, ...] = _NARROW
    low_features: tuple[int, ...] = ()
    factors: tuple[int, ...] = (3, 5)
    residual: tuple[int, ...] = (4, 6, 8)
    hidden: tuple[int, ...] = (250, 250)
    kernels: tuple[int, ...] = (3, 1, 1)
    hidden_residual: tuple[int, ...] = (2,)
    dropout: tuple[float, ...] = (0.0, 0.5, 0.5)
    lr_align: Alignment = "original"
    side: int = 37

    def __post_init__(self) -> None:
        for name in ("features", "factors", "residual", "hidden", "kernels", "hidden_residual"):
            object.__setattr__(self, name, tuple(int(n) for n in getattr(self, name)))
        low = tuple(int(n) for n in self.low_features) or self.features
        object.__setattr__(self, "low_features", low)
        object.__setattr__(self, "dropout", tuple(float(share) for share in self.dropout))
        self._check_paths()
        self._check_connected()

    def _check_paths(self) -> None:
        layers = len(self.features)
        widths = (*self.features, *self.low_features)
        if not 1 <= layers <= _MOST_LAYERS or len(self.low_features) != layers or min(widths) < 1:
            raise ValueError(
                f"paths have 1 to {_MOST_LAYERS} layers, all as many, and at least 1 feature, got "
                f"{self.features} and {self.low_features}"
            )
        odd = all(factor % 2 and 1 < factor <= _COARSEST for factor in self.factors)
        if not odd or len(self.factors) > _MOST_PATHS:
            raise ValueError(
                f"up to {_MOST_PATHS} paths see every 3rd, 5th, ... voxel, up to {_COARSEST}, "
                f"got factors {self.factors}"
            )
        if any(not 2 <= layer <= layers for layer in self.residual):
            raise ValueError(f"residual names layers from 2 to {layers}, got {self.residual}")
        if self.side <= 2 * layers:
            raise ValueError(f"{layers} layers need a side over {2 * layers}, got {self.side}")
        if self.lr_align not in ("original", "centred"):
            raise ValueError(f"lr_align is 'original' or 'centred', got {self.lr_align!r}")

    def _check_connected(self) -> None:
        count = len(self.hidden) + 1
        if len(self.kernels) != count or any(kernel not in (1, _KERNEL) for kernel in self.kernels):
            raise ValueError(
                f"{len(self.hidden)} hidden layers and the last one need {count} kernels of 1 or "
                f"3, got {self.kernels}"
            )
        if count > _MOST_LAYERS or any(width < 1 for width in self.hidden):
            raise ValueError(
                f"there are less than {_MOST_LAYERS} hidden layers of at least 1 feature, got "
                f"{self.hidden}"
            )
        if len(self.dropout) != count or any(not 0 <= share < 1 for share in self.dropout):
            raise ValueError(f"dropout is {count} shares in [0, 1), got {self.dropout}")
        if any(not 2 <= layer < count for layer in self.hidden_residual):
            raise ValueError(
                f"hidden_residual names layers from 2 to {count - 1}, got {self.hidden_residual}"
            )

    @classmethod
    def planned(cls, topology: Topology, member: str, /) -> dict[str, Any]:
        """Nothing: the network is the published one, whatever the images."""
        return {}

    @classmethod
    def small(cls) -> dict[str, Any]:
        """Fields for an eighth of the width."""
        made = cls()
        fields = {"features": made.features, "hidden": made.hidden}
        return {name: tuple(-(-n // 8) for n in widths) for name, widths in fields.items()}

    @property
    def ndim(self) -> int:
        """DeepMedic is a network of volumes."""
        return 3

    @property
    def multiple(self) -> tuple[int, ...]:
        """Any size needs no padding."""
        return (1, 1, 1)

    @property
    def margin(self) -> tuple[int, ...]:
        """What the coarsest path sees around the logits."""
        coarsest = max((1, *self.factors))
        return (coarsest * len(self.features) + _shift(self, coarsest),) * 3

    @property
    def period(self) -> tuple[int, ...]:
        """Each path repeats its voxels from the beginning of the tile on."""
        return (lcm(*self.factors),) * 3

    @property
    def rim(self) -> tuple[int, ...]:
        """Fully connected layers of 3 continue their border, a voxel each."""
        return (self.kernels.count(_KERNEL),) * 3

    @property
    def segment(self) -> tuple[int, ...]:
        """Logits of a training segment."""
        return (self.side - 2 * len(self.features),) * 3

    def tile(self, patch: tuple[int, ...]) -> tuple[int, ...]:
        """Logits of the published segments of inference, or just more; or `patch`, if larger."""
        least = _INFERENCE_SIDE - 2 * len(self.features)
        sides = zip(patch, self.period, strict=True)
        return tuple(-(-max(side, least) // step) * step for side, step in sides)

    def build(self, channels: int, classes: int) -> nn.Module:
        """Make the network, with He-initialised weights."""
        return DeepMedicNetwork(self, channels, classes)


class DeepMedicNetwork(nn.Module):
    """The module of all of them.

    Its paths are given in the order: full resolution, then that of `factors`.
    """

    def __init__(self, config: DeepMedicConfig, channels: int, classes: int) -> None:
        super().__init__()
        self.config = config
        high = _path(channels, config.features, config.residual)
        low = _path(channels, config.low_features, config.residual)
        self.paths = nn.ModuleList(Pathway(part) for part in (high, *[low] * len(config.factors)))
        found = config.features[-1] + len(config.factors) * config.low_features[-1]
        connected = Layers(
            (found, *config.hidden, classes),
            config.kernels,
            config.dropout,
            config.hidden_residual,
            padded=True,
            raw=False,
        )
        self.connected = Pathway(connected)
        self.bias = InputBias(classes)
        lay_out(self)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, channels, ...) to logits (B, classes, ...), smaller by the margin."""
        size = tuple(n - 2 * m for n, m in zip(x.shape[2:], self.config.margin, strict=True))
        if min(size) < 1:
            raise ValueError(
                f"DeepMedic gives no logits for {self.config.margin} voxels at each end, got an "
                f"image of {tuple(x.shape[2:])}; give it a larger one"
            )
        return self.put_together([part(x, self.config, f) for f in (1, *self.config.factors)])

    def put_together(self, inputs: Sequence[Tensor]) -> Tensor:
        """Logits from what each path sees."""
        found = [path(x) for path, x in zip(self.paths, inputs, strict=True)]
        size = found[0].shape[2:]
        for k, factor in enumerate(self.config.factors, start=1):
            found[k] = _repeated(found[k], factor, size)
        logits: Tensor = self.bias(self.connected(torch.cat(found, dim=1)))
        return logits


def part(x: Tensor, config: DeepMedicConfig, factor: int) -> Tensor:
    """What the path of a factor sees of (B, C, ...): every so many voxels of its middle."""
    lost = len(config.features)
    for axis, margin in enumerate(config.margin, start=2):
        blocks = -(-(x.shape[axis] - 2 * margin) // factor) + 2 * lost
        first = margin - factor * lost + _shift(config, factor)
        index = [slice(None)] * axis + [slice(first, first + (blocks - 1) * factor + 1, factor)]
        x = x[tuple(index)]
    return x


def _shift(config: DeepMedicConfig, factor: int) -> int:
    return factor // 2 if config.lr_align == "centred" else 0


def _path(channels: int, widths: tuple[int, ...], residual: tuple[int, ...]) -> Layers:
    kernels, dropout = (_KERNEL,) * len(widths), (0.0,) * len(widths)
    return Layers((channels, *widths), kernels, dropout, residual, padded=False, raw=True)


def _repeated(x: Tensor, factor: int, size: torch.Size) -> Tensor:
    """Each voxel so often along each axis, from the beginning on, up to a size."""
    x = functional.interpolate(x, scale_factor=factor, mode="nearest")
    for axis, length in enumerate(size, start=2):
        x = x.narrow(axis, 0, length)
    return x
