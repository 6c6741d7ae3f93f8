"""Huang's threshold of minimum fuzziness."""

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
class Huang(Thresholding):
    """Part bright from dark so that each intensity is as clearly of its part as can be.

    An intensity belongs to its part the less, the farther it lies from the mean of that part;
    the entropy of all these memberships is least. For a ground and structures that are
    each of about one intensity; elsewhere many thresholds are about as good, and `otsu` is
    steadier. There SimpleITK, which rounds the means to whole bins, may find one that is ten
    bins away.

    Parameters
    ----------
    bins : int
        Histogram bins between the lowest and the highest intensity.
    device : str
        auto, cpu, cuda or cuda:N.

    References
    ----------
    L.-K. Huang, M.-J. J. Wang, "Image thresholding by minimizing the measures of fuzziness",
    Pattern Recognit. 28(1):41-51, 1995. doi:10.1016/0031-3203(94)E0043-K
    """

    called: ClassVar[str] = "huang"
    bins: int = parameter(256, "[2, 4096]")
    device: str = "auto"

    def threshold(self, values: Tensor) -> float:
        """Intensity at which the bright part of a (n,) float32 tensor begins."""
        histogram = Histogram.of(values, self.bins, self.called)
        return histogram.behind(last_dark(histogram.counts))


def last_dark(counts: NDArray[np.int64]) -> int:
    """Bin that ends the dark part, so that the memberships have the least entropy."""
    place = np.arange(len(counts))
    number, total = np.cumsum(counts), np.cumsum(counts * place)
    dark = total[:-1] / number[:-1]
    bright = (total[-1] - total[:-1]) / (number[-1] - number[:-1])
    fuzziness = [
        counts @ _entropy(np.abs(place - np.where(place <= last, dark[last], bright[last])), place)
        for last in place[:-1]
    ]
    return int(np.argmin(fuzziness))


def _entropy(away: NDArray[np.float64], place: NDArray[np.int64]) -> NDArray[np.float64]:
    """Entropy of a membership: 1 at the mean of a part, 1/2 as far away as all bins reach."""
    membership = 1 / (1 + away / place[-1])
    other = np.maximum(1 - membership, np.finfo(np.float64).tiny)  # 0 log 0 is 0
    entropy: NDArray[np.float64] = -membership * np.log(membership) - other * np.log(other)
    return entropy
