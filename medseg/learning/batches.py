"""Training cases made ready once, and the mini-batches cut from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medseg.dataset import Case
from medseg.device import available_threads, free_memory
from medseg.intensity import Identity
from medseg.learning import AUGMENTATIONS
from medseg.learning.placing import Warp, cut
from medseg.learning.plan import Plan
from medseg.learning.preparing import class_indices, prepare, resampled_classes
from medseg.sampling import Sampler, VoxelIndex, index_voxels

_SPATIAL = ("rotation", "scaling", "mirroring", "elastic", "elastic-2015", "b-spline")


Weighing = Callable[[NDArray[np.unsignedinteger], tuple[float, ...]], NDArray[np.floating]]


@dataclass(frozen=True, eq=False)
class Batch:
    """What an update learns from.

    Parameters
    ----------
    images : (B, C, ...) float32 tensor
        With the margin that the network sees.
    targets : (B, ...) integer tensor
        Class indices.
    weights : (B, ...) float32 tensor, optional
        How much each voxel of the targets weighs in the loss.
    """

    images: Tensor
    targets: Tensor
    weights: Tensor | None = None


@dataclass(frozen=True, eq=False)
class TrainingCase:
    """A case as patches are cut from it.

    Parameters
    ----------
    image : (C, ...) float32 tensor
        In memory, on the GPU, or a map of a file. After the channels of the plan there may be
        one more: how much each voxel weighs in the loss.
    classes : (...) integer tensor
    index : VoxelIndex
    """

    image: Tensor
    classes: Tensor
    index: VoxelIndex


def read_cases(
    cases: Sequence[Case],
    plan: Plan,
    device: torch.device,
    cache: Path,
    seed: int,
    *,
    weighing: Weighing | None = None,
) -> list[TrainingCase]:
    """Read, prepare and index the cases.

    They stay on the GPU where all fit in half of its free memory, else in main memory likewise,
    else in files in `cache`, from which patches are read as they are needed.

    Parameters
    ----------
    weighing : function of classes and spacing, optional
        Gives the weight of each voxel in the loss; one of `VOXEL_WEIGHTS`.
    """
    room = free_memory(torch.device("cpu")) // 2
    seeds = np.random.SeedSequence(seed).spawn(len(cases))

    def read(k: int) -> TrainingCase:
        return _read(cases[k], plan, np.random.default_rng(seeds[k]), weighing)

    first = read(0)
    needed = len(cases) * _size(first)
    with ThreadPoolExecutor(available_threads()) as pool:
        if needed > room:
            cache.mkdir(parents=True, exist_ok=True)
            stored = pool.map(lambda k: _on_disk(read(k), cache / cases[k].name), range(len(cases)))
            return list(stored)
        made = [first, *pool.map(read, range(1, len(cases)))]
    if device.type == "cuda" and sum(map(_size, made)) < free_memory(device) // 2:
        return [TrainingCase(c.image.to(device), c.classes.to(device), c.index) for c in made]
    return made


@dataclass(frozen=True, eq=False)
class Batches:
    """Mini-batches by the number of their step; the same number gives the same batch.

    Parameters
    ----------
    cases : sequence of TrainingCase
    plan : Plan
    size : int
        Patches of a batch.
    sampler : Sampler
    augmentations : tuple of str
        Names in `AUGMENTATIONS`.
    seed : int
    """

    cases: Sequence[TrainingCase]
    plan: Plan
    size: int
    sampler: Sampler
    augmentations: tuple[str, ...]
    seed: int

    def at(self, step: int, device: torch.device) -> Batch:
        """Return the batch of a step, on `device`."""
        rng = np.random.default_rng([self.seed, step])
        axes = self.plan.axes
        still = Warp(
            tuple(self.plan.spacing[axis] for axis in axes),
            tuple(self.plan.patch[axis] for axis in axes),
            tuple(k for k, axis in enumerate(axes) if axis in self.plan.mirror),
            margin=self.plan.network.margin,
        )
        images, targets = [], []
        for number, voxel in self.sampler([case.index for case in self.cases], self.size, rng):
            warp = still
            for name in self._chosen(spatial=True):
                warp = AUGMENTATIONS[name](warp, rng)
            case = self.cases[number]
            image, target = cut(case.image, case.classes, voxel, self.plan.patch, warp)
            images.append(image.to(device, non_blocking=True))
            targets.append(target.to(device, non_blocking=True))
        seen, channels = torch.stack(images), len(self.plan.channels)
        weights = None if seen.shape[1] == channels else _inner(seen[:, channels], still)
        batch = seen[:, :channels]
        for name in self._chosen(spatial=False):
            batch = AUGMENTATIONS[name](batch, rng)
        return Batch(batch, torch.stack(targets), weights)

    def _chosen(self, *, spatial: bool) -> list[str]:
        return [name for name in self.augmentations if (name in _SPATIAL) == spatial]


def _inner(seen: Tensor, warp: Warp) -> Tensor:
    """(B, *patch) of (B, *seen)."""
    for axis, (margin, side) in enumerate(zip(warp.margin, warp.patch, strict=True), start=1):
        seen = seen.narrow(axis, margin, side)
    return seen


def _read(
    case: Case, plan: Plan, rng: np.random.Generator, weighing: Weighing | None
) -> TrainingCase:
    mask, weights = case.mask(), case.weights()
    prepared = prepare(case.image(), plan, mask)
    classes = resampled_classes(class_indices(case.labels(), plan), prepared.native, plan)
    masses = None
    if weights is not None:
        plain = replace(plan, channels=("weights",), normalisations=(Identity(),))
        masses = prepare(weights, plain).image[0]
    index = index_voxels(classes, plan.patch, rng, mask=prepared.mask, weights=masses)
    image = prepared.image
    if weighing is not None:
        image = np.concatenate([image, _weighed(classes, plan, weighing)[None]])
    return TrainingCase(torch.from_numpy(image), torch.from_numpy(classes), index)


def _weighed(
    classes: NDArray[np.unsignedinteger], plan: Plan, weighing: Weighing
) -> NDArray[np.float32]:
    """Weight of each voxel; for a 2D network on volumes, slice by slice."""
    spacing = tuple(plan.spacing[axis] for axis in plan.axes)
    slices = set(range(classes.ndim)) - set(plan.axes)
    if not slices:
        return weighing(classes, spacing).astype(np.float32)
    (axis,) = slices
    each = [weighing(one, spacing) for one in np.moveaxis(classes, axis, 0)]
    return np.stack(each, axis).astype(np.float32)


def _size(case: TrainingCase) -> int:
    return case.image.nbytes + case.classes.nbytes


def _on_disk(case: TrainingCase, stem: Path) -> TrainingCase:
    def mapped(array: NDArray, suffix: str) -> Tensor:
        path = stem.with_name(f"{stem.name}{suffix}.npy")
        np.save(path, array)
        # Copy-on-write, as torch wants memory that it could write to.
        return torch.from_numpy(np.load(path, mmap_mode="c"))

    image = mapped(case.image.numpy(), "-image")
    return TrainingCase(image, mapped(case.classes.numpy(), "-classes"), case.index)
