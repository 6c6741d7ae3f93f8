"""Histograms of intensities, and the thresholds between their bins."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

_AT_ONCE = 2**16


@dataclass(frozen=True, eq=False)
class Histogram:
    """How many intensities lie in each of many bins between the lowest and the highest.

    Parameters
    ----------
    counts : (bins,) int64 array
        Neither the first nor the last is 0. What lies between two bins is in the upper one.
    low : float
        Where the first bin begins.
    width : float
        Of a bin.
    """

    counts: NDArray[np.int64]
    low: float
    width: float

    @classmethod
    def of(cls, values: Tensor, bins: int, method: str) -> Histogram:
        """Histogram of a (n,) float32 tensor; ValueError in the name of `method` if constant."""
        low, high = require_contrast(values, method)
        width = (high - low) / bins
        return cls(_counts(values, low, width, bins), low, width)

    def centre(self, position: float) -> float:
        """Intensity in the middle of a bin, or between bins."""
        return self.low + (position + 0.5) * self.width

    def behind(self, last: int) -> float:
        """Threshold that leaves the bins up to `last` dark: in the middle of what is empty."""
        occupied = np.flatnonzero(self.counts)
        first = np.searchsorted(occupied, last, side="right")
        return self.centre((occupied[first - 1] + occupied[first]) / 2)


def require_contrast(values: Tensor, method: str) -> tuple[float, float]:
    """Lowest and highest of a (n,) tensor; ValueError if they are the same."""
    import torch

    low, high = (float(end) for end in torch.aminmax(values))
    if low == high:
        raise ValueError(
            f"{method} can't part the intensities: the image is constant, "
            f"{low:g} everywhere it looked"
        )
    return low, high


def require_two_values(values: Tensor, method: str) -> None:
    """Do as `require_contrast`, faster, where neither end is asked for."""
    parts = [values] if values.is_cuda else values.split(_AT_ONCE)
    if not any(bool((part != values[0]).any()) for part in parts):
        require_contrast(values, method)


def total_of(values: Tensor) -> float:
    """Sum of a (n,) float32 tensor, as precise as one in float64 but for a few roundings."""
    import torch

    if values.is_cuda:
        return float(values.sum(dtype=torch.float64))
    # NumPy adds pairs of pairs, so that short parts lose next to nothing, in float32's time.
    return math.fsum(part.sum() for part in parts_of(values))


def parts_of(values: Tensor) -> list[NDArray[np.float32]]:
    """Short pieces of a (n,) tensor on the CPU: what is made of one stays in the cache."""
    return np.split(values.numpy(), range(_AT_ONCE, len(values), _AT_ONCE))


def _counts(values: Tensor, low: float, width: float, bins: int) -> NDArray[np.int64]:
    """Intensities in each bin; integers, as a float32 counter stops at 2^24.

    Divided, as whole numbers then lie on the ends of bins exactly; by a tensor, as CUDA would
    multiply by the inverse of a number.
    """
    import torch

    if values.is_cuda:
        divisor = torch.full((), width, device=values.device)
        place = ((values - low) / divisor).to(torch.int64).clamp_(0, bins - 1)
        on_host: NDArray[np.int64] = torch.bincount(place, minlength=bins).cpu().numpy()
        return on_host
    counts = np.zeros(bins + 1, np.int64)
    shifted = np.empty(_AT_ONCE, np.float32)
    for part in parts_of(values):
        own = np.subtract(part, np.float32(low), out=shifted[: len(part)])
        own /= np.float32(width)
        counts += np.bincount(own.astype(np.int64), minlength=bins + 1)[: bins + 1]
    counts[bins - 1] += counts[bins]  # the brightest
    return counts[:bins]
