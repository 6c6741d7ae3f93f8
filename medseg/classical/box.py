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

    def grown(self, steps: tuple[int, ...]) -> Box:
        """Box that reaches so many voxels farther both ways along each axis, where there are."""
        begin = tuple(max(b - s, 0) for b, s in zip(self.begin, steps, strict=True))
        ends = zip(self.begin, self.size, steps, self.shape, strict=True)
        stop = tuple(min(b + n + s, most) for b, n, s, most in ends)
        return Box(begin, tuple(e - b for e, b in zip(stop, begin, strict=True)), self.shape)

    def overlap(self, other: Box) -> Box:
        """What two boxes of one grid share, which is something."""
        begin = tuple(map(max, self.begin, other.begin))
        pairs = zip(self.begin, self.size, other.begin, other.size, strict=True)
        ends = (min(b + n, c + m) for b, n, c, m in pairs)
        return Box(begin, tuple(e - b for e, b in zip(ends, begin, strict=True)), self.shape)

    def cut(self, volume: Tensor) -> Tensor:
        """What of a (..., *shape) tensor lies inside, contiguous."""
        return self._view(volume).contiguous()

    def cut_ties(self, ties: Tensor, inside: Tensor) -> Tensor:
        """What of ties (3, i, j, k) to the next voxel of each axis lies inside.

        Parameters
        ----------
        ties : (3, i, j, k) tensor
            Of the whole grid, which axes of length 1 may be missing from.
        inside : (...) bool tensor
            A mask of the box; ties that lead out of it are 0.
        """
        solid = (1,) * (3 - len(self.size)) + self.size
        part = self._view(ties.view(3, *self.shape)).clone().view(3, *solid)
        mask = inside.view(solid)
        for axis, tie in enumerate(part):
            size = solid[axis] - 1
            tie.narrow(axis, size, 1).zero_()
            tie.narrow(axis, 0, size).mul_(mask.narrow(axis, 0, size) & mask.narrow(axis, 1, size))
        return part

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
