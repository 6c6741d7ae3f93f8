"""Labels that spread from seeds along the cheapest paths, on the CPU and on CUDA."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Literal

import numpy as np

from medseg.volume import BACKGROUND

if TYPE_CHECKING:
    from torch import Tensor

    from medseg.classical.box import Box

# Background comes last among labels that are equally near.
_GROUND = 2**31 - 1


@dataclass(frozen=True)
class Toll:
    """What a step from one voxel to the next costs; never nothing.

    Parameters
    ----------
    kind : "length" or "strength"
        "length": √(h² + d²) is added to the cost, which is 0 at seeds. "strength": the cost,
        which is 1 at seeds, is divided by (1 - d) · exp(-fading · h), and no path goes on
        where that is 0. h is the length of the step in mm, d the difference of intensities.
    fading : float
        Of "strength", in 1 / mm.
    """

    kind: Literal["length", "strength"]
    fading: float = 0.0

    @property
    def at_seeds(self) -> float:
        """Cost at the seeds."""
        return 0.0 if self.kind == "length" else 1.0

    def step(self, squared: float) -> float:
        """What kernels need to know of a step of that squared length in mm²."""
        return squared if self.kind == "length" else math.exp(-self.fading * math.sqrt(squared))

    def least(self, step: float) -> float:
        """What a step of so many mm adds at least: of "strength", as a share of the cost."""
        return step if self.kind == "length" else math.expm1(self.fading * step)

    def over(self, there: Tensor, contrast: Tensor, step: float) -> Tensor:
        """Cost of paths that go on by a step, over squared contrasts."""
        import torch

        if self.kind == "length":
            return there + (contrast + step).sqrt()
        left = (1 - contrast.sqrt()) * step
        return torch.where(left > 0, there / left, math.inf)


class Paths:
    """The cheapest paths from seeds over an image.

    Paths go over faces, edges and corners of voxels. Where paths from two labels cost the
    same, the lower label comes through, and background last.

    Parameters
    ----------
    image : (C, ...) float tensor of 1 to 3 spatial axes
        Scaled to what the toll takes for d.
    spacing : tuple of float, mm
    mask : (...) bool tensor or None
        Paths stay inside.
    toll : Toll
    """

    def __init__(
        self,
        image: Tensor,
        spacing: tuple[float, ...],
        mask: Tensor | None,
        toll: Toll,
    ) -> None:
        self._shape = tuple(image.shape[1:])
        self._solid = (1,) * (3 - len(self._shape)) + self._shape
        self._image, self._spacing = image, tuple(spacing)
        self._mask, self._toll = mask, toll

    def labels(self, seeds: Tensor) -> Tensor:
        """Label of the seed from which the cheapest path comes, 0 for background."""
        import torch

        known = seeds.view(self._solid)
        passable = known == BACKGROUND
        labels = torch.where(known > BACKGROUND, known, _GROUND)
        costs = torch.full_like(known, math.inf, dtype=torch.float64)
        costs.masked_fill_(~passable, self._toll.at_seeds)
        starts = ~passable
        if self._mask is not None:
            passable &= self._mask.view(self._solid)
        way = paths_by_numba if not known.is_cuda else paths_in_torch
        image = self._image.view(-1, *self._solid)
        steps = (1.0,) * (3 - len(self._shape)) + self._spacing
        way(image, steps, passable, self._toll, (costs, labels, starts))
        ours = (labels != _GROUND) & (costs < math.inf)
        return torch.where(ours, labels, BACKGROUND).view(self._shape)

    def part(self, box: Box, inside: Tensor) -> Paths:
        """Paths in a box and a mask of its size."""
        return Paths(box.cut(self._image), self._spacing, inside, self._toll)


State = tuple["Tensor", "Tensor", "Tensor"]
Way = Callable[["Tensor", tuple[float, ...], "Tensor", Toll, State], None]


def paths_by_numba(
    image: Tensor, spacing: tuple[float, ...], passable: Tensor, toll: Toll, state: State
) -> None:
    """Carry costs and labels to where they are the least, in place, on the CPU.

    Parameters
    ----------
    image : (C, i, j, k) float tensor
    spacing : tuple of float, mm
    passable : (i, j, k) bool tensor
        Where paths come to; those from seeds begin beside them.
    toll : Toll
    state : (costs, labels, new)
        (i, j, k) tensors of float64, int32 and bool; paths begin where all that is `new` is.
    """
    from medseg.classical import _path_kernels as kernels

    costs, labels, new = state
    offsets = np.array([o for o in product((-1, 0, 1), repeat=3) if o != (0, 0, 0)])
    squares = ((offsets * np.array(spacing)) ** 2).sum(axis=1)
    steps = np.array([toll.step(float(square)) for square in squares])
    starts = np.flatnonzero(new.numpy())
    arrays = image.contiguous().numpy(), passable.numpy().view(np.uint8), offsets, steps
    adding, width = toll.kind == "length", toll.least(min(spacing))
    kernels.carried(starts, *arrays, width, adding, costs.numpy(), labels.numpy())


def paths_in_torch(
    image: Tensor, spacing: tuple[float, ...], passable: Tensor, toll: Toll, state: State
) -> None:
    """Do what `paths_by_numba` does in torch alone, on any device.

    Sweeps carry costs from one plane to the next, both ways along each axis, until nothing
    changes. Any step changes the plane of some axis, so no path is left out.
    """
    import torch

    image = image.double()
    costs, labels, _ = state
    before = None
    while before is None or not all(map(torch.equal, before, (costs, labels))):
        before = (costs.clone(), labels.clone())
        for axis in range(3):
            order = [axis, *(other for other in range(3) if other != axis)]
            views = tuple(each.permute(order) for each in (passable, costs, labels))
            tones = image.permute(0, *(1 + other for other in order))
            lengths = tuple(spacing[other] for other in order)
            size = len(passable.permute(order))
            for i in range(1, size):
                _carry(tones, views, lengths, toll, (i - 1, i))
            for i in range(size - 1, 0, -1):
                _carry(tones, views, lengths, toll, (i, i - 1))


def _carry(
    tones: Tensor,
    views: tuple[Tensor, ...],
    lengths: tuple[float, ...],
    toll: Toll,
    planes: tuple[int, int],
) -> None:
    """Let the second plane have what it can reach by one step from the first, in place."""
    import torch
    from torch.nn.functional import pad

    passable, costs, labels = views
    first, second = planes
    there = pad(costs[first], (1, 1, 1, 1), value=math.inf)
    names, values = (pad(each, (1, 1, 1, 1)) for each in (labels[first], tones[:, first]))
    found, label = costs[second], labels[second]
    high, wide = found.shape
    for y, x in product((-1, 0, 1), repeat=2):
        part = (slice(1 + y, 1 + y + high), slice(1 + x, 1 + x + wide))
        square = lengths[0] ** 2 + (y * lengths[1]) ** 2 + (x * lengths[2]) ** 2
        contrast = (tones[:, second] - values[(slice(None), *part)]).square().sum(0)
        cost = toll.over(there[part], contrast, toll.step(square))
        better = (cost < found) | ((cost == found) & (names[part] < label) & (cost < math.inf))
        better &= passable[second]
        found, label = torch.where(better, cost, found), torch.where(better, names[part], label)
    costs[second], labels[second] = found, label
