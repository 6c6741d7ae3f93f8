"""The part of a volume that is explained: what a network sees at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from medseg.learning.passes import Passes
from medseg.tiling import folded, lattice, periodic_lattice, reflected


@dataclass(frozen=True)
class Window:
    """Where a tile lies in a volume, and what the network sees around it.

    Parameters
    ----------
    start : tuple of int
        First voxel of the tile, in voxels of the volume; below 0 where the volume is smaller.
    tile : tuple of int
        Voxels for which there are logits.
    margin : tuple of int
        Voxels at each end that are only seen. With a margin the volume goes on mirrored beyond
        its border, else with 0: as when it is segmented.
    shape : tuple of int
        Of the volume.
    """

    start: tuple[int, ...]
    tile: tuple[int, ...]
    margin: tuple[int, ...]
    shape: tuple[int, ...]

    @property
    def first(self) -> tuple[int, ...]:
        """First voxel that is seen, which may lie before the volume."""
        return tuple(start - m for start, m in zip(self.start, self.margin, strict=True))

    @property
    def sides(self) -> tuple[int, ...]:
        """Voxels that are seen."""
        return tuple(n + 2 * m for n, m in zip(self.tile, self.margin, strict=True))

    @property
    def box(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """First voxel and shape of the part of the volume that is seen."""
        ends = []
        for first, side, size in zip(self.first, self.sides, self.shape, strict=True):
            at = torch.arange(first, first + side)
            at = folded(at, size) if any(self.margin) else at.clamp(0, size - 1)
            ends.append((int(at.min()), int(at.max()) + 1))
        return tuple(a for a, _ in ends), tuple(b - a for a, b in ends)

    def seen(self, boxes: Tensor) -> Tensor:
        """(B, C, *sides) what the network sees, of (B, C, ...) voxels of the box."""
        corner, size = self.box
        flat = boxes.flatten(0, 1)  # (B * C, ...)
        before = [first - a for first, a in zip(self.first, corner, strict=True)]
        if any(self.margin):
            whole = reflected(flat, before, self.sides)
        else:
            pads: list[int] = []
            for start, side, n in zip(before, self.sides, size, strict=True):
                pads = [-start, side + start - n, *pads]
            whole = functional.pad(flat, pads) if any(pads) else flat
        found: Tensor = whole.unflatten(0, boxes.shape[:2])
        return found

    def of_tile(self, volume: NDArray) -> NDArray:
        """(*tile) voxels of a (*shape) volume, 0 beyond its border."""
        at, pads = [], []
        for start, side, size in zip(self.start, self.tile, self.shape, strict=True):
            a, b = max(start, 0), min(start + side, size)
            at.append(slice(a, b))
            pads.append((a - start, start + side - b))
        return np.pad(volume[tuple(at)], pads)


def window_on(region: NDArray[np.bool_], passes: Passes) -> Window:
    """The window with most of a region in its tile; of several, the most central one.

    Tiles of networks with a margin lie as when a volume is segmented, as what such a network
    says may depend on it.
    """
    tile = passes.tile(region.shape)
    starts = [
        _starts(size, side, period if passes.exact else None)
        for size, side, period in zip(region.shape, tile, passes.period, strict=True)
    ]
    counts: NDArray = region
    for axis, (first, side) in enumerate(zip(starts, tile, strict=True)):
        size = region.shape[axis]
        sums = np.cumsum(counts, axis, dtype=np.int64)
        sums = np.insert(sums, 0, 0, axis)
        ends = [np.clip(first + shift, 0, size) for shift in (side, 0)]
        counts = sums.take(ends[0], axis) - sums.take(ends[1], axis)
    best = np.argwhere(counts == counts.max())
    middle = best[np.abs(best - best.mean(0)).sum(1).argmin()]
    start = tuple(int(along[k]) for along, k in zip(starts, middle, strict=True))
    return Window(start, tile, passes.margin, region.shape)


def windows_over(shape: tuple[int, ...], passes: Passes) -> Iterator[Window]:
    """Windows whose tiles cover a volume."""
    tile = passes.tile(shape)
    if passes.exact:
        starts = periodic_lattice(shape, tile, 0.0, passes.period)
    else:
        large = tuple(map(max, shape, tile))
        before = [(n - size) // 2 for n, size in zip(large, shape, strict=True)]
        along = lattice(large, tile, 0.0)
        starts = [[k - b for k in axis] for axis, b in zip(along, before, strict=True)]
    for start in product(*starts):
        yield Window(start, tile, passes.margin, shape)


def _starts(size: int, side: int, period: int | None) -> NDArray[np.int64]:
    if period is not None:
        return np.arange(0, size, period)
    return np.arange(size - side + 1) if size >= side else np.array([-((side - size) // 2)])
