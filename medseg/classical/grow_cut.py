"""GrowCut: labels that conquer their neighbours, and tire where intensities change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from medseg.classical.demands import some_seeds
from medseg.classical.paths import Paths, Toll
from medseg.classical.session import Session
from medseg.parameter import parameter, require_legal
from medseg.segmenter import segment_with
from medseg.volume import Image, Labels

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class GrowCut:
    """Give each voxel to the label that comes to it with the greatest strength left.

    Seeds have a strength of 1. With each step to one of the 26 (2D: 8) neighbours it is
    multiplied by 1 - d / range, where d is the difference of intensities and the range that
    of the image (of several channels, the root mean square of d / range counts), and by
    exp(-fading · h), where h is the length of the step in mm. That is where the cellular
    automaton comes to rest, found by the strongest paths and not generation by generation.

    For rough scribbles in all regions, and objects that differ from their surroundings in
    intensity. Every voxel gets a label, so mark background too. It has next to nothing to
    adjust; one voxel that is very bright makes the range wide and all edges weak: clip the
    intensities before (`clip`). `geodesic` weighs contrast against length, `random-walker` has
    smooth borders where edges are weak.

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

    fading: float = parameter(0.001, "(0, inf)", usual=(1e-4, 0.1), log=True, unit="1/mm")
    device: str = "auto"

    def __post_init__(self) -> None:
        require_legal(self)

    def segment(
        self, image: Image, seeds: Labels | None = None, mask: Labels | None = None
    ) -> Labels:
        """Give each voxel its strongest label; of equals the lower, background last.

        A voxel to which no strength comes is background.
        """
        return segment_with(self.run, image, seeds, mask, self.device)

    def begin(self, image: Image, mask: Labels | None = None) -> Session:
        """Session in which further seeds only change what they conquer."""
        return Session(self._paths, image, mask, self.device)

    def run(
        self, image: Tensor, spacing: tuple[float, ...], seeds: Tensor | None, mask: Tensor | None
    ) -> Tensor:
        """Labels of a (C, ...) tensor."""
        known = some_seeds(seeds, mask, "grow-cut")
        return self._paths(image, spacing, mask).labels(known)

    def _paths(self, image: Tensor, spacing: tuple[float, ...], mask: Tensor | None) -> Paths:
        import torch

        scaled = torch.zeros_like(image)
        for channel, to in zip(image, scaled, strict=True):
            low, high = (channel if mask is None else channel[mask]).aminmax()
            if high > low:
                to.copy_((channel - low) / ((high - low) * len(image) ** 0.5))
        if mask is not None:
            scaled.masked_fill_(~mask, 0)
        return Paths(scaled, spacing, mask, Toll("strength", self.fading), "grow-cut")
