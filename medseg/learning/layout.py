"""In what parts a volume is gone over, so that the sums of the logits fit in memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from math import prod

import numpy as np
import torch

_FEW = 16


@dataclass(frozen=True)
class Layout:
    """In what parts a volume is gone over.

    Parameters
    ----------
    tile : tuple of int
        Voxels of a tile.
    sums : torch.dtype
        In which logits are summed up.
    cuts : tuple of int
        Along the second axis, the first voxel of each strip, and the end of the last one.
    summed, passing : int
        Bytes of the sums, and of a batch of tiles on its way through the network; the latter is
        0 where it was not asked.
    """

    tile: tuple[int, ...]
    sums: torch.dtype
    cuts: tuple[int, ...]
    summed: int
    passing: int = 0

    def __str__(self) -> str:
        strips = len(self.cuts) - 1
        kept = "" if self.sums == torch.float32 else "are kept in bfloat16"
        parts = f"are made in {strips} strips" if strips > 1 else ""
        return f"the sums of logits {' and '.join(filter(None, (kept, parts)))}"


@dataclass(frozen=True)
class Tiles:
    """The tiles of a volume.

    Parameters
    ----------
    shape, tile : tuple of int
        Voxels of the volume and of a tile.
    starts : list of list of int
        First voxels of the tiles along each axis.
    outputs : int
        Channels of the logits.
    batch : int
        Tiles that are seen at once.
    """

    shape: tuple[int, ...]
    tile: tuple[int, ...]
    starts: list[list[int]]
    outputs: int
    batch: int

    @property
    def count(self) -> int:
        """How many there are."""
        return prod(map(len, self.starts))

    def layouts(self, most: int | None = None) -> Iterator[Layout]:
        """Ways to go over the volume, the fastest first, each with less in memory than the last.

        Rows are summed up as a whole in float32 or in bfloat16, or in bfloat16 in strips, for
        which the tiles across their borders are seen twice.

        Parameters
        ----------
        most : int, optional
            Strips; by default as many as there are tiles next to each other.
        """
        yield self._layout(torch.float32, 1)
        count = min(most or len(self.starts[1]), len(self.starts[1]))
        yield from (self._layout(torch.bfloat16, n) for n in range(1, min(count, _FEW) + 1))
        if count > _FEW:  # the narrowest at once, as so many strips take long anyway
            yield self._layout(torch.bfloat16, count)

    def _layout(self, sums: torch.dtype, strips: int) -> Layout:
        size = self.shape[1]
        # Where tiles begin, as the fewest lie across the border there.
        first = np.array(self.starts[1])
        ideal = np.arange(1, strips) * size / strips
        nearest = np.searchsorted((first[:-1] + first[1:]) / 2, ideal)
        inner = set(first[nearest].tolist())
        cuts = (0, *sorted(inner - {0}), size)
        widest = max(end - start for start, end in pairwise(cuts))
        numbers = self.outputs * self._rows() * widest * prod(self.shape[2:])
        return Layout(self.tile, sums, cuts, numbers * sums.itemsize)

    def _rows(self) -> int:
        """Rows of all tiles that are seen before the first rows are done."""
        layers = -(-self.batch // prod(map(len, self.starts[1:])))
        first = self.starts[0]
        return first[min(layers, len(first)) - 1] - first[0] + self.tile[0]
