"""A network's passes over the tiles of a volume, as many at once as memory holds."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod

import torch
from torch import Tensor, nn

from medseg.device import free_memory, release_freed_memory
from medseg.learning.layout import Layout, Tiles
from medseg.learning.mirroring import mirrored
from medseg.learning.plan import Plan
from medseg.learning.sparing import constant_once, in_halves
from medseg.learning.trial import taken
from medseg.tiling import Slab, at_half, centred, lattice, periodic_lattice, sweep

log = logging.getLogger("medseg")
# Voxels that go through the network together: more are no faster. On the CPU, all eight mirror
# images of a hippocampus take a tenth less time at once than one after the other.
BATCH_VOXELS = {"cpu": 2**20, "cuda": 2**21}
_FLOAT = 4
# Where there is room for so many times the sums, it is not asked what a network takes. Else, of
# the room a share is taken: some is left for what is not foreseen, and for others.
_PLENTY, _SHARE = 4, 0.9
_SMALLER = "memory is short: tiles of %s instead of %s voxels"


@dataclass(frozen=True, eq=False)
class Passes:
    """How a network goes over a volume; what goes through it is on its device.

    Parameters
    ----------
    network : nn.Module
    plan : Plan
    overlap : float in [0, 1)
        Share of a patch by which neighbouring tiles overlap.
    mirrored : tuple of int
        Axes along all choices of which tiles are mirrored.
    """

    network: nn.Module
    plan: Plan
    overlap: float
    mirrored: tuple[int, ...]

    def over(
        self,
        volume: Tensor,
        mask: Tensor | None,
        layout: Layout | None = None,
        strip: slice | None = None,
    ) -> Iterator[Slab]:
        """Logits of a (C, ...) volume, a slab of rows at a time.

        Where there is not enough memory for a tile, smaller ones are taken; the log says so.

        Parameters
        ----------
        layout : Layout, optional
            By default the one for memory as it is now, where rows come as a whole.
        strip : slice, optional
            Voxels of the second axis that are wanted, all by default.

        Raises
        ------
        ValueError, MemoryError
            If there is not enough memory for the sums of the logits; not even for the smallest
            tile.
        """
        if layout is None:
            layout = self.layout(tuple(volume.shape[1:]), volume.device, strips=1)
        tile = layout.tile
        while True:
            slabs = self._swept(volume, mask, replace(layout, tile=tile), strip)
            try:
                first = next(slabs)
            except MemoryError:
                smaller = self.smaller(tile)
                if prod(smaller) >= prod(tile):
                    raise
                log.warning(_SMALLER, smaller, tile)
                tile = smaller
            else:
                yield first
                del first
                yield from slabs
                return

    def layout(
        self,
        shape: tuple[int, ...],
        device: torch.device,
        *,
        room: int | None = None,
        strips: int | None = None,
    ) -> Layout:
        """How a volume is gone over so that it takes no more memory than there is.

        Parameters
        ----------
        shape : tuple of int
            Voxels of the volume.
        room : int, optional
            Bytes on the device, by default those that are free.
        strips : int, optional
            The most that it may be cut into; by default as many as there are tiles.

        Raises
        ------
        ValueError
            If it can't be.
        """
        tiles = self.tiles(shape, device)
        first, *others = tiles.layouts(strips)
        if room is None:
            room = free_memory(device)
            if _PLENTY * first.summed > room:
                release_freed_memory()
                room = free_memory(device)
        if _PLENTY * first.summed <= room:
            return first
        if others[-1].summed > room:
            raise ValueError(_too_large(others[-1], tiles, room))
        return self._fitting(tiles, room, strips, device)

    def _fitting(self, tiles: Tiles, room: int, strips: int | None, device: torch.device) -> Layout:
        """First of the layouts that leaves room for the network; with smaller tiles, if need be."""
        try:
            passing = self.trial(tiles, device)
        except MemoryError:
            passing = room
        while True:
            for layout in tiles.layouts(strips):
                if layout.summed + passing <= _SHARE * room:
                    if layout.sums != torch.float32:
                        log.warning("memory is short: %s", layout)
                    return replace(layout, passing=passing)
            smaller = self.smaller(tiles.tile)
            if prod(smaller) >= prod(tiles.tile):
                raise ValueError(_too_large(layout, tiles, room))
            log.warning(_SMALLER, smaller, tiles.tile)
            passing = passing * prod(smaller) // prod(tiles.tile)
            tiles = self.tiles(tiles.shape, device, smaller)

    def trial(self, tiles: Tiles, device: torch.device) -> int:
        """Bytes that a batch of tiles takes on its way through the network, found by trying it."""
        sides = [side + 2 * margin for side, margin in zip(tiles.tile, self.margin, strict=True)]
        shape = (min(tiles.batch, tiles.count), self.plan.inputs, *sides)
        # As much as of all mirror images is taken by one more of them than are seen at once.
        at_once = max(tiles.batch // shape[0], 1)
        passes = self._through(tiles.tile, device, self.mirrored[: at_once.bit_length()])
        constant = _FLOAT * self.plan.outputs * prod(tiles.tile)  # of which the logits are kept
        return constant + taken(lambda: passes(torch.rand(shape, device=device)), device)

    def at_once(self, tile: tuple[int, ...], device: torch.device) -> int:
        """Tiles of a batch."""
        return max(BATCH_VOXELS[device.type] // prod(tile), 1)

    def tile(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Voxels of a tile of a volume of this shape, where there is memory for it."""
        return self._exact_tile(shape) if self.exact else self._patch(shape)

    def tiles(
        self, shape: tuple[int, ...], device: torch.device, tile: tuple[int, ...] | None = None
    ) -> Tiles:
        """Tiles of a volume of this shape, of other sides than usual if `tile` says so."""
        tile = tile or self.tile(shape)
        if self.exact:
            starts = periodic_lattice(shape, tile, 0.0, self.period)
        else:
            starts = lattice(tuple(map(max, shape, tile)), tile, self.overlap)
        return Tiles(shape, tile, starts, self.plan.outputs, self.at_once(tile, device))

    def _through(
        self, tile: tuple[int, ...], device: torch.device, axes: Sequence[int]
    ) -> Callable[[Tensor], Tensor]:
        """Return the network for batches of tiles, which are mirrored along these axes."""
        most = self.at_once(tile, device)
        return constant_once(mirrored(in_halves(self.forward()), axes, most))

    def _swept(
        self, volume: Tensor, mask: Tensor | None, layout: Layout, strip: slice | None
    ) -> Iterator[Slab]:
        tile = layout.tile
        return sweep(
            self._through(tile, volume.device, self.mirrored),
            volume,
            tile,
            self.plan.outputs,
            overlap=0.0 if self.exact else self.overlap,
            batch=self.at_once(tile, volume.device),
            mask=mask,
            margin=self.margin if self.exact else None,
            period=self.period,
            window=at_half if self.plan.conventions.window == "half" else centred,
            sums=layout.sums,
            strip=strip,
        )

    @property
    def exact(self) -> bool:
        """Whether logits are the same wherever a tile begins: those of networks with a margin."""
        return any(self.plan.network.margin)

    @property
    def margin(self) -> tuple[int, ...]:
        """Voxels at each end of a tile, along the axes of the volume, that are only seen."""
        network = self.plan.network
        seen = zip(network.margin, network.rim, strict=True)
        return self._in_volume(tuple(m + rim for m, rim in seen), 0)

    @property
    def period(self) -> tuple[int, ...]:
        """Voxels on multiples of which the tiles of an exact network begin."""
        return self._in_volume(self.plan.network.period, 1)

    def _patch(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Sides of a tile: the patch, or a volume hardly larger, which then needs one pass."""
        patch, axes = self.plan.patch, self.plan.axes
        whole = tuple(
            max(n, p) if k in axes else p for k, (n, p) in enumerate(zip(shape, patch, strict=True))
        )
        grown = self.plan.conventions.tiles == "grown" and prod(whole) <= 2 * prod(patch)
        return whole if grown else patch

    def _exact_tile(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Sides of the tiles of a network with a margin: legal ones, of which few suffice."""
        network, axes = self.plan.network, self.plan.axes
        largest = network.fitted(network.tile(tuple(self.plan.patch[axis] for axis in axes)))
        if self.plan.conventions.tiles == "patch":
            return self._in_volume(largest, 1)
        needed = []
        for n, side, period in zip((shape[k] for k in axes), largest, network.period, strict=True):
            # As many tiles as those take, on multiples of the period.
            count = max(-(-(n - side) // max(side // period * period, 1)), 0) + 1
            blocks = -(-n // (count * period))
            needed.append(min(n if count == 1 else blocks * period, side))
        return self._in_volume(network.fitted(tuple(map(max, needed, network.period))), 1)

    def smaller(self, tile: tuple[int, ...]) -> tuple[int, ...]:
        """Half the tile along its longest side, or as near to it as the network allows."""
        sides = [tile[axis] for axis in self.plan.axes]
        longest = sides.index(max(sides))
        sides[longest] = max(sides[longest] // 2, self.plan.network.period[longest])
        return self._in_volume(self.plan.network.fitted(tuple(sides)), 1)

    def _in_volume(self, sides: tuple[int, ...], rest: int) -> tuple[int, ...]:
        """Of the axes of the volume, where those are given that the network sees."""
        along = dict(zip(self.plan.axes, sides, strict=True))
        return tuple(along.get(axis, rest) for axis in range(len(self.plan.patch)))

    def forward(self) -> Callable[[Tensor], Tensor]:
        """Return the network on tiles with all axes of the volume, the slice axis of 2D too."""
        axes, rim = self.plan.axes, self.plan.network.rim
        network = self.network if not any(rim) else lambda x: _without_rim(self.network(x), rim)
        if len(axes) == len(self.plan.patch):
            return network
        (slices,) = set(range(len(self.plan.patch))) - set(axes)
        return lambda tiles: network(tiles.squeeze(slices + 2)).unsqueeze(slices + 2)


def _without_rim(logits: Tensor, rim: tuple[int, ...]) -> Tensor:
    for axis, width in enumerate(rim, start=2):
        logits = logits.narrow(axis, width, logits.shape[axis] - 2 * width)
    return logits


def _too_large(layout: Layout, tiles: Tiles, room: int) -> str:
    return (
        f"to sum up {tiles.outputs} classes over {(tiles.tile[0], *tiles.shape[1:])} voxels takes "
        f"{layout.summed / 1e9:,.1f} GB at least, and {room / 1e9:,.1f} GB are free"
    )
