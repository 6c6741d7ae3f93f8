"""A threshold that what is connected to a higher one may cross."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from medseg.classical.demands import no_seeds, one_channel
from medseg.components import components
from medseg.parameter import INTENSITY, parameter, require_legal
from medseg.segmenter import segment_with
from medseg.volume import Image, Labels

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Hysteresis:
    """Label 1 what is brighter than `low` and connected to what is brighter than `high`.

    For vessels, lesions and edges whose borders are fainter than their cores: `high` is only
    reached by what is meant, `low` by all of it, and by noise elsewhere, which goes. It is
    region growing whose seeds are the brightest voxels; where you can click on what you mean,
    take `region-growing`.

    Parameters
    ----------
    low, high : float
        Both have to be given.
    connectivity : int
        What joins voxels: 1 faces, 2 edges too, 3 corners too.
    device : str
        auto, cpu, cuda or cuda:N.

    References
    ----------
    J. Canny, "A computational approach to edge detection", IEEE Trans. Pattern Anal. Mach.
    Intell. 8(6):679-698, 1986. doi:10.1109/TPAMI.1986.4767851
    """

    low: float | None = parameter(None, unit=INTENSITY)
    high: float | None = parameter(None, unit=INTENSITY)
    connectivity: int = parameter(1, "[1, 3]", usual=(1, 3))
    device: str = "auto"

    def __post_init__(self) -> None:
        require_legal(self)
        if self.low is None or self.high is None or self.low > self.high:
            raise ValueError(
                f"hysteresis takes low up to high, got low={self.low}, high={self.high}; "
                "as in --set low=100 --set high=200"
            )

    def segment(
        self, image: Image, seeds: Labels | None = None, mask: Labels | None = None
    ) -> Labels:
        """Label what is bright; `image` has one channel, and there are no seeds."""
        return segment_with(self.run, image, seeds, mask, self.device)

    def run(
        self, image: Tensor, spacing: tuple[float, ...], seeds: Tensor | None, mask: Tensor | None
    ) -> Tensor:
        """Labels of a (1, ...) tensor."""
        no_seeds(seeds, "hysteresis")
        values = one_channel(image, "hysteresis")
        low, high = cast(float, self.low), cast(float, self.high)
        inside = values > low if mask is None else (values > low) & mask
        numbered, count = components(inside, self.connectivity)
        kept = numbered.new_zeros(count + 1)
        # Outside the mask, and where only `low` was missed, the number is 0.
        kept[numbered[values > high]] = 1
        kept[0] = 0
        return kept[numbered]
