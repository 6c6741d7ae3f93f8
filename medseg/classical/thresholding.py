"""What methods have in common that find one threshold for a whole image."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from medseg.classical.demands import no_seeds, one_channel
from medseg.parameter import require_legal
from medseg.segmenter import segment_with
from medseg.volume import Image, Labels

if TYPE_CHECKING:
    from torch import Tensor


class Thresholding(ABC):
    """Label 1 where it is as bright as the threshold or brighter, 0 elsewhere.

    Subclasses are frozen dataclasses, say under which name they are in `METHODS`, have a
    `device` as last field, and find the threshold. With a mask, only the intensities inside
    count.
    """

    called: ClassVar[str]
    device: str

    def __post_init__(self) -> None:
        require_legal(self)

    @abstractmethod
    def threshold(self, values: Tensor) -> float:
        """Intensity at which the bright part of a (n,) float32 tensor begins.

        Raises
        ------
        ValueError
            If all intensities are the same.
        """

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

        no_seeds(seeds, self.called)
        values = one_channel(image, self.called)
        found = self.threshold(values.flatten() if mask is None else values[mask])
        return (values >= found).to(torch.int32)
