"""Ways of planning: what nnU-Net would take, and what medseg takes; `PRESETS` lists them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from medseg.registry import pick


@dataclass(frozen=True)
class Room:
    """What fits on a GPU, as nnU-Net measures it.

    Parameters
    ----------
    elements : float
        Numbers that the layers of the network give for one patch, at most, for `batch` patches.
    batch : int
    fewest : int
        The patch becomes smaller until so many of it fit.
    widest : int
        Most features of a level.
    """

    elements: float
    batch: int
    fewest: int
    widest: int


@dataclass(frozen=True)
class Preset:
    """How nnU-Net sizes a network.

    Parameters
    ----------
    network : str
        A name in `NETWORKS`.
    encoder : tuple of int
        Layers of each level of the encoder.
    decoder : int
        Layers of each level of the decoder.
    volumes, slices : Room
        Of 3D and of 2D networks, for the memory of `memory`.
    memory : float, GB
    share : float
        Of the voxels of the data set that a batch sees at most.
    width : int
        Features of the finest level.
    """

    network: str
    encoder: tuple[int, ...]
    decoder: int
    volumes: Room
    slices: Room
    memory: float
    share: float
    width: int = 32

    def with_memory(self, memory: float | None) -> Preset:
        """Return the same for so many GB; None for those that it has."""
        more = 1 if memory is None else memory / self.memory
        volumes = replace(self.volumes, elements=self.volumes.elements * more)
        slices = replace(self.slices, elements=self.slices.elements * more)
        return replace(self, volumes=volumes, slices=slices, memory=self.memory * more)


def _residual(volumes: float, slices: float, memory: float) -> Preset:
    # A stem and one block, then 3, 4, 6, 6, ... blocks of two convolutions, each level with one
    # convolution more, past its first block.
    layers = (3, 7, 9, *(13,) * 8)
    of_volumes, of_slices = Room(volumes, 2, 2, 320), Room(slices, 12, 12, 512)
    return Preset("residual-unet", layers, 2, of_volumes, of_slices, memory, share=1.0)


MEDSEG = "medseg"
PRESETS: Mapping[str, Preset | None] = MappingProxyType(
    {
        MEDSEG: None,
        "nnunet": Preset(
            "unet",
            (2,) * 11,
            3,
            Room(560e6, 2, 2, 320),
            Room(85e6, 12, 2, 512),
            memory=8,
            share=0.05,
        ),
        "nnunet-resenc-m": _residual(680e6, 135e6, 8),
        "nnunet-resenc-l": _residual(2.1e9, 380e6, 24),
    }
)
"""Name -> how nnU-Net sizes a network; None for medseg's own way.

References
----------
F. Isensee et al., "nnU-Net: a self-configuring method for deep learning-based biomedical image
segmentation", Nature Methods, 2021, doi:10.1038/s41592-020-01008-z; F. Isensee et al., "nnU-Net
revisited: a call for rigorous validation in 3D medical image segmentation", MICCAI 2024,
doi:10.1007/978-3-031-72114-4_47
"""


def preset_called(name: str) -> Preset | None:
    """Return the preset of a name; ValueError, which lists them, if there is none."""
    return pick(PRESETS, name, "preset")
