"""The part of a volume that matters, cut out and put back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Box:
    """A part of a grid.

    Parameters
    ----------
    begin, size : tuple of int
        First voxel, and how many, along each axis.
    shape : tuple of int
        Of the whole grid.
    """

    begin: tuple[int, ...]
    size: tuple[int, ...]
    shape: tuple[int, ...]

    @classmethod
    def around(cls, mask: Tensor | None, shape: tuple[int, ...]) -> Box:
        """Smallest box that holds a mask (...) bool that is not empty; the whole without one."""
        if mask is None:
            return cls((0,) * len(shape), shape, shape)
        begin, size = [], []
        for axis in range(mask.ndim):
            others = [other for other in range(mask.ndim) if other != axis]
            hit = (mask.amax(others) if others else mask).nonzero()
            begin.append(int(hit[0]))
            size.append(int(hit[-1]) + 1 - begin[-1])
        return cls(tuple(begin), tuple(size), shape)

    def cut(self, volume: Tensor) -> Tensor:
        """What of a (..., *shape) tensor lies inside, contiguous."""
        return self._view(volume).contiguous()

    def put_back(self, part: Tensor) -> Tensor:
        """Tensor of the whole grid, 0 outside."""
        if self.size == self.shape:
            return part
        whole = part.new_zeros((*part.shape[: part.ndim - len(self.shape)], *self.shape))
        self._view(whole).copy_(part)
        return whole

    def _view(self, volume: Tensor) -> Tensor:
        lead = volume.ndim - len(self.shape)
        for axis, (begin, size) in enumerate(zip(self.begin, self.size, strict=True)):
            volume = volume.narrow(lead + axis, begin, size)
        return volume
