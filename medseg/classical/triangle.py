"""The triangle threshold."""

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
class Triangle(Thresholding):
    """Part the tail of a histogram from its peak, where it bends most.

    For histograms of one large peak and a long tail, such as vessels or a lesion in an organ
    given as mask, or a body in air: the tail needs no peak of its own. Where there are two
    peaks, `otsu` or `minimum` are the better choice. The bend is the bin that lies farthest
    below the line from the peak to the end of the longer tail; it is dark. That bin is
    scikit-image's.

    Parameters
    ----------
    bins : int
        Histogram bins between the lowest and the highest intensity.
    device : str
        auto, cpu, cuda or cuda:N.

    References
    ----------
    G. W. Zack, W. E. Rogers, S. A. Latt, "Automatic measurement of sister chromatid exchange
    frequency", J. Histochem. Cytochem. 25(7):741-753, 1977. doi:10.1177/25.7.70454
    """

    called: ClassVar[str] = "triangle"
    bins: int = parameter(256, "[2, 65536]")
    device: str = "auto"

    def threshold(self, values: Tensor) -> float:
        """Intensity at which the bright part of a (n,) float32 tensor begins."""
        histogram = Histogram.of(values, self.bins, self.called)
        return histogram.behind(last_dark(histogram.counts))


def last_dark(counts: NDArray[np.int64]) -> int:
    """Bin of the longer tail that lies farthest below the line from its end to the peak."""
    last, peak = len(counts) - 1, int(np.argmax(counts))
    if peak < last - peak:  # the tail is bright
        tail = counts[:peak:-1]
        return min(last - _bend(tail, int(counts[peak])), last - 1)
    return min(_bend(counts[:peak], int(counts[peak])), last - 1)


def _bend(tail: NDArray[np.int64], height: int) -> int:
    """Place in a tail, which leads up to a peak of that height, that is farthest below the line."""
    return int(np.argmax(height * np.arange(len(tail), dtype=np.float64) - len(tail) * tail))
