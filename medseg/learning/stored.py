"""Trained models that wait on the disk until they are asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medseg.learning.model import Model
from medseg.learning.plan import Plan
from medseg.learning.run import Run
from medseg.learning.scaling import Use
from medseg.volume import Image, Labels


@dataclass(frozen=True)
class Stored:
    """A trained model that is in memory only while it segments; a `Segmenter`.

    Parameters
    ----------
    folder : Path
        Of the run.
    device : str
    overlap : float
    mirrored : tuple of int, optional
    precision : str
    scaling : str
        All as for `Model.load`.
    """

    folder: Path
    device: str = "auto"
    overlap: float = 0.5
    mirrored: tuple[int, ...] | None = None
    precision: str = "auto"
    scaling: Use = "stored"

    @property
    def plan(self) -> Plan:
        """Its plan, without its weights."""
        return Plan.load(Run(self.folder).plan)

    def load(self) -> Model:
        """Load the model itself."""
        return Model.load(
            self.folder,
            self.device,
            overlap=self.overlap,
            mirrored=self.mirrored,
            precision=self.precision,
            scaling=self.scaling,
        )

    def segment(
        self, image: Image, seeds: Labels | None = None, mask: Labels | None = None
    ) -> Labels:
        """Load the model and give each voxel its most probable label."""
        return self.load().segment(image, seeds, mask)

    def probabilities(
        self, image: Image, seeds: Labels | None = None, mask: Labels | None = None
    ) -> Image:
        """Load the model and say how probable each label is."""
        return self.load().probabilities(image, seeds, mask)

    def stream(
        self,
        image: Image,
        seeds: Labels | None,
        mask: Labels | None,
        take: Callable[[NDArray[np.float32]], None],
    ) -> None:
        """Load the model and let it say that in parts; see `Model.stream`."""
        self.load().stream(image, seeds, mask, take)
