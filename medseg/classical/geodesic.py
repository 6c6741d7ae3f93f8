"""Geodesic segmentation: the nearest seed along paths that avoid edges."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from medseg.classical.demands import some_seeds
from medseg.classical.paths import Paths, Toll
from medseg.classical.session import Interactive
from medseg.distance import geodesic_distance
from medseg.parameter import parameter
from medseg.segmenter import probabilities_with
from medseg.volume import BACKGROUND, Image, Labels

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Geodesic(Interactive):
    """Give each voxel to the label whose seeds are nearest along paths that avoid edges.

    A step of h mm over a difference of d standard deviations is √(h² + (contrast · d)²) mm
    long; of several channels, d is the root mean square. For corrections by clicks: a new seed
    changes the result in a moment, and only around it. Every voxel gets a label, of equally
    near ones the lower, background last; so mark background too. It leaks through a gap in an
    edge, and seeds in the middle of what they mark work best; `random-walker` closes gaps, and
    `graph-cut` needs no balance of seeds.

    Parameters
    ----------
    contrast : float
        Millimetres that a difference of one standard deviation of the image counts for; 0
        gives the nearest seed, without regard to the image.
    device : str
        auto, cpu, cuda or cuda:N.

    References
    ----------
    X. Bai, G. Sapiro, "A geodesic framework for fast interactive image and video segmentation
    and matting", ICCV 2007. doi:10.1109/ICCV.2007.4408931

    A. Criminisi, T. Sharp, A. Blake, "GeoS: geodesic image segmentation", ECCV 2008.
    doi:10.1007/978-3-540-88682-2_9
    """

    name: ClassVar[str] = "geodesic"

    contrast: float = parameter(50.0, "[0, inf)", usual=(1, 1000), log=True, unit="mm")
    device: str = "auto"

    def probabilities(
        self, image: Image, seeds: Labels | None = None, mask: Labels | None = None
    ) -> Image:
        """Share of each label of the seeds, background first, in [0, 1].

        Shares are inversely proportional to the distances, so of two labels each has the
        distance to the other, divided by the sum of both. Outside the mask, and where no path
        leads to a seed, background is certain.
        """
        return probabilities_with(self._shares, image, seeds, mask, self.device)

    def prepare(self, image: Tensor, spacing: tuple[float, ...], mask: Tensor | None) -> Paths:
        """Paths over the image."""
        return Paths(self._scaled(image, mask), spacing, mask, Toll("length"))

    def _scaled(self, image: Tensor, mask: Tensor | None) -> Tensor:
        """Intensities in the millimetres that they count for."""
        import torch

        scaled = torch.zeros_like(image)
        for channel, to in zip(image, scaled, strict=True):
            values = channel if mask is None else channel[mask]
            spread = float(values.double().std(correction=0))
            if spread > 0:
                torch.mul(channel, self.contrast / (spread * len(image) ** 0.5), out=to)
        return scaled if mask is None else scaled.masked_fill_(~mask, 0)

    def _shares(
        self, image: Tensor, spacing: tuple[float, ...], seeds: Tensor | None, mask: Tensor | None
    ) -> tuple[list[int], Tensor]:
        import torch

        known = some_seeds(seeds, mask, self.name)
        labels = [label for label in known.unique().tolist() if label > 0]
        values = self._scaled(image, mask)
        shares = torch.zeros((1 + len(labels), *known.shape), device=known.device)
        for share, label in zip(shares, [-1, *labels], strict=True):
            distance = geodesic_distance(values, known == label, spacing, 1.0, mask)
            share.copy_(distance.clamp_(min=1e-6).reciprocal_())
        for share, label in zip(shares, [-1, *labels], strict=True):
            share[known != BACKGROUND] = 0
            share[known == label] = 1
        total = shares.sum(0)
        shares[0, total == 0] = 1
        shares /= shares.sum(0)
        return [BACKGROUND, *labels], shares
