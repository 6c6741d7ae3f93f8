"""Spacing, patch, batch and levels as nnU-Net's formulas give them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from medseg.learning.presets import Preset
from medseg.networks.topology import Topology, feature_maps, topology

_LEVELS = 10
_PATCH_SIDE, _SLICE_SIDE = 256, 2048
# An axis counts as coarse where its voxels are so many times as long as all others.
_ANISOTROPIC = 3
# A patch that sees less of a volume than this asks for a network at a lower resolution, too.
_SEEN, _COARSER, _LOWER = 0.25, 1.03, 2
_FEWEST = 2


@dataclass(frozen=True)
class Sizes:
    """What a network sees at once, and its levels.

    Parameters
    ----------
    spacing : tuple of float, mm
    median : tuple of float
        Voxels of the median volume at this spacing.
    patch : tuple of int
    batch : int
    levels : Topology
    """

    spacing: tuple[float, ...]
    median: tuple[float, ...]
    patch: tuple[int, ...]
    batch: int
    levels: Topology


def target_spacing(spacings: NDArray[np.float64], shapes: NDArray[np.integer]) -> tuple[float, ...]:
    """Median spacing, but finer along an axis that is much coarser than the others.

    Where one axis is more than 3 times as coarse as any other, and has less than a third of
    their voxels, it takes the 10th percentile of its spacings, as long as this is not finer
    than the others.

    Parameters
    ----------
    spacings : (cases, axes) array, mm
    shapes : (cases, axes) array
    """
    target, size = np.median(spacings, axis=0), np.median(shapes, axis=0)
    axis = int(np.argmax(target))
    others, sizes = np.delete(target, axis), np.delete(size, axis)
    if target[axis] > _ANISOTROPIC * others.max() and _ANISOTROPIC * size[axis] < sizes.min():
        fine = float(np.percentile(spacings[:, axis], 10))
        target[axis] = fine if fine >= others.max() else others.max() + 1e-5
    return tuple(target.tolist())


def median_size(
    spacings: NDArray[np.float64], shapes: NDArray[np.integer], target: Sequence[float]
) -> tuple[float, ...]:
    """Median of the sizes of the cases at the target spacing, in voxels."""
    sizes = np.rint(spacings / np.array(target) * shapes)
    return tuple(np.median(sizes, axis=0).tolist())


def in_order(spacing: Sequence[float]) -> tuple[int, ...]:
    """Axes in the order in which nnU-Net takes those of a file: backward, in 3D coarsest first."""
    backward = list(range(len(spacing)))[::-1]
    if len(spacing) == 2:
        return tuple(backward)
    coarsest = max(backward, key=lambda axis: spacing[axis])
    return coarsest, *(axis for axis in backward if axis != coarsest)


def sized(
    preset: Preset,
    spacing: Sequence[float],
    median: Sequence[float],
    *,
    voxels: float,
    classes: int,
    patch: tuple[int, ...] | None = None,
) -> Sizes:
    """Return the largest patch for which there is room, and as many as fit in a batch.

    Parameters
    ----------
    preset : Preset
    spacing, median : sequence of float
        Mm and voxels; of axes that tie, the last one is shortened first.
    voxels : float
        Of all cases, in whole: few cases have small batches.
    classes : int
    patch : tuple of int, optional
        The one to take, whatever there is room for.
    """
    zooms = tuple(map(float, spacing))
    room = preset.volumes if len(zooms) == 3 else preset.slices
    largest = room.elements * room.batch / room.fewest
    first = patch or _first_patch(zooms, median)
    found, levels = _fitted(preset, zooms, first)
    while patch is None and _elements(preset, levels, found, classes) > largest:
        longest = np.array(found) / np.array(median)
        axis = len(found) - 1 - int(np.argmax(longest[::-1]))
        # A shorter side may be halved less often, so it is shortened by a step of its own.
        step = _fitted(preset, zooms, _less(found, axis, levels.multiple))[1].multiple
        shorter = _less(found, axis, step)
        if min(shorter) < 2:
            raise ValueError(
                f"no patch of a {preset.network} fits in {preset.memory:g} GB; plan for more "
                "with --set plan.memory=GB"
            )
        found, levels = _fitted(preset, zooms, shorter)
    batch = round(room.elements / _elements(preset, levels, found, classes) * room.batch)
    few = round(voxels * preset.share / prod(found))
    levels = Topology((*levels.kernels[:-1], (3,) * len(zooms)), levels.strides, levels.features)
    return Sizes(zooms, tuple(median), found, max(min(batch, few), _FEWEST), levels)


def lower_resolution(
    full: Sizes, again: Callable[[tuple[float, ...], tuple[float, ...]], Sizes]
) -> Sizes | None:
    """Sizes at a spacing so coarse that the patch sees a quarter of a volume; None if in vain.

    It is in vain where the patch of `full` sees as much already, or volumes become less than
    half as large.

    Parameters
    ----------
    full : Sizes
    again : function of spacing and median size
        Gives the sizes at another spacing.
    """
    spacing, median, sizes = np.array(full.spacing), np.array(full.median), full
    while prod(sizes.patch) / median.prod() < _SEEN:
        finer = spacing.max() / spacing > 2
        spacing = spacing * np.where(finer if finer.any() else True, _COARSER, 1)
        median = np.array(full.spacing) / spacing * np.array(full.median)
        sizes = again(tuple(spacing.tolist()), tuple(median.tolist()))
    return sizes if prod(full.median) / median.prod() >= _LOWER else None


def _first_patch(spacing: tuple[float, ...], median: Sequence[float]) -> tuple[int, ...]:
    """Patch of equal sides in mm, as large as is ever sensible, and no larger than a volume."""
    per_mm = 1 / np.array(spacing)
    side = _PATCH_SIDE if len(spacing) == 3 else _SLICE_SIDE
    sides = np.rint(per_mm * (side ** len(spacing) / per_mm.prod()) ** (1 / len(spacing)))
    return tuple(int(n) for n in np.minimum(sides, np.array(median)))


def _fitted(
    preset: Preset, spacing: tuple[float, ...], patch: tuple[int, ...]
) -> tuple[tuple[int, ...], Topology]:
    """Patch padded to what its levels divide, and these levels."""
    room = preset.volumes if len(spacing) == 3 else preset.slices
    levels = topology(spacing, patch, width=preset.width, levels=_LEVELS, widest=room.widest)
    padded = tuple(-(-n // m) * m for n, m in zip(patch, levels.multiple, strict=True))
    return padded, levels


def _less(patch: tuple[int, ...], axis: int, step: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(n - step[k] * (k == axis) for k, n in enumerate(patch))


def _elements(preset: Preset, levels: Topology, patch: tuple[int, ...], classes: int) -> int:
    return feature_maps(levels, patch, classes, preset.encoder, preset.decoder)
