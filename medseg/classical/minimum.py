"""The threshold at the minimum between two peaks, after Prewitt and Mendelsohn."""

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

_MOST_ROUNDS = 10_000
_PEAKS = 2


@dataclass(frozen=True)
class Minimum(Thresholding):
    """Part bright from dark at the lowest place between the two peaks of the histogram.

    The histogram is smoothed, by the mean of three bins, until just two peaks are left. For
    histograms with a true valley, where it cares little how large the peaks are, unlike
    `otsu`; a histogram that never has two peaks is refused: try `triangle`. The last dark bin
    is that of scikit-image.

    Parameters
    ----------
    bins : int
        Histogram bins between the lowest and the highest intensity.
    device : str
        auto, cpu, cuda or cuda:N.

    References
    ----------
    J. M. S. Prewitt, M. L. Mendelsohn, "The analysis of cell images", Ann. N. Y. Acad. Sci.
    128(3):1035-1053, 1966. doi:10.1111/j.1749-6632.1965.tb11715.x
    """

    called: ClassVar[str] = "minimum"
    bins: int = parameter(256, "[3, 4096]")
    device: str = "auto"

    def threshold(self, values: Tensor) -> float:
        """Intensity at which the bright part of a (n,) float32 tensor begins."""
        histogram = Histogram.of(values, self.bins, self.called)
        return histogram.behind(last_dark(histogram.counts))


def last_dark(counts: NDArray[np.int64]) -> int:
    """Bin of the minimum between the last two peaks that smoothing leaves.

    Raises
    ------
    ValueError
        If it leaves two peaks at no time.
    """
    heights = counts.astype(np.float64)
    for _ in range(_MOST_ROUNDS):
        peaks = _peaks(heights)
        if len(peaks) <= _PEAKS:
            break
        around = np.concatenate([heights[:1], heights, heights[-1:]])
        heights = (around[:-2] + heights + around[2:]) / 3
    if len(peaks) != _PEAKS:
        raise ValueError(
            "minimum takes a histogram that has two peaks once it is smoothed, and this one has "
            f"{len(peaks)}; try otsu or triangle, or fewer bins"
        )
    return int(peaks[0] + np.argmin(heights[peaks[0] : peaks[1] + 1]))


def _peaks(heights: NDArray[np.float64]) -> NDArray[np.int64]:
    """Last bin of each flat or pointed top; what rises up to the last bin is none.

    There the brightest voxel lies, mostly alone, so that it would be a top of its own.
    """
    steps = np.diff(heights)
    changes = np.flatnonzero(steps)
    falls = steps[changes] < 0
    rose = np.concatenate([[True], ~falls[:-1]])  # before the first bin, all rises
    found: NDArray[np.int64] = changes[falls & rose]
    return found
