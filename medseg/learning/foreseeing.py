"""Say how much memory a prediction will take, before anything is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import torch

from medseg.crf import Refined
from medseg.dataset import Case
from medseg.device import free_memory, resident_memory
from medseg.io.nifti import outline
from medseg.learning.ensemble import Ensemble
from medseg.learning.footprint import Volume, footprint
from medseg.learning.inference import inference
from medseg.learning.memory import lack_of_room, require_room
from medseg.learning.model import Model
from medseg.learning.plan import Plan

_CPU = torch.device("cpu")
_SUFFIXES = ".nii", ".nii.gz"
_SHARE = 0.9
_LOOKED_AT = 16


class Foreseen(NamedTuple):
    """What is known before cases are read.

    Parameters
    ----------
    overlap : bool
        Whether a case can be read while another is computed and one more is written.
    said : str
        What the largest case takes at its peak; "" where it is not known.
    refused : mapping of str to str
        Cases that are too large to be read and prepared, and why.
    """

    overlap: bool = True
    said: str = ""
    refused: Mapping[str, str] = MappingProxyType({})


def foresee(model: Model | Ensemble | Refined, cases: Sequence[Case], *, maps: int = 0) -> Foreseen:
    """How much memory cases will take.

    It is found in the headers of the largest NIfTI files; of others, and of ensembles, nothing is
    known.

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
    if not isinstance(model, Model):
        return Foreseen()
    large = sorted(cases, key=_size, reverse=True)[:_LOOKED_AT]  # of a thousand, it would take long
    volumes = {case.name: volume for case in large if (volume := outlined(model.plan, case))}
    if not volumes:
        return Foreseen()
    largest = max(volumes.values(), key=lambda volume: volume.voxels)
    room, begun = free_memory(_CPU), resident_memory()
    refused = {name: why for name, one in volumes.items() if (why := _too_large(one, room))}
    try:
        with inference(model.network, model.device, model.precision):
            found = footprint(model, largest, maps=maps)
    except ValueError:
        if len(cases) == 1:
            raise
        return Foreseen(overlap=False, refused=refused)  # each says it when it is its turn
    fits = len(cases) == 1 or found.overlapped <= _SHARE * room
    if len(cases) == 1:
        require_room(found.peak, f"an image of {largest.grid.shape} voxels", _CPU)
    taken = begun + (found.overlapped if fits and len(cases) > 1 else found.peak)
    return Foreseen(fits, _said(taken, found.on_gpu, largest, room), refused)


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


def _size(case: Case) -> int:
    """Bytes of its files."""
    return sum(path.stat().st_size for path in case.channels if path.is_file())


def _too_large(volume: Volume, room: int) -> str:
    """Why a case can't be read and prepared; "" if it can."""
    what = f"an image of {volume.grid.shape} voxels, with what is made of it,"
    return lack_of_room(max(volume.reading, volume.preparing), what, room)


def _said(taken: int, on_gpu: int, volume: Volume, room: int) -> str:
    gpu = f", and {on_gpu / 1e9:.1f} GB of the GPU" if on_gpu else ""
    shape = " x ".join(map(str, volume.grid.shape))
    free = f"{room / 1e9:.2f} GB are free"
    return f"memory: about {taken / 1e9:.2f} GB at the most{gpu}, for {shape} voxels; {free}"
