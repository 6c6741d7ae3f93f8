"""Training cases made ready once, and the mini-batches cut from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
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
from medseg.learning.damaging import damaged
from medseg.learning.distributed import Processes
from medseg.learning.framing import frame
from medseg.learning.partial import Unsure
from medseg.learning.placing import Warp, cut
from medseg.learning.plan import Plan
from medseg.learning.preparing import class_indices, prepare, resampled_classes
from medseg.sampling import Sampler, VoxelIndex, index_voxels

_SPATIAL = ("rotation", "scaling", "mirroring", "elastic", "elastic-2015", "b-spline")
_MIXING = ("histogram-matching",)
"""Augmentations that look at the other samples of the batch."""

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

    def split(self, parts: int) -> list[Batch]:
        """Return so many batches, as equal in size as can be; none of them is empty."""
        parts = min(parts, len(self.images))
        images, targets = self.images.tensor_split(parts), self.targets.tensor_split(parts)
        if self.weights is None:
            return [Batch(*part) for part in zip(images, targets, strict=True)]
        weights = self.weights.tensor_split(parts)
        return [Batch(*part) for part in zip(images, targets, weights, strict=True)]


@dataclass(frozen=True, eq=False)
class TrainingCase:
    """A case as patches are cut from it.

    Parameters
    ----------
    image : (C, ...) float32 tensor
        In memory, on the GPU, or a map of a file. After what the network of the plan sees there
        may be one channel more: how much each voxel weighs in the loss.
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
    unsure = Unsure.of(cases, plan)
    room = free_memory(torch.device("cpu")) // (2 * Processes.of_environment().local_count)
    seeds = np.random.SeedSequence(seed).spawn(len(cases))

    def read(k: int) -> TrainingCase:
        made = _read(cases[k], plan, np.random.default_rng(seeds[k]), weighing)
        classes = unsure.marked(made.classes.numpy(), cases[k], plan)
        return replace(made, classes=torch.from_numpy(classes))

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
        Names in `AUGMENTATIONS`. With any, the labels of an earlier network are `damaged`.
    seed : int
    share : tuple of int
        Numbers of the patches of a batch that are wanted; where it is empty, all are.
    """

    cases: Sequence[TrainingCase]
    plan: Plan
    size: int
    sampler: Sampler
    augmentations: tuple[str, ...]
    seed: int
    share: tuple[int, ...] = ()

    def at(self, step: int, device: torch.device) -> Batch:
        """Return the batch of a step, on `device`."""
        rng = np.random.default_rng([self.seed, step])
        centres = self.sampler([case.index for case in self.cases], self.size, rng)
        # A generator a patch, so that it is the same whichever others are wanted.
        rngs = rng.spawn(self.size)
        wanted = self.share or tuple(range(self.size))
        mixing = set(_MIXING) & set(self.augmentations)
        made = range(self.size) if mixing else wanted
        pairs = [self._cut(*centres[number], rngs[number], device) for number in made]
        images, targets = (torch.stack(parts) for parts in zip(*pairs, strict=True))
        images, found, weights = self._parted(images)
        own_rngs = [rngs[number] for number in made]
        for name in self._chosen(spatial=False):
            images = AUGMENTATIONS[name](images, own_rngs)
        if self.plan.earlier:
            inside = found > 0.5  # they were interpolated
            inside = damaged(inside, own_rngs) if self.augmentations else inside
            images = torch.cat([images, inside.to(images.dtype)], 1)
        if len(made) > len(wanted):
            own = torch.tensor(wanted, device=device)
            images, targets = images[own], targets[own]
            weights = None if weights is None else weights[own]
        return Batch(images, targets, weights)

    def _cut(
        self, number: int, voxel: Sequence[int], rng: np.random.Generator, device: torch.device
    ) -> tuple[Tensor, Tensor]:
        """Patch of a case about a voxel, turned and bent by chance, on `device`."""
        warp = self._still()
        for name in self._chosen(spatial=True):
            warp = AUGMENTATIONS[name](warp, rng)
        case = self.cases[number]
        image, target = cut(case.image, case.classes, voxel, self.plan.patch, warp)
        return image.to(device, non_blocking=True), target.to(device, non_blocking=True)

    def _still(self) -> Warp:
        axes = self.plan.axes
        return Warp(
            tuple(self.plan.spacing[axis] for axis in axes),
            tuple(self.plan.patch[axis] for axis in axes),
            tuple(k for k, axis in enumerate(axes) if axis in self.plan.mirror),
            margin=self.plan.network.margin,
        )

    def _parted(self, seen: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Images, earlier labels, and the weights that may follow them as one more channel."""
        channels, inputs = len(self.plan.channels), self.plan.inputs
        images, earlier = seen[:, :channels], seen[:, channels:inputs]
        if seen.shape[1] == inputs:
            return images, earlier, None
        return images, earlier, _inner(seen[:, inputs], self._still())

    def _chosen(self, *, spatial: bool) -> list[str]:
        return [name for name in self.augmentations if (name in _SPATIAL) == spatial]


class Ahead(AbstractContextManager["Ahead"]):
    """The batch of each step, the next one being made while this one is used.

    Parameters
    ----------
    batches : Batches
    device : torch.device
    """

    def __init__(self, batches: Batches, device: torch.device) -> None:
        self._batches, self._device = batches, device
        self._pool = ThreadPoolExecutor(1, "medseg-batches")
        self._coming: dict[int, Future[Batch]] = {}

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def take(self, step: int) -> Batch:
        """Return the batch of a step."""
        coming = self._coming.pop(step, None) or self._ask(step)
        self._coming[step + 1] = self._ask(step + 1)
        return coming.result()

    def _ask(self, step: int) -> Future[Batch]:
        return self._pool.submit(self._batches.at, step, self._device)


def _inner(seen: Tensor, warp: Warp) -> Tensor:
    """(B, *patch) of (B, *seen)."""
    for axis, (margin, side) in enumerate(zip(warp.margin, warp.patch, strict=True), start=1):
        seen = seen.narrow(axis, margin, side)
    return seen


def _read(
    case: Case, plan: Plan, rng: np.random.Generator, weighing: Weighing | None
) -> TrainingCase:
    weights, framed = case.weights(), frame(case.image(), case.mask(), plan.conventions)
    found = case.earlier() if plan.earlier else None
    earlier = None if found is None else framed.part(found)
    prepared = prepare(framed.image, plan, framed.mask, earlier)
    classes = class_indices(framed.part(case.labels()), plan)
    classes = resampled_classes(classes, prepared.native, plan)
    masses = None
    if weights is not None:
        plain = replace(plan, channels=("weights",), normalisations=(Identity(),), earlier=())
        masses = prepare(framed.part(weights), plain).image[0]
    ignored = classes == plan.ignored
    mask = _centres(prepared.mask, ignored, case)
    index = index_voxels(classes, plan.patch, rng, mask=mask, weights=masses)
    image = prepared.image
    if weighing is not None:
        weighed = _weighed(np.where(ignored, 0, classes), plan, weighing)
        image = np.concatenate([image, weighed[None]])
    # The compiled interpolation would copy them for each patch if they were not contiguous.
    image, classes = np.ascontiguousarray(image), np.ascontiguousarray(classes)
    return TrainingCase(torch.from_numpy(image), torch.from_numpy(classes), index)


def _centres(
    inside: NDArray[np.bool_] | None, ignored: NDArray[np.bool_], case: Case
) -> NDArray[np.bool_] | None:
    """Where patches may have their middle: inside a mask, on what is annotated."""
    if not ignored.any():
        return inside
    wanted = ~ignored if inside is None else inside & ~ignored
    if not wanted.any():
        raise ValueError(
            f"case {case.name} has no annotated voxel inside its mask; leave it out of training"
        )
    return wanted


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
