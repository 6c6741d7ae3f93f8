"""What a user wants to know of a network."""

from __future__ import annotations

from dataclasses import dataclass

PARTS = {
    "filters": "the kernels that see the image itself",
    "activations": "what the features of a layer give",
    "grad-cam": "where a layer speaks for the region",
    "integrated-gradients": "what each voxel adds to the score of the region",
    "occlusion": "how the score falls where the image is hidden",
    "modalities": "how much each channel counts",
    "maximised": "images that excite a layer most",
    "patches": "patches of a data set that excite a layer most",
}


@dataclass(frozen=True)
class Questions:
    """What is explained, and how thoroughly.

    Parameters
    ----------
    label : str, optional
        Name or number of the label whose region is explained; by default the largest.
    layers : tuple of str
        Names of modules of the network. By default the coarsest one, and the one before the last
        convolution.
    parts : tuple of str
        Of `PARTS`; by default all.
    blocks : int
        About how many blocks are hidden, one after the other; of as many mm along each axis.
    steps : int
        Of the integrated gradients.
    features : int
        Of a layer, how many are looked at in `maximised` and `patches`: those whose changes count
        most for the score.
    patches : int
        Of each feature.
    ascent : int
        Steps of `maximised`.
    seed : int
    """

    label: str | None = None
    layers: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    blocks: int = 512
    steps: int = 32
    features: int = 8
    patches: int = 6
    ascent: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", tuple(self.layers))
        object.__setattr__(self, "parts", tuple(self.parts) or tuple(PARTS))
        if unknown := [part for part in self.parts if part not in PARTS]:
            raise ValueError(f"medseg explains {', '.join(PARTS)}; got {', '.join(unknown)}")
        for name in ("blocks", "steps", "features", "patches", "ascent"):
            if (number := getattr(self, name)) < 1:
                raise ValueError(f"{name} is at least 1, got {number}")
