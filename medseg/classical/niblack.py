"""Niblack's local threshold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from medseg.classical.demands import no_seeds, one_channel
from medseg.classical.windows import Rule, brighter_than, reach_of
from medseg.parameter import parameter, require_legal
from medseg.segmenter import segment_with
from medseg.volume import Image, Labels

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Niblack:
    """Label 1 what is brighter than m - weight s, 0 elsewhere.

    m and s are mean and standard deviation of the window about a voxel. For structures under
    uneven light when the window is wider than they are: a positive weight takes more than
    what is brighter than the mean, a negative one less. In flat surroundings it labels about
    half of the noise, which `sauvola` doesn't; `local-gaussian` weighs what is near more.

    It is scikit-image's except near the border, beyond which that one mirrors the image and
    this one takes what there is.

    Parameters
    ----------
    window : float
        Width of the box about a voxel, mm; it holds whole voxels, an odd number along an axis.
    weight : float
        How many standard deviations below the mean the threshold lies.
    device : str
        auto, cpu, cuda or cuda:N.

    References
    ----------
    W. Niblack, "An introduction to digital image processing", Prentice-Hall, 1986; with others
    in O. D. Trier, T. Taxt, "Evaluation of binarization methods for document images", IEEE
    Trans. Pattern Anal. Mach. Intell. 17(3):312-315, 1995. doi:10.1109/34.368197
    """

    window: float = parameter(15.0, "(0, inf)", usual=(3, 100), log=True, unit="mm")
    weight: float = parameter(0.2, usual=(-2, 2))
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
        no_seeds(seeds, "niblack")
        values = one_channel(image, "niblack")
        rule = Rule(0.0, 1.0, -self.weight, 0.0)
        return brighter_than(values, mask, reach_of(self.window, spacing, "niblack"), rule)
