"""Filters that take the noise out of an image: Gaussian and median."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

from medseg.filters.filtering import filter_with
from medseg.parameter import parameter
from medseg.smoothing import gaussian
from medseg.volume import Image, Labels

if TYPE_CHECKING:
    from torch import Tensor

# Numbers that the torch path of the median holds at a time.
_MOST_AT_ONCE = 2**26


@dataclass(frozen=True)
class Gaussian:
    """Smooth each channel by a Gaussian, of the same width in mm along all axes.

    Against noise, and to find structures of a size; it blurs edges, which `median` keeps.
    The mask plays no part.

    Parameters
    ----------
    sigma : float
        Standard deviation, mm.
    device : str
        auto, cpu, cuda or cuda:N.
    """

    sigma: float = parameter(1.0, "(0, inf)", usual=(0.5, 4), log=True, unit="mm")
    device: str = "auto"

    def __post_init__(self) -> None:
        if not 0 < self.sigma < math.inf:
            raise ValueError(f"gaussian takes a width above 0 mm, got sigma={self.sigma}")

    def __call__(self, image: Image, mask: Labels | None = None) -> Image:
        """Smoothed image."""
        return filter_with(self.run, image, mask, self.device)

    def run(self, image: Tensor, spacing: tuple[float, ...], mask: Tensor | None) -> Tensor:
        """Smoothed (C, ...) tensor."""
        return gaussian(image, self.sigma, spacing)


@dataclass(frozen=True)
class Median:
    """Give each voxel the median of a box around it, in each channel.

    Against single wrong voxels, and noise where edges must stay sharp; it rounds corners and
    takes out what is thinner than half of the box. Beyond the border lies what lies on it. The
    mask plays no part.

    Parameters
    ----------
    radius : float
        How far the box reaches each way, mm; along an axis whose spacing is larger, it is one
        voxel thin.
    device : str
        auto, cpu, cuda or cuda:N.
    """

    radius: float = parameter(1.0, "(0, inf)", usual=(0.5, 4), log=True, unit="mm")
    device: str = "auto"

    def __post_init__(self) -> None:
        if not 0 < self.radius < math.inf:
            raise ValueError(f"median takes a radius above 0 mm, got radius={self.radius}")

    def __call__(self, image: Image, mask: Labels | None = None) -> Image:
        """Image of medians."""
        return filter_with(self.run, image, mask, self.device)

    def run(self, image: Tensor, spacing: tuple[float, ...], mask: Tensor | None) -> Tensor:
        """Medians of a (C, ...) tensor."""
        # A spacing of 0.3333 mm goes three times into a millimetre, whatever the rounding says.
        reach = tuple(math.floor(self.radius / step + 1e-3) for step in spacing)
        if image.is_cuda:
            return medians_in_torch(image, reach)
        import torch
        from scipy import ndimage

        size = (1, *(2 * n + 1 for n in reach))
        return torch.from_numpy(ndimage.median_filter(image.numpy(), size, mode="nearest"))


def medians_in_torch(image: Tensor, reach: tuple[int, ...]) -> Tensor:
    """Median of the box that reaches so many voxels each way, in torch alone, on any device.

    Parameters
    ----------
    image : (C, ...) tensor
    reach : tuple of int
        Of each axis but the first.
    """
    import torch

    around = image
    for axis, n in enumerate(reach, start=1):
        size = image.shape[axis]
        places = torch.arange(-n, size + n, device=image.device).clamp_(0, size - 1)
        around = around.index_select(axis, places)
    offsets = list(product(*(range(2 * n + 1) for n in reach)))
    medians = torch.empty_like(image)
    rows = max(1, _MOST_AT_ONCE // (len(offsets) * max(1, image[:, :1].numel())))
    for first in range(0, image.shape[1], rows):
        part = medians[:, first : first + rows]
        lengths = part.shape[1:]
        boxes = [
            around[
                :,
                first + offset[0] : first + offset[0] + lengths[0],
                *(slice(o, o + n) for o, n in zip(offset[1:], lengths[1:], strict=True)),
            ]
            for offset in offsets
        ]
        part.copy_(torch.stack(boxes).median(0).values)
    return medians
