"""Logits of a network on the grid of the image, a few rows and one class at a time.

So it takes hardly more memory than the labels, however many classes there are and however much
finer the image is than what the network sees.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import prod

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from medseg.learning.splines import nearest
from medseg.tiling import Slab, first_highest, outer

# Numbers that are interpolated at once: what a cache of the CPU holds, and what keeps a GPU busy.
_AT_ONCE = {"cpu": 2**19, "cuda": 2**24}


@dataclass(frozen=True, eq=False)
class Strip:
    """Some voxels of the second axis of the image's grid, and what of a volume they lie between.

    Parameters
    ----------
    seen : slice
        Voxels of the volume.
    lower, upper : (n,) int tensor
        Neighbours of each of the n voxels, of those that are seen.
    share : (n,) float tensor in [0, 1]
        Of the upper neighbour.
    """

    seen: slice
    lower: Tensor
    upper: Tensor
    share: Tensor

    def interpolated(self, logits: Tensor) -> Tensor:
        """(classes, rows, n, ...) of (classes, rows, seen, ...)."""
        share = self.share.to(logits.device).reshape(-1, *[1] * (logits.ndim - 3))
        lower, upper = (k.to(logits.device) for k in (self.lower, self.upper))
        return torch.lerp(logits[:, :, lower], logits[:, :, upper], share)


def strips(cuts: Sequence[int], size: int, *, near: bool) -> list[Strip]:
    """All `size` voxels of the second axis of the image's grid, in the strips of a volume.

    Parameters
    ----------
    cuts : sequence of int
        First voxel of each strip of the volume, and the end of the last one.
    size : int
    near : bool
        Whether the nearest voxels are taken, not interpolated.
    """
    lower, upper, share = _neighbours(cuts[-1], size, near=near)
    upper = torch.where(share > 0, upper, lower)  # so that no more is seen than is needed
    found = []
    for start, end in pairwise(cuts):
        some = (lower >= start) & (lower < end)
        if some.any():
            seen = slice(int(lower[some][0]), int(upper[some][-1]) + 1)
            low, high = lower[some] - seen.start, upper[some] - seen.start
            found.append(Strip(seen, low, high, share[some]))
    return found


@dataclass(frozen=True, eq=False)
class Stretch:
    """Rows of the image's grid, and the rows of a slab that they lie between.

    Parameters
    ----------
    slab : Slab
    lower, upper : (rows,) int tensor
        Neighbours of each row, of the rows of the slab.
    share : (rows,) float tensor in [0, 1]
        Of the upper neighbour.
    size : tuple of int
        Voxels of a row.
    thick : int, optional
        Axis of the rows along which the nearest voxel is taken.
    strip : Strip, optional
        Where a row is not whole.
    """

    slab: Slab
    lower: Tensor
    upper: Tensor
    share: Tensor
    size: tuple[int, ...]
    thick: int | None
    strip: Strip | None = None

    def logits(self) -> Tensor:
        """(classes, rows, *size) interpolated logits."""
        return self._interpolated(slice(None))

    def most_likely(self) -> Tensor:
        """(rows, *size) index of the class with the highest logit."""
        return self.chosen(first_highest)

    def chosen(self, choose: Callable[[Iterator[Tensor], int], Tensor]) -> Tensor:
        """(rows, *size) what `choose` makes of the logits of each class, and of their number."""
        classes = len(self.slab.total)
        each = (self._interpolated(slice(k, k + 1))[0] for k in range(classes))
        return choose(each, classes)

    def _interpolated(self, classes: slice) -> Tensor:
        total, weight = self.slab.total[classes], self.slab.weight[0]
        along = (-1, *[1] * len(self.size))
        between = total[:, self.lower] * ((1 - self.share) / weight[self.lower]).reshape(along)
        if self.share.any():
            factor = (self.share / weight[self.upper]).reshape(along)
            between.addcmul_(total[:, self.upper], factor)
        logits = between / outer(self.slab.weight[1:])
        if self.strip is not None:
            logits = self.strip.interpolated(logits)
        return _resized(logits, self.size, self.thick)


def stretches(
    slabs: Iterable[Slab],
    rows: int,
    shape: tuple[int, ...],
    *,
    thick: int | None = None,
    together: int = 1,
    strip: Strip | None = None,
) -> Iterator[Stretch]:
    """All rows of `shape`, as logits are interpolated linearly between those of slabs.

    Parameters
    ----------
    slabs : iterable of Slab
        All rows of the volume, in order.
    rows : int
        How many rows the slabs have together.
    shape : tuple of int
    thick : int, optional
        Axis of slices, which are taken from the nearest one.
    together : int
        Classes of which logits are wanted at the same time; stretches are the shorter for it.
    strip : Strip, optional
        What the slabs and the rows are of, where it is not all of the second axis.
    """
    lower, upper, share_of = _neighbours(rows, shape[0], near=thick == 0)
    size = shape[1:] if strip is None else (len(strip.lower), *shape[2:])
    along = None if not thick or (thick == 1 and strip is not None) else thick - 1
    done, last = 0, None
    for slab in slabs:
        # Rows between two slabs need the last one of the first and the first one of the second.
        for source in [slab] if last is None else [_joined(last, slab), slab]:
            ready = int((upper < source.start + source.total.shape[1]).sum())
            length = max(_AT_ONCE[source.total.device.type] // (together * prod(size)), 1)
            for start in range(done, ready, length):
                part = slice(start, min(start + length, ready))
                place = source.total.device
                low, high = ((k[part] - source.start).to(place) for k in (lower, upper))
                yield Stretch(source, low, high, share_of[part].to(place), size, along, strip)
            done = max(done, ready)
        last = _last(slab)
        del slab, source  # so that the sweep need not hold the next one beside them


def _neighbours(source: int, size: int, *, near: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Of each of `size` voxels, the two of `source` around it, and the share of the upper one."""
    at = (torch.arange(size) + 0.5) * source / size - 0.5
    at = nearest(source, size).float() if near else at.clamp(0, source - 1)
    lower = at.floor().long()
    return lower, (lower + 1).clamp_max(source - 1), at - lower


def gathered(parts: Iterator[Tensor], rows: int, *, axis: int) -> NDArray:
    """Join all parts of an array along its rows, without a second copy of them."""
    whole, first = None, 0
    for part in parts:
        if whole is None:
            shape = (*part.shape[:axis], rows, *part.shape[axis + 1 :])
            whole = torch.empty(shape, dtype=part.dtype)
        whole.narrow(axis, first, part.shape[axis]).copy_(part)
        first += part.shape[axis]
    assert whole is not None
    return whole.numpy()


def _joined(last: Slab, slab: Slab) -> Slab:
    """One row, and the first of the slab behind it."""
    weight = torch.cat([last.weight[0], slab.weight[0][:1]])
    total = torch.cat([last.total, slab.total[:, :1]], dim=1)
    return Slab(last.start, total, (weight, *slab.weight[1:]))


def _last(slab: Slab) -> Slab:
    """A copy of the last row, so that the others need not be kept for it."""
    weight = (slab.weight[0][-1:], *slab.weight[1:])
    start = slab.start + slab.total.shape[1] - 1
    return replace(slab, start=start, total=slab.total[:, -1:].clone(), weight=weight)


def _resized(logits: Tensor, size: tuple[int, ...], thick: int | None) -> Tensor:
    """(classes, rows, ...) with each row resized to `size`."""
    if thick is not None:
        near = nearest(logits.shape[thick + 2], size[thick]).to(logits.device)
        logits = logits.index_select(thick + 2, near)
    if logits.shape[2:] == size:
        return logits
    mode = "bilinear" if len(size) == 2 else "linear"
    return functional.interpolate(logits, size, mode=mode, align_corners=False)
