"""A network's passes over the tiles of a volume, as many at once as memory holds."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor, nn

from medseg.device import free_memory
from medseg.learning.memory import memory_errors, require_room
from medseg.learning.mirroring import mirrored
from medseg.learning.plan import Plan
from medseg.tiling import Slab, at_half, centred, sweep

log = logging.getLogger("medseg")
# Voxels that go through the network together: more are no faster. On the CPU, all eight mirror
# images of a hippocampus take a tenth less time at once than one after the other.
BATCH_VOXELS = {"cpu": 2**20, "cuda": 2**21}
_FLOAT, _HALF = 4, 2


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

    def over(self, volume: Tensor, mask: Tensor | None) -> Iterator[Slab]:
        """Logits of a (C, ...) volume, a slab of rows at a time.

        Where there is not enough memory for a tile, smaller ones are taken, and where there is not
        for the sums of the logits, they are kept in bfloat16; the log says so.

        Raises
        ------
        MemoryError
            If there is not enough even for the smallest.
        """
        tile = self.tile(tuple(volume.shape[1:]))
        sums = self._sums(volume, tile)
        while True:
            slabs = self._swept(volume, mask, tile, sums)
            try:
                first = next(slabs)
            except MemoryError:
                smaller = self._smaller(tile)
                if prod(smaller) >= prod(tile):
                    raise
                log.warning("memory is short: tiles of %s instead of %s voxels", smaller, tile)
                tile = smaller
            else:
                yield first
                del first
                yield from slabs
                return

    def tile(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Voxels of a tile of a volume of this shape, where there is memory for it."""
        return self._exact_tile(shape) if self.exact else self._patch(shape)

    def _swept(
        self, volume: Tensor, mask: Tensor | None, tile: tuple[int, ...], sums: torch.dtype
    ) -> Iterator[Slab]:
        most = max(BATCH_VOXELS[volume.device.type] // prod(tile), 1)
        passes = mirrored(in_halves(self.forward()), self.mirrored, most)
        return sweep(
            constant_once(passes),
            volume,
            tile,
            self.plan.outputs,
            overlap=0.0 if self.exact else self.overlap,
            batch=most,
            mask=mask,
            margin=self.margin if self.exact else None,
            period=self.period,
            window=at_half if self.plan.conventions.window == "half" else centred,
            sums=sums,
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

    def _sums(self, volume: Tensor, tile: tuple[int, ...]) -> torch.dtype:
        """In which the logits of a row of tiles are summed up, so that they fit in memory.

        Raises
        ------
        ValueError
            If they do not, in half the bytes either.
        """
        sides = [max(n, side) for n, side in zip(volume.shape[1:], tile, strict=True)]
        numbers = self.plan.outputs * tile[0] * prod(sides[1:])
        # As much again is left for the logits of tiles, and for what is made of the sums.
        if 2 * _FLOAT * numbers <= free_memory(volume.device):
            return torch.float32
        what = f"to sum up {self.plan.outputs} classes over {(tile[0], *sides[1:])} voxels"
        require_room(_HALF * numbers, what, volume.device)
        log.warning("memory is short: the sums of logits are kept in bfloat16")
        return torch.bfloat16

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

    def _smaller(self, tile: tuple[int, ...]) -> tuple[int, ...]:
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


def in_halves(network: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Return a network that halves the batches for which there is not enough memory."""
    most: int | None = None

    def halved(tiles: Tensor) -> Tensor:
        nonlocal most
        if most is not None and len(tiles) > most:
            return torch.cat([halved(some) for some in tiles.split(most)])
        try:
            with memory_errors():
                return network(tiles)
        except MemoryError:
            if len(tiles) == 1:
                raise
        # Outside of the handler, so that what the error refers to is free.
        most = len(tiles) // 2
        log.warning("memory is short: batches of %d tiles instead of %d", most, len(tiles))
        return halved(tiles)

    return halved


def constant_once(network: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Return a network that sees one of all tiles in which each channel has one value.

    Around a head that is cut out, and in the air around a body, there are many of them.
    """
    known: dict[tuple[float, ...] | int, Tensor] = {}

    def once(tiles: Tensor) -> Tensor:
        nonlocal known
        along = tuple(range(2, tiles.ndim))
        low = tiles.amin(along)
        constant = (low == tiles.amax(along)).all(1).tolist()
        if not any(constant):
            return network(tiles)
        # The value of each channel, or a number that is no other tile's.
        values = [tuple(row) for row in low.tolist()]
        keys = [values[k] if same else k for k, same in enumerate(constant)]
        new = [key for key in dict.fromkeys(keys) if key not in known]
        seen = dict(known)
        if new:
            seen.update(zip(new, network(tiles[[keys.index(key) for key in new]]), strict=True))
        last = values[max(k for k, same in enumerate(constant) if same)]
        if last not in known:  # one is kept, as logits may be large
            known = {last: seen[last].clone()}
        return torch.stack([seen[key] for key in keys])

    return once


def _without_rim(logits: Tensor, rim: tuple[int, ...]) -> Tensor:
    for axis, width in enumerate(rim, start=2):
        logits = logits.narrow(axis, width, logits.shape[axis] - 2 * width)
    return logits
