"""The isodata threshold, after Ridler and Calvard."""

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
class IsoData(Thresholding):
    """Part bright from dark half-way between their means.

    It is k-means with two classes on the histogram, and where `otsu` is the best of all
    partings, it is the lowest that no step of k-means changes: mostly the same. Prefer `otsu`
    unless this very threshold is wanted. The last dark bin is that of scikit-image.

    Parameters
    ----------
    bins : int
        Histogram bins between the lowest and the highest intensity.
    device : str
        auto, cpu, cuda or cuda:N.

    References
    ----------
    T. W. Ridler, S. Calvard, "Picture thresholding using an iterative selection method", IEEE
    Trans. Syst. Man Cybern. 8(8):630-632, 1978. doi:10.1109/TSMC.1978.4310039
    """

    called: ClassVar[str] = "isodata"
    bins: int = parameter(256, "[2, 65536]")
    device: str = "auto"

    def threshold(self, values: Tensor) -> float:
        """Intensity at which the bright part of a (n,) float32 tensor begins."""
        histogram = Histogram.of(values, self.bins, self.called)
        return histogram.behind(last_dark(histogram.counts))


def last_dark(counts: NDArray[np.int64]) -> int:
    """Return the first bin that lies half-way between the means of both parts.

    There is one: how far that middle lies above a bin is 0 or more at the first, below 1 at
    the last but one, and falls by 1 at most from bin to bin.
    """
    place = np.arange(len(counts))
    number, total = np.cumsum(counts), np.cumsum(counts * place)
    dark = total[:-1] / number[:-1]
    bright = (total[-1] - total[:-1]) / (number[-1] - number[:-1])
    above = (dark + bright) / 2 - place[:-1]
    return int(np.flatnonzero((above >= 0) & (above < 1))[0])
