"""What toolkits do differently on the way from an image to a network, and back.

A trained network knows images only as its makers brought them to it. Models of medseg have the
defaults; those that come from elsewhere say here how they want it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import permutations, product
from typing import Any

from medseg.registry import build

_CHOICES = {
    "orientation": (
        "stored",
        *("".join(codes) for axes in permutations(("RL", "AP", "SI")) for codes in product(*axes)),
    ),
    "crop": ("none", "nonzero"),
    "interpolation": ("linear", "cubic"),
    "slices": ("resampled", "kept"),
    "tiles": ("grown", "patch"),
    "window": ("centred", "half"),
}


@dataclass(frozen=True)
class Conventions:
    """How a volume is laid out, resampled and tiled.

    Parameters
    ----------
    orientation : str
        That in which the network sees images, as RAS or LPS; or "stored", as it lies in the file,
        whatever that is.
    crop : str
        "nonzero" leaves out what is 0 in all channels around an image; there, all is background.
    interpolation : str
        Of intensities: "linear", or "cubic" with slices that are more than 3 times as thick as
        their pixels taken from the nearest one. Logits are interpolated linearly, but for these
        slices.
    slices : str
        The spacing of the slice axis of a 2D network is "resampled" to that of the plan, or
        "kept".
    tiles : str
        "grown" takes a volume that is hardly larger than a patch at once, "patch" never.
    window : str
        Logits of a tile of n voxels weigh most at its middle, "centred", or at voxel n // 2,
        "half".
    mirrored : tuple of int
        The logits of a tile are the mean over its mirror images along all choices of these axes.
    """

    orientation: str = "RAS"
    crop: str = "none"
    interpolation: str = "linear"
    slices: str = "resampled"
    tiles: str = "grown"
    window: str = "centred"
    mirrored: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            if (value := getattr(self, name)) not in choices:
                raise ValueError(f"{name} is one of {', '.join(choices)}; got {value!r}")
        axes = tuple(self.mirrored)
        if len(set(axes)) < len(axes) or not set(axes) <= {0, 1, 2}:
            raise ValueError(f"mirrored names axes, each once, got {axes}")
        object.__setattr__(self, "mirrored", axes)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Conventions:
        """Conventions from their fields."""
        if not isinstance(content, Mapping):
            raise ValueError(f"conventions are an object, got {content!r}")
        return build(cls, content, "conventions")


OURS = Conventions()


def as_nnunet(mirrored: tuple[int, ...]) -> Conventions:
    """Return what nnU-Net does, but for the orientation, with tiles mirrored along some axes."""
    return Conventions(
        crop="nonzero",
        interpolation="cubic",
        slices="kept",
        tiles="patch",
        window="half",
        mirrored=mirrored,
    )
