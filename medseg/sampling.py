"""Where the patches of a mini-batch are cut; `SAMPLERS` lists the ways to choose.

A case is looked through once: its `VoxelIndex` holds coordinates by class, at most so many of
each. From then on drawing a centre costs microseconds and needs no volume.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from medseg.registry import Registry

BACKGROUND_CLASS = 0


class Centre(NamedTuple):
    """Where to cut: the number of the case, and the voxel in the middle of the patch."""

    case: int
    voxel: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class VoxelIndex:
    """Where the classes of one case are.

    Parameters
    ----------
    shape : tuple of int
    voxels : mapping of int to (n, ndim) integer array
        Coordinates of each class that occurs, at most so many; inside the mask, if any.
    counts : mapping of int to int
        How many voxels the class really has.
    first, last : tuple of int
        Ends of the box from which centres are drawn where any voxel will do: the patch then
        lies inside the volume, or has the volume in its middle where it is the longer one.
    inside : (n, ndim) integer array, optional
        Coordinates inside the mask, which take the place of that box.
    weighted : (n, ndim) integer array, optional
        Coordinates drawn by the weight map.
    """

    shape: tuple[int, ...]
    voxels: Mapping[int, NDArray[np.integer]]
    counts: Mapping[int, int]
    first: tuple[int, ...]
    last: tuple[int, ...]
    inside: NDArray[np.integer] | None = None
    weighted: NDArray[np.integer] | None = None

    @property
    def foreground(self) -> tuple[int, ...]:
        """Classes that occur, background left out."""
        return tuple(c for c in self.voxels if c != BACKGROUND_CLASS)


Sampler = Callable[[Sequence[VoxelIndex], int, np.random.Generator], list[Centre]]


def index_voxels(
    classes: NDArray[np.integer],
    patch: tuple[int, ...],
    rng: np.random.Generator,
    *,
    mask: NDArray[np.bool_] | None = None,
    weights: NDArray[np.floating] | None = None,
    cap: int = 10_000,
) -> VoxelIndex:
    """Find the voxels of each class, and keep at most `cap` of each, drawn at random.

    Parameters
    ----------
    classes : (*shape,) integer array
    patch : tuple of int
        Voxels of the patches that will be cut.
    mask : (*shape,) bool array, optional
        Patches are centred inside.
    weights : (*shape,) array of numbers >= 0, optional
        How often a voxel becomes a centre, for the sampler "weighted".

    Raises
    ------
    ValueError
        If the mask is empty, or the weights are negative or all 0.
    """
    flat, shape = classes.ravel(), classes.shape

    def kept(where: NDArray[np.intp]) -> NDArray[np.integer]:
        if len(where) > cap:
            where = rng.choice(where, cap, replace=False, shuffle=False)
        return np.stack(np.unravel_index(where, shape), axis=1).astype(np.int32)

    inside = possible = None
    if mask is not None:
        possible = np.flatnonzero(mask)
        if not len(possible):
            raise ValueError("the mask is empty: there is no voxel to centre a patch on")
        inside, flat = kept(possible), flat[possible]
    voxels, counts = {}, {}
    for value in np.flatnonzero(np.bincount(flat)).tolist():
        where = np.flatnonzero(flat == value)
        voxels[value] = kept(where if possible is None else possible[where])
        counts[value] = len(where)
    weighted = None if weights is None else _drawn(weights, mask, cap, rng)
    first, last = _box(shape, patch)
    return VoxelIndex(shape, voxels, counts, first, last, inside, weighted)


def uniform(indices: Sequence[VoxelIndex], count: int, rng: np.random.Generator) -> list[Centre]:
    """Any place of any case where the patch lies inside the volume, or centred inside the mask."""
    return [_anywhere(indices, rng) for _ in range(count)]


def foreground(indices: Sequence[VoxelIndex], count: int, rng: np.random.Generator) -> list[Centre]:
    """Half of the patches on any foreground voxel, half on background, as DeepMedic draws.

    With an odd count, chance decides which half is the larger.
    """
    half = count // 2 + (count % 2) * int(rng.integers(2))
    centres = [_on_foreground(indices, rng) for _ in range(half)]
    return centres + [_on_class(indices, BACKGROUND_CLASS, rng) for _ in range(count - half)]


def balanced(indices: Sequence[VoxelIndex], count: int, rng: np.random.Generator) -> list[Centre]:
    """Each class equally, background too: within a batch, their numbers differ by one at most."""
    classes = sorted({c for index in indices for c in index.voxels})
    rounds = -(-count // len(classes))
    wanted = [c for _ in range(rounds) for c in rng.permutation(classes).tolist()]
    return [_on_class(indices, c, rng) for c in wanted[:count]]


def third_foreground(
    indices: Sequence[VoxelIndex], count: int, rng: np.random.Generator
) -> list[Centre]:
    """One third on a voxel of a foreground class, drawn first, the rest anywhere, as nnU-Net."""
    anywhere = round(count * 2 / 3)
    centres = [_anywhere(indices, rng) for _ in range(anywhere)]
    return centres + [_on_any_class(indices, rng) for _ in range(count - anywhere)]


def weighted(indices: Sequence[VoxelIndex], count: int, rng: np.random.Generator) -> list[Centre]:
    """Voxels as often as the weight map of their case says."""
    having = [k for k, index in enumerate(indices) if index.weighted is not None]
    if len(having) < len(indices):
        raise ValueError("the sampler 'weighted' needs a weight map for every case")
    cases = rng.choice(having, count)
    return [_one_of(int(k), indices[k].weighted, rng) for k in cases]


SAMPLERS: Registry[Sampler] = Registry(
    "sampler",
    {
        "uniform": ("medseg.sampling:uniform", "any voxel, inside the mask if there is one"),
        "foreground": ("medseg.sampling:foreground", "half foreground, half background"),
        "balanced": ("medseg.sampling:balanced", "each class equally, in every batch"),
        "third-foreground": ("medseg.sampling:third_foreground", "a third on foreground classes"),
        "weighted": ("medseg.sampling:weighted", "as often as a weight map says"),
    },
)


def _anywhere(indices: Sequence[VoxelIndex], rng: np.random.Generator) -> Centre:
    case = int(rng.integers(len(indices)))
    index = indices[case]
    if index.inside is not None:
        return _one_of(case, index.inside, rng)
    ends = zip(index.first, index.last, strict=True)
    return Centre(case, tuple(int(rng.integers(low, high + 1)) for low, high in ends))


def _on_class(indices: Sequence[VoxelIndex], wanted: int, rng: np.random.Generator) -> Centre:
    """A voxel of a class, in a case that has it; anywhere, where no case has."""
    having = [k for k, index in enumerate(indices) if wanted in index.voxels]
    if not having:
        return _anywhere(indices, rng)
    case = having[int(rng.integers(len(having)))]
    return _one_of(case, indices[case].voxels[wanted], rng)


def _on_foreground(indices: Sequence[VoxelIndex], rng: np.random.Generator) -> Centre:
    """Any foreground voxel of a case, large structures more often than small ones."""
    having = [k for k, index in enumerate(indices) if index.foreground]
    if not having:
        return _anywhere(indices, rng)
    case = having[int(rng.integers(len(having)))]
    classes = indices[case].foreground
    sizes = np.array([indices[case].counts[c] for c in classes], dtype=float)
    chosen = classes[int(rng.choice(len(classes), p=sizes / sizes.sum()))]
    return _one_of(case, indices[case].voxels[chosen], rng)


def _on_any_class(indices: Sequence[VoxelIndex], rng: np.random.Generator) -> Centre:
    """A voxel of a foreground class of a case, small structures as often as large ones."""
    case = int(rng.integers(len(indices)))
    classes = indices[case].foreground
    if not classes:
        return _anywhere([indices[case]], rng)._replace(case=case)
    return _one_of(case, indices[case].voxels[classes[int(rng.integers(len(classes)))]], rng)


def _one_of(case: int, voxels: NDArray[np.integer] | None, rng: np.random.Generator) -> Centre:
    assert voxels is not None
    chosen = voxels[int(rng.integers(len(voxels)))]
    return Centre(case, tuple(int(i) for i in chosen))


def _box(shape: tuple[int, ...], patch: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """First and last centre along each axis of patches inside the volume."""
    first, last = [], []
    for size, side in zip(shape, patch, strict=True):
        low, high = side // 2, size - (side - side // 2)
        if high < low:
            low = high = (size - side) // 2 + side // 2
        first.append(low)
        last.append(high)
    return tuple(first), tuple(last)


def _drawn(
    weights: NDArray[np.floating],
    mask: NDArray[np.bool_] | None,
    count: int,
    rng: np.random.Generator,
) -> NDArray[np.integer]:
    """Coordinates drawn with replacement, so that each later draw is uniform among them."""
    masses = np.where(mask, weights, 0) if mask is not None else weights
    total = masses.sum(dtype=np.float64)
    if (masses < 0).any() or not total > 0:
        raise ValueError("sampling weights are numbers >= 0, and not all 0 inside the mask")
    levels = np.cumsum(masses.ravel(), dtype=np.float64)
    where = np.searchsorted(levels, rng.uniform(0, total, count), side="right")
    return np.stack(np.unravel_index(where, masses.shape), axis=1).astype(np.int32)
