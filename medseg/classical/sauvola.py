"""Sauvola's local threshold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from medseg.classical.demands import no_seeds, one_channel
from medseg.classical.histogram import require_contrast
from medseg.classical.windows import Rule, brighter_than, reach_of
from medseg.parameter import INTENSITY, parameter, require_legal
from medseg.segmenter import segment_with
from medseg.volume import Image, Labels

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Sauvola:
    """Label 1 what is brighter than its surroundings ask for, 0 elsewhere.

    The threshold of a voxel is m (1 + weight (s / span - 1)), where m and s are mean and
    standard deviation of the window about it, and intensities are counted from the darkest
    one. Where little varies it lies below the mean, so that flat surroundings are bright as a
    whole; where much varies, near the mean. For cells, trabeculae or vessels under uneven
    light, when the window is wider than they are; it labels borders of whatever is larger.
    `niblack` does without `span`, and speckles flat surroundings; where the light is even,
    `otsu` is simpler, and a bias field is better taken out by `n4`.

    It is scikit-image's where the darkest intensity is 0, except near the border, beyond
    which that one mirrors the image and this one takes what there is.

    Parameters
    ----------
    window : float
        Width of the box about a voxel, mm; it holds whole voxels, an odd number along an axis.
    weight : float
        How much a lack of variation lowers the threshold.
    span : float, optional
        Largest standard deviation that is expected; default: half of the span of intensities.
    device : str
        auto, cpu, cuda or cuda:N.

    References
    ----------
    J. Sauvola, M. Pietikäinen, "Adaptive document image binarization", Pattern Recognit.
    33(2):225-236, 2000. doi:10.1016/S0031-3203(99)00055-2
    """

    window: float = parameter(15.0, "(0, inf)", usual=(3, 100), log=True, unit="mm")
    weight: float = parameter(0.2, usual=(0, 0.5))
    span: float | None = parameter(None, "(0, inf)", unit=INTENSITY)
    device: str = "auto"

    def __post_init__(self) -> None:
        require_legal(self)

    def segment(
        self, image: Image, seeds: Labels | None = None, mask: Labels | None = None
    ) -> Labels:
        """Label what is bright; `image` has one channel, and there are no seeds."""
        return segment_with(self.run, image, seeds, mask, self.device)

    def run(
        self, image: Tensor, spacing: tuple[float, ...], seeds: Tensor | None, mask: Tensor | None
    ) -> Tensor:
        """Labels of a (1, ...) tensor."""
        no_seeds(seeds, "sauvola")
        values = one_channel(image, "sauvola")
        inside = values.flatten() if mask is None else values[mask]
        low, high = require_contrast(inside, "sauvola")
        span = (high - low) / 2 if self.span is None else self.span
        rule = Rule(low, 1 - self.weight, 0.0, self.weight / span)
        return brighter_than(values, mask, reach_of(self.window, spacing, "sauvola"), rule)
