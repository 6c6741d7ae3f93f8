"""How much memory a case will take, from the header of its file and the plan."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np
import torch

from medseg.device import free_memory
from medseg.learning.memory import require_room
from medseg.learning.model import Model
from medseg.learning.plan import Plan
from medseg.learning.preparing import target_grid
from medseg.volume import Grid, Labels, reorient

_FLOAT = 4
# A normalisation takes a channel in canonical orientation, and copies it twice.
_COPIES = 3
# Probabilities are rounded in copies before they are written.
_ROUNDED = 3


@dataclass(frozen=True)
class Volume:
    """A case before it is read.

    Parameters
    ----------
    plan : Plan
        Of the model that it is for.
    grid : Grid
    stored : int
        Bytes of a voxel in its files, of all channels.
    """

    plan: Plan
    grid: Grid
    stored: int

    @property
    def voxels(self) -> int:
        """How many it has."""
        return prod(self.grid.shape)

    @property
    def image(self) -> int:
        """Bytes of its intensities."""
        return _FLOAT * len(self.plan.channels) * self.voxels

    @property
    def shape_seen(self) -> tuple[int, ...]:
        """Voxels at the spacing of the plan."""
        hollow = np.broadcast_to(np.uint8(0), self.grid.shape)  # a byte
        return target_grid(reorient(Labels(hollow, self.grid)).grid, self.plan).shape

    @property
    def seen(self) -> int:
        """Bytes of what the network sees."""
        return _FLOAT * self.plan.inputs * prod(self.shape_seen)

    @property
    def reading(self) -> int:
        """Bytes at the peak of reading: what is stored, a copy, and what it becomes."""
        return self.image + 2 * self.stored * self.voxels

    @property
    def preparing(self) -> int:
        """Bytes at the peak of what is done to the image before the network sees it."""
        return 2 * self.image + max(_COPIES * _FLOAT * self.voxels, self.seen)


@dataclass(frozen=True)
class Footprint:
    """Bytes of RAM at each step of a case, beyond those of the process before it.

    Parameters
    ----------
    reading, preparing, passing, writing : int
        The network is passed while the image, what is seen of it, and the labels are there.
    on_gpu : int
        Of what is seen, the sums of the logits and the passes, if the network is on a GPU.
    """

    reading: int
    preparing: int
    passing: int
    writing: int
    on_gpu: int = 0

    @property
    def peak(self) -> int:
        """Of a case alone."""
        return max(self.reading, self.preparing, self.passing, self.writing)

    @property
    def overlapped(self) -> int:
        """While the next case is read and the one before is written, too."""
        return self.peak + self.reading + self.writing


def footprint(model: Model, volume: Volume, *, maps: int = 0, room: int | None = None) -> Footprint:
    """What it takes to find the labels of a case, about.

    A batch of tiles goes through the network, to see what that takes.

    Parameters
    ----------
    model : Model
    volume : Volume
    maps : int
        Numbers of each voxel that are asked for beside the labels, as probabilities.
    room : int, optional
        Bytes that the device of the model has left; by default those that are free now. The
        fewer, the smaller the parts in which the logits are summed up.

    Raises
    ------
    ValueError
        If it can't be done with so little.
    """
    what = f"an image of {volume.grid.shape} voxels at the spacing of the plan"
    require_room(volume.seen, what, torch.device("cpu"))
    device, shape = model.device, volume.shape_seen
    labels = (1 if model.plan.outputs <= 256 else 2) * volume.voxels
    shares = _FLOAT * maps * volume.voxels
    kept = volume.image + volume.seen + (shares or labels)
    on_gpu = device.type == "cuda"
    left = (free_memory(device) if room is None else room) - (volume.seen if on_gpu else kept)
    layout = model.passes.layout(shape, device, room=max(left, 0), strips=1 if maps else None)
    tiles = model.passes.tiles(shape, device, layout.tile)
    network = layout.summed + (layout.passing or model.passes.trial(tiles, device))
    return Footprint(
        volume.reading,
        volume.preparing,
        kept + (0 if on_gpu else network),
        volume.image + 2 * labels + _ROUNDED * shares,
        volume.seen + network if on_gpu else 0,
    )
