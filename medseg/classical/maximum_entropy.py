"""The threshold of maximum entropy, after Kapur."""

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
class MaximumEntropy(Thresholding):
    """Part bright from dark so that the entropies of both add up to the most.

    For bright structures of any size on a ground that is spread out itself, such as bone on
    soft tissue. It goes by how many intensities there are, not by how far they lie apart, so
    that a ground of one intensity misleads it: give a mask. Where both parts are bell-shaped,
    `kittler-illingworth` errs less. The last dark bin is that of SimpleITK.

    Parameters
    ----------
    bins : int
        Histogram bins between the lowest and the highest intensity.
    device : str
        auto, cpu, cuda or cuda:N.

    References
    ----------
    J. N. Kapur, P. K. Sahoo, A. K. C. Wong, "A new method for gray-level picture thresholding
    using the entropy of the histogram", Comput. Vis. Graph. Image Process. 29(3):273-285,
    1985. doi:10.1016/0734-189X(85)90125-2
    """

    called: ClassVar[str] = "maximum-entropy"
    bins: int = parameter(256, "[2, 65536]")
    device: str = "auto"

    def threshold(self, values: Tensor) -> float:
        """Intensity at which the bright part of a (n,) float32 tensor begins."""
        histogram = Histogram.of(values, self.bins, self.called)
        return histogram.behind(last_dark(histogram.counts))


def last_dark(counts: NDArray[np.int64]) -> int:
    """Bin that ends the dark part: where the entropies of both parts add up to the most.

    A part with shares p of all, P together, has the entropy log P - sum of (p log p) / P.
    """
    share = counts / counts.sum()
    terms = share * np.log(np.where(share > 0, share, 1))
    dark, dark_terms = np.cumsum(share)[:-1], np.cumsum(terms)[:-1]
    bright, bright_terms = np.cumsum(share[::-1])[-2::-1], np.cumsum(terms[::-1])[-2::-1]
    entropy = np.log(dark) - dark_terms / dark + np.log(bright) - bright_terms / bright
    return int(np.argmax(entropy))
