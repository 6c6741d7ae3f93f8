"""The threshold of minimum error, after Kittler and Illingworth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from medseg.classical.histogram import Histogram
from medseg.classical.thresholding import Thresholding
from medseg.parameter import parameter

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class KittlerIllingworth(Thresholding):
    """Part bright from dark as if both were bell-shaped, with the fewest errors.

    For parts of very different size or spread, where `otsu` cuts the larger one in two. It
    needs both to be about Gaussian: magnitude images without a mask, whose ground is not,
    may mislead it. `gaussian-mixture` is the same idea for more classes and channels. All
    thresholds are tried, so that the best is found; SimpleITK starts at the mean and may stop
    at another. The variance of a bin's own width is added to both, without which a part of
    one bin would be the best of all.

    Parameters
    ----------
    bins : int
        Histogram bins between the lowest and the highest intensity.
    device : str
        auto, cpu, cuda or cuda:N.

    References
    ----------
    J. Kittler, J. Illingworth, "Minimum error thresholding", Pattern Recognit. 19(1):41-47,
    1986. doi:10.1016/0031-3203(86)90030-0
    """

    called: ClassVar[str] = "kittler-illingworth"
    bins: int = parameter(256, "[2, 65536]")
    device: str = "auto"

    def threshold(self, values: Tensor) -> float:
        """Intensity at which the bright part of a (n,) float32 tensor begins."""
        histogram = Histogram.of(values, self.bins, self.called)
        return histogram.behind(last_dark(histogram.counts))


def last_dark(counts: NDArray[np.int64]) -> int:
    """Bin that ends the dark part, so that two Gaussians of the parts fit best."""
    cost = _cost(counts)[:-1] + _cost(counts[::-1])[-2::-1]
    return int(np.argmin(cost))


def _cost(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """P log(variance) - 2 P log P of the bins from the first to each, P their share of all."""
    place = np.arange(len(counts))
    number = np.cumsum(counts)
    mean = np.cumsum(counts * place) / number
    variance = np.cumsum(counts * place**2) / number - mean**2
    share = number / number[-1]
    # 1/12 is the variance of what is spread evenly over a bin.
    spread = np.log(np.maximum(variance, 0) + 1 / 12)
    cost: NDArray[np.float64] = share * spread - 2 * share * np.log(share)
    return cost
