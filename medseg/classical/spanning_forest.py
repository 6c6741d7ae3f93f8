"""The watershed by a minimum spanning forest, in torch alone.

Voxels are named by their rank: 0 is the lowest, and no two are equally high. The level of a
voxel is the rank of the highest point of its best way to a marker. Voxels that are lower than
their level lie in a lake, which is filled from the voxel at that level; any other gets its
water from the neighbour of the lowest level. So levels tell all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from medseg.components import components_in_torch

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class Ranked:
    """Voxels of a volume with a closed border of one voxel around it, by rank.

    Parameters
    ----------
    order : (n,) int64 tensor
        Flat places of the open voxels, from the lowest to the highest.
    rank : (size,) int64 tensor
        Rank of each place; n where it is closed.
    shape : tuple of int
        With the border.
    """

    order: Tensor
    rank: Tensor
    shape: tuple[int, ...]

    @classmethod
    def of(cls, order: Tensor, shape: tuple[int, ...]) -> Ranked:
        """Ranks of the places in `order`."""
        import torch

        count = len(order)
        rank = order.new_full((torch.Size(shape).numel(),), count)
        rank[order] = torch.arange(count, device=order.device)
        return cls(order, rank, shape)

    def neighbours(self, of: Tensor | None = None, ways: tuple[int, ...] = (-1, 1)) -> Iterator:
        """Ranks of the neighbours of all voxels, or of those `of` some ranks; n if there is none.

        One tensor for each direction.
        """
        places = self.order if of is None else self.order[of]
        step = 1
        for size in reversed(self.shape):
            for way in ways:
                yield self.rank[places + way * step]
            step *= size


def flooded_in_torch(relief: Tensor, markers: Tensor, mask: Tensor | None = None) -> Tensor:
    """Do what `medseg.classical.flooding.flooded` does in torch alone, on any device."""
    import torch
    from torch.nn.functional import pad

    around = (1, 1) * relief.ndim
    inside = torch.ones_like(relief, dtype=torch.bool) if mask is None else mask
    places = pad(inside, around).flatten().nonzero().flatten()
    heights = pad(relief.float(), around).flatten()[places]
    heights, by_height = heights.sort(stable=True)
    shape = tuple(size + 2 for size in relief.shape)
    ranked = Ranked.of(places[by_height], shape)
    marks = pad(markers, around).flatten()
    marked = marks[ranked.order] != 0
    levels = _levels(ranked, marked)
    layers = _layers(ranked, heights, levels, marked)
    if layers is not None:
        height = (heights.diff() != 0).cumsum(0)
        again = layers.clone()
        again[1:] += height * (int(layers.max()) + 1)
        ranked = Ranked.of(ranked.order[again.argsort(stable=True)], shape)
        marked = marks[ranked.order] != 0
        levels = _levels(ranked, marked)
    found = torch.zeros_like(marks)
    found[ranked.order] = marks[ranked.order][_sources(ranked, levels, marked)]
    return found.view(shape)[(slice(1, -1),) * relief.ndim].contiguous()


def _levels(ranked: Ranked, marked: Tensor) -> Tensor:
    """Level of each voxel, (n,); n where no way leads to a marker.

    A voxel runs down to the minimum of its basin, so that its level is its own rank, or the
    level at which the basin overflows if that is higher. Marked voxels are at level already,
    and all that runs down to one is a single basin, 0: the sea.
    """
    import torch

    own = torch.arange(len(marked), device=marked.device)
    down = own
    for there in ranked.neighbours():
        down = torch.minimum(down, there)
    down = _ends(torch.where(marked, own, down))
    is_end = (down == own) & ~marked
    basin = torch.where(marked, 0, is_end.cumsum(0))[down]
    overflow = _overflows(*_passes(ranked, basin), int(is_end.sum()) + 1, len(marked))
    return torch.where(marked, own, torch.maximum(own, overflow[basin]))


def _passes(ranked: Ranked, basin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Pairs of basins that touch, and their pass: higher · n + lower of its two voxels."""
    import torch

    count = len(basin)
    own = torch.arange(count, device=basin.device)
    found = []
    for there in ranked.neighbours(ways=(1,)):
        other = basin[there.clamp(max=count - 1)]
        meet = (there < count) & (other != basin)
        here, beyond = own[meet], there[meet]
        height = torch.maximum(here, beyond) * count + torch.minimum(here, beyond)
        found.append((basin[meet], other[meet], height))
    one, two, heights = (torch.cat(parts) for parts in zip(*found, strict=True))
    return one, two, heights


def _overflows(one: Tensor, two: Tensor, passes: Tensor, basins: int, count: int) -> Tensor:
    """Rank of the highest point of the best way from each basin to the sea, (basins,).

    -1 of the sea itself, `count` where there is none. It is Borůvka's algorithm: each basin
    overflows at its lowest pass into the next, and what is joined so is a basin of the next
    round. The way from a basin is as high as its lowest pass or, if that is higher, the way
    from the basin beyond.
    """
    import torch

    never = max(count, 1) ** 2
    rounds = []
    while len(one):
        own = torch.arange(basins, device=one.device)
        lowest = passes.new_full((basins,), never)
        for end in (one, two):
            lowest.scatter_reduce_(0, end, passes, "amin")
        into = own.clone()
        for end, other in ((one, two), (two, one)):
            is_lowest = lowest[end] == passes
            into[end[is_lowest]] = other[is_lowest]
        into[0] = 0
        # Two that overflow into each other do so at one pass; the first stays.
        into = torch.where((into[into] == own) & (own < into), own, into)
        root, highest = _highest_on_the_way(into, torch.where(into == own, -1, lowest))
        numbers = (root == own).cumsum(0) - 1
        joined = numbers[root]
        rounds.append((joined, highest))
        one, two = joined[one], joined[two]
        apart = one != two
        one, two, passes = one[apart], two[apart], passes[apart]
        basins = int(numbers[-1]) + 1
    overflow = passes.new_full((basins,), never)
    overflow[0] = -1
    for joined, highest in reversed(rounds):
        overflow = torch.maximum(highest, overflow[joined])
    return overflow.div(max(count, 1), rounding_mode="floor")


def _ends(to: Tensor) -> Tensor:
    """Where one comes to from each place that leads to another, and at the end to itself."""
    import torch

    while not torch.equal(to, further := to[to]):
        to = further
    return to


def _highest_on_the_way(to: Tensor, heights: Tensor) -> tuple[Tensor, Tensor]:
    """Ends as `_ends` gives them, and the largest of the heights of what one leaves."""
    import torch

    while not torch.equal(to, further := to[to]):
        heights = torch.maximum(heights, heights[to])
        to = further
    return to, heights


def _sources(ranked: Ranked, levels: Tensor, marked: Tensor) -> Tensor:
    """Rank of the marked voxel from which the water of each voxel comes, or of one unmarked."""
    import torch

    count = len(levels)
    own = torch.arange(count, device=levels.device)
    lowest, source = levels, own
    beyond = torch.cat([levels, levels.new_full((1,), count)])
    for there in ranked.neighbours():
        level = beyond[there]
        source = torch.where(level < lowest, there, source)
        lowest = torch.minimum(lowest, level)
    in_lake = (levels > own) & (levels < count)
    return _ends(torch.where(in_lake, levels, torch.where(marked, own, source)))


def _layers(ranked: Ranked, heights: Tensor, levels: Tensor, marked: Tensor) -> Tensor | None:
    """Steps to each voxel of a plateau from where water comes to its height, (n,).

    Steps through a lake that is filled from there count for nothing. None if water comes to
    all voxels of plateaus at once.
    """
    import torch

    count = len(heights)
    height = torch.zeros_like(levels)
    height[1:] = (heights.diff() != 0).cumsum(0)
    # Behind the last rank stands what is beyond the border: nothing that is ever reached.
    level = torch.cat([height, height.new_full((1,), count + 1)])[levels]
    beyond = torch.cat([level, level.new_full((1,), count + 1)])
    flat = (level == height) & (levels < count)
    early = marked.clone()
    for there in ranked.neighbours():
        early |= beyond[there] < level
    steps = torch.where(flat & ~early, -1, 0)
    if not bool((steps < 0).any()):
        return None
    lakes = _Lakes.of(ranked, (levels < count) & ~flat)
    front, step = (flat & early).nonzero().flatten(), 0
    while len(front):
        front = torch.cat([front, lakes.touched(ranked, front, level)])
        step += 1
        reached = []
        for there in ranked.neighbours(front):
            to = there.clamp(max=count - 1)
            fits = (there < count) & (level[to] == level[front])
            reached.append(to[fits & (steps[to] < 0)])
        front = torch.cat(reached).unique()
        steps[front] = step
    return steps


@dataclass(frozen=True, eq=False)
class _Lakes:
    """Lakes that are filled once.

    Parameters
    ----------
    number : (n,) int64 tensor
        Of the lake of each voxel; 0 where there is none.
    members, starts : int64 tensors
        Ranks in the lakes, one lake after the other, and where each begins.
    filled : (lakes + 1,) bool tensor
        Changed as lakes are touched.
    """

    number: Tensor
    members: Tensor
    starts: Tensor
    filled: Tensor

    @classmethod
    def of(cls, ranked: Ranked, in_lake: Tensor) -> _Lakes:
        """Lakes of the ranks that lie in one."""
        import torch

        volume = in_lake.new_zeros(ranked.rank.shape)
        volume[ranked.order] = in_lake
        numbered, count = components_in_torch(volume.view(ranked.shape))
        number = numbered.flatten()[ranked.order].long()
        starts = torch.zeros(count + 2, dtype=torch.int64, device=number.device)
        starts[1:] = torch.bincount(number, minlength=count + 1).cumsum(0)
        return cls(number, number.argsort(stable=True), starts, starts[1:] < 0)

    def touched(self, ranked: Ranked, front: Tensor, level: Tensor) -> Tensor:
        """Ranks in lakes that touch `front` on its level, and were not filled before."""
        import torch

        last = len(level) - 1
        found = []
        for there in ranked.neighbours(front):
            to = there.clamp(max=last)
            fits = (there <= last) & (level[to] == level[front])
            found.append(self.number[to[fits]])
        lakes = torch.cat(found).unique()
        lakes = lakes[(lakes > 0) & ~self.filled[lakes]]
        self.filled[lakes] = True
        first, sizes = self.starts[lakes], self.starts[lakes + 1] - self.starts[lakes]
        shift = (first - (sizes.cumsum(0) - sizes)).repeat_interleave(sizes)
        return self.members[shift + torch.arange(len(shift), device=shift.device)]
