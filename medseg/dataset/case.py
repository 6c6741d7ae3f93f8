"""One subject: the files that belong to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medseg import io
from medseg.volume import Image, Labels

_NO_NAME = set("/\\\0")


@dataclass(frozen=True)
class Case:
    """One subject.

    Parameters
    ----------
    name : str
        Outputs are named after it.
    channels : tuple of Path
        A file or DICOM folder per channel, in order, or one that holds all.
    reference : Path, optional
        Its annotation, a label map.
    mask_file : Path, optional
        Where to look: 0 is outside.
    weight_file : Path, optional
        How often each voxel becomes the centre of a patch, for the sampler "weighted".
    earlier_file : Path, optional
        Labels that another network has found, which the second one of a cascade also sees.
    patient : str
        Cases of one patient never stand on both sides of a split. By default, each case is
        a patient of its own.
    annotated : tuple of int
        Labels that were looked for in the case; empty, all were. Where none of them is, may be
        any other.
    series : str
        UID or number of the DICOM series, where a channel is a folder of several.
    """

    name: str
    channels: tuple[Path, ...]
    reference: Path | None = None
    mask_file: Path | None = None
    weight_file: Path | None = None
    patient: str = ""
    series: str = ""
    earlier_file: Path | None = None
    annotated: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not self.name or self.name in (".", "..") or set(self.name) & _NO_NAME:
            raise ValueError(
                f"a case has a name that a file can have, as its output is called so; got "
                f"{self.name!r}"
            )

    def image(self, channels: int | None = None, nan: float | None = None) -> Image:
        """Read the channels, in order, as one image; see `medseg.read_image`."""
        return io.read_image(self.channels, channels=channels, nan=nan, series=self.series)

    def labels(self, names: Mapping[int, str] | None = None) -> Labels:
        """Read the annotation."""
        if self.reference is None:
            raise ValueError(f"case {self.name} has no annotation")
        return io.read_labels(self.reference, names)

    def mask(self) -> Labels | None:
        """Read the mask, if there is one: 1 inside, 0 outside."""
        if self.mask_file is None:
            return None
        image = io.read_image(self.mask_file, channels=1)
        return Labels((image.array[0] != 0).view(np.uint8), image.grid)

    def weights(self) -> Image | None:
        """Read the sampling weights, if there are any."""
        return None if self.weight_file is None else io.read_image(self.weight_file, channels=1)

    def earlier(self) -> Labels | None:
        """Read what another network has found, if it is there."""
        return None if self.earlier_file is None else io.read_labels(self.earlier_file)

    def files(self) -> tuple[Path, ...]:
        """All files of the case."""
        others = (self.reference, self.mask_file, self.weight_file, self.earlier_file)
        return (*self.channels, *(path for path in others if path is not None))
