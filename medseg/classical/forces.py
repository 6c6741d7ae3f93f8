"""What moves the contours of level sets, and the ground that they share."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

# Share of the longest time step that is stable.
_CAUTION = 0.9

# Part of a voxel by which a contour may move before distances to it are computed again.
DRIFT = 0.6

# Part of a voxel by which a contour stays away from voxels that it may not take in.
SLIGHT = 1e-3

# Where the square of the slope is smaller, in the middle between contours, rounding alone would
# choose in which direction to look for curvature.
FLAT = 0.01

# Distances that differ by less, in mm, are equal: rounding shall not choose.
TIE = 1e-6

# Gives the speed at places of the flattened volume, or at a slice of all of them.
Speed = Callable[["Tensor | slice"], "Tensor"]


@dataclass(frozen=True, eq=False)
class Forces:
    """What moves a contour: phi changes by -speed |∇phi| + weighted curvature |∇phi| + pull.

    Parameters
    ----------
    speed : function of places in the flattened volume
        Outwards, at these places, float32.
    bound : float
        What no speed exceeds, in either direction.
    curvature : float
        Weight of the curvature, in mm; bends inwards pull the contour in.
    edges : (...) float32 tensor, optional
        In [0, 1]; scales the curvature, and its slope pulls the contour to where it is low.
    advection : float
        Weight of that slope, in mm.
    steepest : float
        What the sum over axes of the slope of `edges` over the spacing nowhere exceeds.
    gates : (axes, ...) float32 tensor, optional
        In [0, 1]; scale speed and curvature of what passes between each voxel and the one after
        it along each axis. Through 0 nothing passes, however long it takes.
    """

    speed: Speed
    bound: float
    curvature: float = 0.0
    edges: Tensor | None = None
    advection: float = 0.0
    steepest: float = 0.0
    gates: Tensor | None = None

    def time_step(self, spacing: tuple[float, ...]) -> float:
        """Longest stable step; infinite where nothing moves."""
        rate = self.bound * math.sqrt(sum(step**-2 for step in spacing))
        rate += 2 * self.curvature * sum(step**-2 for step in spacing)
        rate += self.advection * self.steepest
        return _CAUTION / rate if rate else math.inf

    def fastest(self, least: float) -> float:
        """How fast a contour moves where no bend is tighter than two voxels of `least` mm."""
        return self.bound + self.advection * self.steepest * least**2 + self.curvature / least


@dataclass(frozen=True, eq=False)
class Ground:
    """Where contours may be, and where they are; surfaces write into it.

    Parameters
    ----------
    allowed : (...) bool tensor
    owners : (...) int32 tensor
        Label of the contour that a voxel is inside of, 0 for none.
    """

    allowed: Tensor
    owners: Tensor

    @classmethod
    def of(cls, regions: dict[int, Tensor], allowed: Tensor) -> Ground:
        """Ground on which each label owns its region."""
        import torch

        owners = torch.zeros_like(allowed, dtype=torch.int32)
        for label, inside in regions.items():
            owners[inside] = label
        return cls(allowed, owners)

    def places_of(self, label: int) -> Tensor:
        """Where the voxels of a label lie in the flattened volume."""
        return (self.owners == label).flatten().nonzero()[:, 0]


def fixed(speed: Tensor) -> Speed:
    """Speed that a (...) tensor holds once and for all."""
    values = speed.reshape(-1)
    return lambda places: picked(values, places)


def picked(values: Tensor, places: Tensor | slice) -> Tensor:
    """Values at places of the last axis, or at a slice of all of them."""
    if isinstance(places, slice):
        return values[..., places]
    # Indexing waits for all threads, which on a busy machine takes many times as long.
    return values.index_select(-1, places)


def farthest(spacing: tuple[float, ...]) -> float:
    """Longer than any distance in the band."""
    return 8 * max(spacing)
