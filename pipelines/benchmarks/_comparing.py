"""What the rows of classical.py share: the volume, a row, and how results agree."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import SimpleITK as sitk  # noqa: N813
import torch
from numpy.typing import NDArray

import medseg
from medseg import device as devices
from medseg.components import largest

OURS = "medseg"


@dataclass(frozen=True)
class Volume:
    """What all rows work on.

    Parameters
    ----------
    values : (i, j, k) float32 array
        One channel, in C order.
    spacing : tuple of float, mm
    bright : (i, j, k) bool array
        Voxels above Otsu's threshold.
    device : torch.device
        Where medseg works; the others stay on the CPU.
    """

    values: NDArray[np.float32]
    spacing: tuple[float, ...]
    bright: NDArray[np.bool_]
    device: torch.device

    @classmethod
    def of(cls, image: medseg.Image, device: str) -> "Volume":
        """First channel of an image."""
        image = image.channel(0)
        bright = medseg.method("otsu", device="cpu").segment(image).array > 0
        values = np.ascontiguousarray(image.array[0])
        spacing = image.grid.spacing
        return cls(values, spacing, np.ascontiguousarray(bright), devices.resolve(device))

    def tensor(self, array: NDArray) -> torch.Tensor:
        """Copy of an array on the device."""
        return torch.tensor(array, device=self.device)

    def to_sitk(self, array: NDArray) -> sitk.Image:
        """Array with the spacing of this volume."""
        image = sitk.GetImageFromArray(array)
        image.SetSpacing(self.spacing[::-1])
        return image


@dataclass(frozen=True)
class Row:
    """What is compared.

    Parameters
    ----------
    sides : mapping of str to function
        Name -> what is timed; one of them is `OURS`.
    agreement : function of (our result, another's)
        What to print of how far they agree.
    """

    sides: Mapping[str, Callable[[], Any]]
    agreement: Callable[[Any, Any], str]


def one_seed(volume: Volume) -> tuple[torch.Tensor, list[int]]:
    """Voxel in the middle of the bright ones, as a tensor and as SimpleITK takes it."""
    places = np.argwhere(largest(torch.from_numpy(volume.bright)).numpy())
    middle = places[np.linalg.norm(places - places.mean(axis=0), axis=1).argmin()]
    seeds = np.zeros(volume.values.shape, np.int32)
    seeds[tuple(middle)] = 1
    return volume.tensor(seeds), middle[::-1].tolist()


def same_labels(ours: NDArray, theirs: NDArray) -> str:
    """Share of equal labels."""
    return f"{(ours == theirs).mean():.4%} equal"
