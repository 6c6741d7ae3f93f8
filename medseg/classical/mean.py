"""The mean as threshold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from medseg.classical.histogram import require_two_values, total_of
from medseg.classical.thresholding import Thresholding

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Mean(Thresholding):
    """Part bright from dark at the mean intensity.

    The simplest threshold of all and the fastest; right where bright and dark are about as
    many and as spread out, and a first guess elsewhere. It moves with how much ground there
    is around: `otsu` moves less.

    Parameters
    ----------
    device : str
        auto, cpu, cuda or cuda:N.

    References
    ----------
    C. A. Glasbey, "An analysis of histogram-based thresholding algorithms", CVGIP Graph.
    Models Image Process. 55(6):532-537, 1993. doi:10.1006/cgip.1993.1040
    """

    called: ClassVar[str] = "mean"
    device: str = "auto"

    def threshold(self, values: Tensor) -> float:
        """Mean of a (n,) float32 tensor."""
        require_two_values(values, self.called)
        return total_of(values) / len(values)
