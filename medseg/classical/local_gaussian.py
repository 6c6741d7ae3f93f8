"""A local threshold: the surroundings, weighted by a Gaussian."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from medseg.classical.demands import no_seeds, one_channel
from medseg.parameter import INTENSITY, parameter, require_legal
from medseg.segmenter import segment_with
from medseg.smoothing import gaussian
from medseg.volume import Image, Labels

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class LocalGaussian:
    """Label 1 what is brighter than its surroundings by more than `margin`, 0 elsewhere.

    The surroundings are the mean that a Gaussian weighs, which has no corners and no sudden
    end, unlike the box of `sauvola` and `niblack`. For spots, vessels and membranes thinner
    than `sigma` under uneven light, when their contrast is about the same everywhere; where
    it varies with the light, take `sauvola`.

    With sigma = (w - 1) / 6 mm and margin = 0 it is scikit-image's for a block of w voxels of
    1 mm, except near the border, beyond which that one mirrors the image and this one repeats
    its last voxel.

    Parameters
    ----------
    sigma : float
        Standard deviation of the Gaussian, mm.
    margin : float
        How much brighter it must be.
    device : str
        auto, cpu, cuda or cuda:N.

    References
    ----------
    M. Sezgin, B. Sankur, "Survey over image thresholding techniques and quantitative
    performance evaluation", J. Electron. Imaging 13(1):146-165, 2004. doi:10.1117/1.1631315
    """

    sigma: float = parameter(4.0, "(0, inf)", usual=(0.5, 20), log=True, unit="mm")
    margin: float = parameter(0.0, unit=INTENSITY)
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
        import torch

        no_seeds(seeds, "local-gaussian")
        values = one_channel(image, "local-gaussian")
        if mask is None:
            around = gaussian(values, self.sigma, spacing)
        else:
            inside = mask.to(values.dtype)
            # The mean of what is inside: 0 adds nothing to the sum nor to the weights.
            around = gaussian(torch.where(mask, values, 0), self.sigma, spacing)
            around /= gaussian(inside, self.sigma, spacing).clamp_(min=1e-30)
        return (values > around + self.margin).to(torch.int32)
