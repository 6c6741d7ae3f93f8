"""Filters that map intensities one by one: clip, normalise and invert."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from medseg.filters.filtering import filter_with
from medseg.parameter import parameter
from medseg.volume import Image, Labels

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Clip:
    """Clip each channel to two of its percentiles, within the mask where there is one.

    Against single voxels far brighter or darker than the rest, which would stretch histograms.

    Parameters
    ----------
    low, high : float in [0, 100]
    device : str
        auto, cpu, cuda or cuda:N.
    """

    low: float = parameter(0.5, "[0, 100)", usual=(0, 10), unit="%")
    high: float = parameter(99.5, "(0, 100]", usual=(90, 100), unit="%")
    device: str = "auto"

    def __post_init__(self) -> None:
        if not 0 <= self.low < self.high <= 100:
            raise ValueError(
                "clip takes percentiles 0 <= low < high <= 100, "
                f"got low={self.low}, high={self.high}"
            )

    def __call__(self, image: Image, mask: Labels | None = None) -> Image:
        """Clipped image."""
        return filter_with(self.run, image, mask, self.device)

    def run(self, image: Tensor, spacing: tuple[float, ...], mask: Tensor | None) -> Tensor:
        """Clipped (C, ...) tensor."""
        import torch

        return torch.stack(
            [channel.clamp(*self._ends(_counted(channel, mask))) for channel in image]
        )

    def _ends(self, values: Tensor) -> tuple[float, float]:
        import numpy as np

        # Selecting is faster than sorting, but torch can only sort so many values.
        array = values.sort().values.cpu().numpy() if values.is_cuda else values.numpy()
        low, high = np.percentile(array, [self.low, self.high])
        return float(low), float(high)


@dataclass(frozen=True)
class Normalise:
    """Give each channel mean 0 and standard deviation 1, within the mask where there is one.

    For methods whose parameters are intensities, and for channels that are compared with one
    another. A channel that is constant there becomes 0 in the place of that constant.

    Parameters
    ----------
    device : str
        auto, cpu, cuda or cuda:N.
    """

    device: str = "auto"

    def __call__(self, image: Image, mask: Labels | None = None) -> Image:
        """Normalised image."""
        return filter_with(self.run, image, mask, self.device)

    def run(self, image: Tensor, spacing: tuple[float, ...], mask: Tensor | None) -> Tensor:
        """Normalised (C, ...) tensor."""
        import torch

        channels = []
        for channel in image:
            # In float64: a scanner's offset leaves float32 sums little room for the deviation.
            values = _counted(channel, mask).double()
            mean, deviation = values.mean(), values.std(correction=0)
            scale = torch.where(deviation > 0, 1 / deviation, 1.0)
            channels.append(((channel - mean) * scale).float())
        return torch.stack(channels)


@dataclass(frozen=True)
class Invert:
    """Turn each channel over, so that what is dark becomes bright and the range stays.

    For methods that look for what is bright, or for valleys, where it is the other way round:
    with `invert+basins`, regions are bright and the borders between them dark, as membranes
    are under the electron microscope.

    Parameters
    ----------
    device : str
        auto, cpu, cuda or cuda:N.
    """

    device: str = "auto"

    def __call__(self, image: Image, mask: Labels | None = None) -> Image:
        """Inverted image."""
        return filter_with(self.run, image, mask, self.device)

    def run(self, image: Tensor, spacing: tuple[float, ...], mask: Tensor | None) -> Tensor:
        """Inverted (C, ...) tensor; the range is that of the voxels of the mask."""
        import torch

        channels = []
        for channel in image:
            low, high = _counted(channel, mask).aminmax()
            channels.append(low + high - channel)
        return torch.stack(channels)


def _counted(channel: Tensor, mask: Tensor | None) -> Tensor:
    return channel.flatten() if mask is None else channel[mask]
