"""Say how much memory a prediction will take, before anything is read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch

from medseg.crf import Refined
from medseg.dataset import Case
from medseg.device import free_memory, resident_memory
from medseg.io.nifti import outline
from medseg.learning.ensemble import Ensemble
from medseg.learning.footprint import Volume, footprint
from medseg.learning.inference import inference
from medseg.learning.memory import require_room
from medseg.learning.model import Model
from medseg.learning.plan import Plan

_CPU = torch.device("cpu")
_SUFFIXES = ".nii", ".nii.gz"
_SHARE = 0.9


class Foreseen(NamedTuple):
    """What is known before cases are read.

    Parameters
    ----------
    overlap : bool
        Whether a case can be read while another is computed and one more is written.
    said : str
        What the largest case takes at its peak; "" where it is not known.
    """

    overlap: bool = True
    said: str = ""


def foresee(model: Model | Ensemble | Refined, cases: Sequence[Case], *, maps: int = 0) -> Foreseen:
    """How much memory cases will take.

    It is found in the headers of NIfTI files; of others, and of ensembles, nothing is known.

    Parameters
    ----------
    model : Model, Ensemble or Refined
    cases : sequence of Case
    maps : int
        Numbers of each voxel that are asked for beside the labels.

    Raises
    ------
    ValueError
        If an only case takes more than there is.
    """
    volumes = [volume for case in cases if (volume := outlined(model.plan, case))]
    if not volumes or not isinstance(model, Model):
        return Foreseen()
    largest = max(volumes, key=lambda volume: volume.voxels)
    room = free_memory(_CPU)
    try:
        with inference(model.network, model.device, model.precision):
            found = footprint(model, largest, maps=maps)
    except ValueError:
        if len(cases) == 1:
            raise
        return Foreseen(overlap=False)  # each case says it when it is its turn
    fits = len(cases) == 1 or found.overlapped <= _SHARE * room
    if len(cases) == 1:
        require_room(found.peak, f"an image of {largest.grid.shape} voxels", _CPU)
    taken = resident_memory() + (found.overlapped if fits and len(cases) > 1 else found.peak)
    return Foreseen(fits, _said(taken, found.on_gpu, largest, room))


def require_room_for_image(plan: Plan, case: Case) -> None:
    """Raise ValueError if a case is too large to be read and prepared, as its header says."""
    if volume := outlined(plan, case):
        what = f"an image of {volume.grid.shape} voxels, with what is made of it,"
        require_room(max(volume.reading, volume.preparing), what, _CPU)


def outlined(plan: Plan, case: Case) -> Volume | None:
    """What the headers of a case say; None if they say nothing, or not what the plan expects."""
    if not all(path.name.lower().endswith(_SUFFIXES) for path in case.channels):
        return None
    try:
        found = [outline(path) for path in case.channels]
    except (ValueError, OSError):  # reading it will say what is wrong
        return None
    grid = found[0][0]
    if grid.ndim != len(plan.spacing):
        return None
    return Volume(plan, grid, sum(stored for _, stored in found))


def _said(taken: int, on_gpu: int, volume: Volume, room: int) -> str:
    gpu = f", and {on_gpu / 1e9:.1f} GB of the GPU" if on_gpu else ""
    shape = " x ".join(map(str, volume.grid.shape))
    free = f"{room / 1e9:.2f} GB are free"
    return f"memory: about {taken / 1e9:.2f} GB at the most{gpu}, for {shape} voxels; {free}"
