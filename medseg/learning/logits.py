"""What a network says of a whole image, on the grid that the image is stored on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medseg.learning.passes import Passes
from medseg.learning.preparing import Prepared, thick_slices
from medseg.learning.regridding import Stretch, Strip, gathered, stretches, strips
from medseg.tiling import Slab

_Slabs = Iterator[Slab]


@dataclass(frozen=True, eq=False)
class Logits:
    """Logits of an image, that are never all in memory.

    Parameters
    ----------
    passes : Passes
    prepared : Prepared
    device : torch.device
        Of the network.
    """

    passes: Passes
    prepared: Prepared
    device: torch.device

    def rows(self) -> Iterator[Tensor]:
        """(outputs, rows, ...) logits of some rows after the other."""
        return self._stretched(self.passes.over(*self._uploaded()), None)

    def chosen(self, choose: Callable[[Iterator[Tensor], int], Tensor]) -> NDArray:
        """What `choose` makes of the logits of each class, and of their number, at each voxel."""
        same = self.prepared.image.shape[1:] == self.prepared.native.shape

        def of_slab(slab: Slab) -> Tensor:
            return choose(iter(slab.total), len(slab.total))

        def of_stretch(some: Stretch) -> Tensor:
            return some.chosen(choose)

        # map and no generators, which would hold a slab while the next one is made.
        return self._gathered(
            lambda slabs, strip: (
                map(of_slab, slabs)
                if same
                else map(of_stretch, self._stretches(slabs, strip, together=1))
            )
        )

    def each(self, of: Callable[[Tensor], Tensor], *, axis: int) -> NDArray:
        """What `of` makes of (outputs, rows, ...) logits, joined along the axis of the rows."""
        return self._gathered(
            lambda slabs, strip: map(of, self._stretched(slabs, strip)), axis=axis
        )

    def _gathered(
        self, rows: Callable[[_Slabs, Strip | None], Iterator[Tensor]], *, axis: int = 0
    ) -> NDArray:
        """Join what is made of the slabs, in strips where memory is short."""
        native, (volume, mask) = self.prepared.native, self._uploaded()
        layout = self.passes.layout(tuple(volume.shape[1:]), self.device)
        parts: list[Strip | None] = [None]
        if len(layout.cuts) > 2:
            near = thick_slices(native, self.passes.plan) == 1
            parts = [*strips(layout.cuts, native.shape[1], near=near)]
        found = []
        for strip in parts:
            seen = None if strip is None else strip.seen
            slabs = self.passes.over(volume, mask, layout, seen)
            found.append(gathered(rows(slabs, strip), native.shape[0], axis=axis))
        return found[0] if len(found) == 1 else np.concatenate(found, axis=axis + 1)

    def _uploaded(self) -> tuple[Tensor, Tensor | None]:
        inside = self.prepared.mask
        mask = None if inside is None else torch.from_numpy(inside).to(self.device)
        return torch.from_numpy(self.prepared.image).to(self.device), mask

    def _stretched(self, slabs: _Slabs, strip: Strip | None) -> Iterator[Tensor]:
        together = self.passes.plan.outputs
        return map(Stretch.logits, self._stretches(slabs, strip, together=together))

    def _stretches(self, slabs: _Slabs, strip: Strip | None, *, together: int) -> Iterator[Stretch]:
        native, rows = self.prepared.native, self.prepared.image.shape[1]
        thick = thick_slices(native, self.passes.plan)
        return stretches(slabs, rows, native.shape, thick=thick, together=together, strip=strip)
