"""Yen's threshold."""

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
class Yen(Thresholding):
    """Part bright from dark so that the histograms of both are as spread out as can be.

    For small bright structures on a ground that is spread out itself. On images whose ground
    is one intensity, as outside of a stripped brain, it parts that ground from all else: give
    a mask. `maximum-entropy` is its near relative, a little less drawn to rare intensities.
    The last dark bin is that of scikit-image.

    Parameters
    ----------
    bins : int
        Histogram bins between the lowest and the highest intensity.
    device : str
        auto, cpu, cuda or cuda:N.

    References
    ----------
    J.-C. Yen, F.-J. Chang, S. Chang, "A new criterion for automatic multilevel thresholding",
    IEEE Trans. Image Process. 4(3):370-378, 1995. doi:10.1109/83.366472
    """

    called: ClassVar[str] = "yen"
    bins: int = parameter(256, "[2, 65536]")
    device: str = "auto"

    def threshold(self, values: Tensor) -> float:
        """Intensity at which the bright part of a (n,) float32 tensor begins."""
        histogram = Histogram.of(values, self.bins, self.called)
        return histogram.behind(last_dark(histogram.counts))


def last_dark(counts: NDArray[np.int64]) -> int:
    """Bin that ends the dark part: where the correlations of both parts together are least."""
    share = counts / counts.sum()
    dark = np.cumsum(share)[:-1]
    correlation = np.cumsum(share**2)[:-1], np.cumsum(share[::-1] ** 2)[-2::-1]
    return int(np.argmax(2 * np.log(dark * (1 - dark)) - np.log(correlation[0] * correlation[1])))
