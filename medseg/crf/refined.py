"""A method whose probabilities a dense CRF refines."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from medseg.crf.dense_crf import DenseCRF
from medseg.segmenter import Probabilistic, labels_of_channels, names_of
from medseg.volume import Image, Labels


@dataclass(frozen=True)
class Refined:
    """Anything that gives probabilities, and a CRF after it; a `Segmenter` and `Probabilistic`.

    Parameters
    ----------
    method : Probabilistic
        A trained model, an ensemble or a classical method.
    crf : DenseCRF
        It sees the image that the method gets.
    """

    method: Probabilistic
    crf: DenseCRF = field(default_factory=DenseCRF)

    def __post_init__(self) -> None:
        if not isinstance(self.method, Probabilistic):
            raise ValueError(
                f"a CRF refines probabilities, and {type(self.method).__name__} gives none; take "
                "one that does, such as gaussian-mixture, random-walker or a trained model"
            )
        plan = getattr(self.method, "plan", None)
        if plan is not None and plan.regions:
            raise ValueError("a CRF refines labels that do not overlap, and the model has regions")

    @property
    def plan(self) -> Any:
        """Plan of the method; AttributeError if it was not trained."""
        return getattr(self.method, "plan")  # noqa: B009 - Probabilistic promises none

    def segment(
        self, image: Image, seeds: Labels | None = None, mask: Labels | None = None
    ) -> Labels:
        """Give each voxel its label after the voxels have talked; see `DenseCRF.likeliest`."""
        return self.most_probable(self.probabilities(image, seeds, mask), seeds)

    def probabilities(
        self, image: Image, seeds: Labels | None = None, mask: Labels | None = None
    ) -> Image:
        """Refined probability of each label; outside the mask, background is certain.

        Where there are seeds, it is what the method says.
        """
        found = self.method.probabilities(image, seeds, mask)
        refined = self.crf.refine(found, image, mask)
        if seeds is None:
            return refined
        array = np.where(seeds.array != 0, found.array, refined.array)
        return Image(array, refined.grid, refined.names)

    def most_probable(self, probabilities: Image, seeds: Labels | None = None) -> Labels:
        """Labels of what `probabilities` gave; the same as `segment`."""
        names = names_of(self, seeds)
        values = np.array(labels_of_channels(probabilities, names))
        return Labels(values[self.crf.likeliest(probabilities.array)], probabilities.grid, names)
