"""GrowCut: labels that conquer their neighbours, and tire where intensities change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from medseg.classical.paths import Paths, Toll
from medseg.classical.session import Interactive
from medseg.parameter import parameter

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class GrowCut(Interactive):
    """Give each voxel to the label that comes to it with the greatest strength left.

    Seeds have a strength of 1. With each step to one of the 26 (2D: 8) neighbours it is
    multiplied by 1 - d / range, where d is the difference of intensities and the range that
    of the image (of several channels, the root mean square of d / range counts), and by
    exp(-fading · h), where h is the length of the step in mm. That is where the cellular
    automaton comes to rest, found by the strongest paths and not generation by generation.

    For rough scribbles in all regions, and objects that differ from their surroundings in
    intensity. Every voxel gets a label, of equally strong ones the lower, background last; so
    mark background too. It has next to nothing to adjust; one voxel that is very bright makes
    the range wide and all edges weak: clip the intensities before (`clip`). `geodesic` weighs
    contrast against length, `random-walker` has smooth borders where edges are weak.

    Parameters
    ----------
    fading : float
        How much strength a mm of way costs where nothing changes, as a share.
    device : str
        auto, cpu, cuda or cuda:N.

    References
    ----------
    V. Vezhnevets, V. Konouchine, "GrowCut: interactive multi-label N-D image segmentation by
    cellular automata", Graphicon 2005.

    L. Zhu, I. Kolesov, Y. Gao, R. Kikinis, A. Tannenbaum, "An effective interactive medical
    image segmentation method using fast GrowCut", MICCAI Workshop on Interactive Medical Image
    Computing 2014.
    """

    name: ClassVar[str] = "grow-cut"

    fading: float = parameter(0.001, "(0, inf)", usual=(1e-4, 0.1), log=True, unit="1/mm")
    device: str = "auto"

    def prepare(self, image: Tensor, spacing: tuple[float, ...], mask: Tensor | None) -> Paths:
        """Paths over the image."""
        import torch

        scaled = torch.zeros_like(image)
        for channel, to in zip(image, scaled, strict=True):
            low, high = (channel if mask is None else channel[mask]).aminmax()
            if high > low:
                to.copy_((channel - low) / ((high - low) * len(image) ** 0.5))
        if mask is not None:
            scaled.masked_fill_(~mask, 0)
        return Paths(scaled, spacing, mask, Toll("strength", self.fading))
