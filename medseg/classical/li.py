"""Li's threshold of minimum cross entropy."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from medseg.classical.histogram import parts_of, require_contrast, total_of
from medseg.classical.thresholding import Thresholding

if TYPE_CHECKING:
    from torch import Tensor

_MOST_ROUNDS = 1000


@dataclass(frozen=True)
class Li(Thresholding):
    """Part bright from dark so that the image of their two means is nearest to the image.

    Nearest in cross entropy, which weighs what is dark more than `otsu` does: for bright
    structures that vary much on a ground that varies little. It goes by the intensities
    themselves, not by a histogram, counted from the darkest one, and starts from their mean;
    the threshold is that of scikit-image.

    Parameters
    ----------
    device : str
        auto, cpu, cuda or cuda:N.

    References
    ----------
    C. H. Li, P. K. S. Tam, "An iterative algorithm for minimum cross entropy thresholding",
    Pattern Recognit. Lett. 19(8):771-776, 1998. doi:10.1016/S0167-8655(98)00057-9
    """

    called: ClassVar[str] = "li"
    device: str = "auto"

    def threshold(self, values: Tensor) -> float:
        """Intensity at which the bright part of a (n,) float32 tensor begins."""
        low, _ = require_contrast(values, self.called)
        return low + from_zero(values - low)


def from_zero(values: Tensor) -> float:
    """Threshold of a (n,) float32 tensor whose least value is 0.

    A threshold leads to the next one, (bright - dark) / (log bright - log dark) of the means
    of both parts, until the parts no longer change. Each leads to a lower cross entropy, so
    that none comes back.
    """
    total, number = total_of(values), len(values)
    found, before = total / number, -1
    for _ in range(_MOST_ROUNDS):
        count, bright = _above(values, found)
        dark = (total - bright) / (number - count)
        if count == before or dark <= 0:  # in the second case, only the darkest one is dark
            break
        before, bright = count, bright / count
        found = (bright - dark) / (math.log(bright) - math.log(dark))
    return found


def _above(values: Tensor, threshold: float) -> tuple[int, float]:
    """How many intensities reach the threshold, and their sum."""
    if values.is_cuda:
        bright = values[values >= threshold]
        return len(bright), total_of(bright)
    count, total = 0, 0.0
    for part in parts_of(values):
        is_bright = part >= np.float32(threshold)
        count += int(np.count_nonzero(is_bright))
        total += float((part * is_bright).sum())
    return count, total
