"""Run a network over a volume larger than its patch.

Tiles lie on a lattice that covers every voxel. Their logits are added up with weights that are
highest in the middle of a tile, in a slab that moves along the first axis: as soon as no later
tile touches a row, it leaves. So no more than a slab of logits is ever in memory, however large.

A network may see a margin around each tile, for which it gives no logits. Beyond the volume, that
margin is the volume mirrored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from medseg.device import zeros_apart

Corner = tuple[int, ...]


def centred(side: int) -> Tensor:
    """Weights along a tile: a Gaussian about its middle, an eighth of the side wide."""
    return _gaussian(side, (side - 1) / 2)


def at_half(side: int) -> Tensor:
    """The same about voxel `side // 2`, as nnU-Net has it."""
    return _gaussian(side, side // 2)


def _gaussian(side: int, middle: float) -> Tensor:
    return torch.exp(-0.5 * (8 * (torch.arange(side) - middle) / side) ** 2)


@dataclass(frozen=True, eq=False)
class Slab:
    """Rows of the first axis whose logits are final.

    Parameters
    ----------
    start : int
        First row, in voxels of the volume.
    total : (classes, rows, ...) float tensor
        Weighted sum of the logits of all tiles.
    weight : tuple of tensor
        One vector an axis, whose outer product is the sum of the weights.
    """

    start: int
    total: Tensor
    weight: tuple[Tensor, ...]

    def logits(self) -> Tensor:
        """Weighted mean of the logits; `total` is as good where only their order matters."""
        return self.total / outer(self.weight)


def lattice(shape: tuple[int, ...], patch: tuple[int, ...], overlap: float) -> list[list[int]]:
    """First voxels, along each axis, of evenly spread tiles that cover `shape`.

    Parameters
    ----------
    shape, patch : tuple of int
        Voxels; no patch side may exceed the volume's.
    overlap : float in [0, 1)
        Share of a patch side by which neighbours overlap at least.

    Returns
    -------
    list of list of int
        The tiles are the product of these.
    """
    if not 0 <= overlap < 1:
        raise ValueError(f"overlap is a share in [0, 1), got {overlap}")
    starts = []
    for size, side in zip(shape, patch, strict=True):
        if side > size:
            raise ValueError(f"patch {patch} does not fit in {shape}; pad the volume first")
        steps = -(-(size - side) // max(int(side * (1 - overlap)), 1))
        starts.append([round(k * (size - side) / max(steps, 1)) for k in range(steps + 1)])
    return starts


def periodic_lattice(
    shape: tuple[int, ...], patch: tuple[int, ...], overlap: float, period: tuple[int, ...]
) -> list[list[int]]:
    """First voxels, along each axis, of tiles that start on multiples of `period`.

    As `lattice`, but the last tiles may reach beyond the volume.

    Raises
    ------
    ValueError
        If a patch is shorter than the period, so that tiles can't meet.
    """
    if not 0 <= overlap < 1:
        raise ValueError(f"overlap is a share in [0, 1), got {overlap}")
    if any(side < step for side, step in zip(patch, period, strict=True)):
        raise ValueError(f"tiles start on multiples of {period}, got shorter ones: {patch}")
    starts = []
    for size, side, step in zip(shape, patch, period, strict=True):
        stride = max(int(side * (1 - overlap)) // step, 1) * step
        starts.append([k * stride for k in range(max(-(-(size - side) // stride), 0) + 1)])
    return starts


def sweep(  # noqa: PLR0913 - each is a number that the caller chooses
    network: Callable[[Tensor], Tensor],
    volume: Tensor,
    patch: tuple[int, ...],
    classes: int,
    *,
    overlap: float = 0.5,
    batch: int = 1,
    mask: Tensor | None = None,
    margin: tuple[int, ...] | None = None,
    period: tuple[int, ...] | None = None,
    window: Callable[[int], Tensor] = centred,
    sums: torch.dtype = torch.float32,
    strip: slice | None = None,
) -> Iterator[Slab]:
    """Logits of a volume, a slab of rows at a time, from the first row to the last.

    Parameters
    ----------
    network : function of (B, C, *patch) -> (B, classes, *patch)
        It must leave its input as it is, which may be a view of the volume.
    volume : (C, ...) float tensor
        Padded with 0 on both sides where it is smaller than `patch`; mirrored where there is a
        margin.
    patch : tuple of int
        Logits of a tile.
    classes : int
    overlap : float in [0, 1)
    batch : int
        Tiles that the network sees at once.
    mask : (...) bool tensor, optional
        Tiles that lie wholly outside are skipped; there, logits are 0.
    margin : tuple of int, optional
        Voxels at each end by which a network sees more than it gives logits for: it is then a
        function of (B, C, *(patch + 2 * margin)).
    period : tuple of int, optional
        With a margin, tiles start on multiples of it.
    window : function of int -> (side,) tensor
        Weights of the logits along a tile of so many voxels.
    sums : torch.dtype
        In which weighted logits are added up. Half the memory is bfloat16's, which is exact to
        some thousandths; float16 has no numbers for the weights in the corners of a volume.
    strip : slice, optional
        Voxels of the second axis that the slabs are of, all by default. Tiles that touch none of
        them are left out, so that a volume in strips takes less memory, and some tiles twice.

    Yields
    ------
    Slab
        Its rows are those of `volume`; the slabs follow on each other without a gap.
    """
    size = tuple(volume.shape[1:])
    before = (0,) * len(size)
    if margin is None:
        margin = before
        before = tuple(max(p - n, 0) // 2 for p, n in zip(patch, size, strict=True))
        volume, mask = _at_least(volume, patch), None if mask is None else _at_least(mask, patch)
        starts = lattice(tuple(volume.shape[1:]), patch, overlap)
    else:
        starts = periodic_lattice(size, patch, overlap, period or (1,) * len(size))
    windows = tuple(window(side).to(volume.device) for side in patch)
    gaussian = outer(windows)
    weights = [*map(_summed, windows, starts, before, size)]
    # Voxels of a row that are summed up, of those that tiles cover.
    box = [slice(first, first + n) for first, n in zip(before[1:], size[1:], strict=True)]
    if strip is not None:
        weights[1] = weights[1][strip]
        box[0] = slice(before[1] + strip.start, before[1] + strip.stop)
        starts[1] = [s for s in starts[1] if s < box[0].stop and s + patch[1] > box[0].start]
    sides = [along.stop - along.start for along in box]
    layers = _groups(starts[0], -(-batch // prod(map(len, starts[1:]))))
    ends = [layer[-1] + patch[0] for layer in layers]
    edges = sorted({*(layer[0] for layer in layers), *ends})
    # First row -> sums of the rows that tiles have reached, and later ones may reach again.
    blocks: dict[int, Tensor] = {}
    begun = 0
    for layer, end, after in zip(
        layers, ends, [*(k[0] for k in layers[1:]), ends[-1]], strict=True
    ):
        while edges[begun] < end:
            first, last = edges[begun : begun + 2]
            blocks[first] = zeros_apart((classes, last - first, *sides), sums, volume.device)
            begun += 1
        corners = list(product(layer, *starts[1:]))
        if mask is not None:
            corners = [corner for corner in corners if mask[_at(corner, patch)].any()]
        for group in _groups(corners, batch):
            logits = network(_cut(volume, group, patch, margin))
            _add(logits, blocks, group, gaussian, box)
            del logits  # a class may take as much memory as the volume
        for first in [first for first in blocks if first < after]:
            slab = _slab(first - before[0], blocks.pop(first), size[0], weights)
            if slab.total.shape[1]:
                yield slab
            del slab


def reflected(volume: Tensor, first: Sequence[int], sides: Sequence[int]) -> Tensor:
    """(C, *sides) voxels of (C, ...) from `first` on, mirrored at its border where it ends.

    The voxels of the border itself are not repeated. What lies inside is a view.
    """
    odd = []
    for axis, (start, side) in enumerate(zip(first, sides, strict=True), start=1):
        size = volume.shape[axis]
        if start >= 0 and start + side <= size:
            volume = volume.narrow(axis, start, side)
        else:
            odd.append((axis, folded(torch.arange(start, start + side), size)))
    for axis, index in odd:
        volume = volume.index_select(axis, index.to(volume.device))
    return volume


def folded(coordinates: Tensor, size: int) -> Tensor:
    """Coordinates of a mirrored axis, in voxels, as those inside its `size` voxels."""
    around = coordinates.remainder(max(2 * (size - 1), 1))
    return torch.minimum(around, 2 * (size - 1) - around).clamp_min(0)


def most_likely(logits: Tensor) -> Tensor:
    """Index of the highest of (classes, ...) logits, the first of equals; uint8 or int16.

    Seven times faster than `argmax` on the CPU, which takes one voxel after the other.
    """
    return first_highest(iter(logits), len(logits))


def first_highest(logits: Iterator[Tensor], classes: int) -> Tensor:
    """`most_likely` of logits that come one class after the other."""
    highest = next(logits).clone()
    dtype = torch.uint8 if classes <= 256 else torch.int16
    index = torch.zeros(highest.shape, dtype=dtype, device=highest.device)
    for number, of_class in enumerate(logits, start=1):
        index.masked_fill_(of_class > highest, number)
        torch.maximum(highest, of_class, out=highest)
    return index


def last_positive(logits: Iterator[Tensor], regions: int) -> Tensor:
    """One more than the index of the last of the logits that is over 0; 0 where none is.

    They come one region after the other.
    """
    first = next(logits)
    dtype = torch.uint8 if regions <= 255 else torch.int16
    index = (first > 0).to(dtype)
    for number, of_region in enumerate(logits, start=2):
        index.masked_fill_(of_region > 0, number)
    return index


def outer(vectors: tuple[Tensor, ...]) -> Tensor:
    """Product of vectors, one an axis."""
    product = torch.ones((), device=vectors[0].device)
    for vector in vectors:
        product = product[..., None] * vector
    return product


def _cut(
    volume: Tensor, corners: Sequence[Corner], patch: tuple[int, ...], margin: tuple[int, ...]
) -> Tensor:
    """Tiles and the margins around them: (B, C, *(patch + 2 * margin))."""
    sides = [p + 2 * m for p, m in zip(patch, margin, strict=True)]
    tiles = [
        reflected(volume, [c - m for c, m in zip(corner, margin, strict=True)], sides)
        for corner in corners
    ]
    return tiles[0][None] if len(tiles) == 1 else torch.stack(tiles)  # one is not copied


def _add(
    logits: Tensor,
    blocks: dict[int, Tensor],
    corners: Sequence[Corner],
    window: Tensor,
    box: Sequence[slice],
) -> None:
    """Add the weighted logits of tiles to the rows that they cover, inside of a box."""
    for corner, of_tile in zip(corners, logits, strict=True):
        both = [_shared(*along) for along in zip(corner[1:], window.shape[1:], box, strict=True)]
        of_box, inside = [place for place, _ in both], [part for _, part in both]
        for start, total in blocks.items():
            rows, part = _shared(corner[0], len(window), slice(start, start + total.shape[1]))
            if rows.start < rows.stop:
                # One class after the other, as those in another precision are copied meanwhile.
                for sums, logits_of_class in zip(total, of_tile, strict=True):
                    some, weights = logits_of_class[(part, *inside)], window[(part, *inside)]
                    sums[(rows, *of_box)].addcmul_(some.to(window.dtype), weights)


def _shared(corner: int, side: int, box: slice) -> tuple[slice, slice]:
    """Along an axis, what a tile has in common with a box: in voxels of the box and of the tile."""
    first, end = max(corner, box.start), min(corner + side, box.stop)
    return slice(first - box.start, end - box.start), slice(first - corner, end - corner)


def _slab(first: int, total: Tensor, rows: int, weights: Sequence[Tensor]) -> Slab:
    """Rows of a block whose first one is `first`, without those beyond the volume."""
    start = max(first, 0)
    end = max(min(first + total.shape[1], rows), start)
    total = total.narrow(1, start - first, end - start)
    return Slab(start, total, (weights[0][start:end], *weights[1:]))


def _groups(items: Sequence[Any], length: int) -> list[Sequence[Any]]:
    return [items[k : k + length] for k in range(0, len(items), length)]


def _at(corner: Corner, patch: Corner) -> tuple[slice, ...]:
    return tuple(slice(c, c + p) for c, p in zip(corner, patch, strict=True))


def _at_least(volume: Tensor, patch: tuple[int, ...]) -> Tensor:
    """(..., *shape) with 0 or False on both sides of the axes that are shorter than a patch."""
    sides = []
    for side, size in zip(reversed(patch), reversed(volume.shape), strict=False):
        missing = max(side - size, 0)
        sides += [missing // 2, missing - missing // 2]
    return functional.pad(volume, sides) if any(sides) else volume


def _summed(window: Tensor, starts: list[int], before: int, size: int) -> Tensor:
    """Sum of the windows at `starts`, in the `size` voxels after the first `before` ones."""
    total = window.new_zeros(starts[-1] + len(window))
    for start in starts:
        total[start : start + len(window)] += window
    return total[before : before + size]
