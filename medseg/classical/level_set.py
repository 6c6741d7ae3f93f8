"""Contours as the zeros of a function, moved by partial differential equations.

The function is a distance in mm, negative inside. It is computed in a narrow band around the
contour on the CPU, and everywhere on CUDA.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Protocol

from medseg.classical.band_surface import BandSurface
from medseg.classical.deforming import STRIDE, Look, Start, moved
from medseg.classical.forces import Forces, Ground
from medseg.classical.tensor_surface import TensorSurface

if TYPE_CHECKING:
    from torch import Tensor


class Surface(Protocol):
    """A function whose zeros are a contour."""

    phi: Tensor

    def step(self, forces: Forces, time: float) -> Tensor:
        """Move the contour over its ground, and return the places that changed sides."""
        ...

    def faces(self) -> list[int]:
        """For each axis, how many neighbours along it lie on different sides."""
        ...


def surface_of(label: int, ground: Ground, spacing: tuple[float, ...]) -> Surface:
    """Contour around the voxels that a label owns, half-way between voxels, on their device."""
    kind: Callable[..., Surface] = TensorSurface if ground.owners.is_cuda else BandSurface
    return kind(label, ground, spacing)


def relaxed(
    start: Start,
    forces: Callable[[int, Tensor], Forces],
    spacing: tuple[float, ...],
    iterations: int,
    tolerance: float,
) -> Iterator[Look]:
    """States until no contour moves by more than `tolerance` mm in `STRIDE` steps.

    Parameters
    ----------
    start : Start
    forces : function of (label, places that its contour took in or left since it was last asked)
        Places are those in the flattened volume; at first all that its contour begins with.
    spacing : tuple of float, mm
    iterations : int
        How many steps at most.
    tolerance : float
        In mm, on average over the area of a contour.
    """
    ground = Ground.of(start.regions, start.allowed)
    surfaces = {label: surface_of(label, ground, spacing) for label in start.regions}
    turned = {label: [ground.places_of(label)] for label in surfaces}
    yield ground.owners.clone
    for number in range(1, iterations + 1):
        for label, surface in surfaces.items():
            given = forces(label, turned[label][-1])
            time = given.time_step(spacing)
            if time < math.inf:
                turned[label].append(surface.step(given, time))
        yield ground.owners.clone
        if number % STRIDE == 0:
            ways = [
                _way(turned[label][-STRIDE:], surface, spacing)
                for label, surface in surfaces.items()
            ]
            if max(ways) <= tolerance:
                return


def _way(turned: list[Tensor], surface: Surface, spacing: tuple[float, ...]) -> float:
    import torch

    counts = torch.cat(turned).unique(return_counts=True)[1]
    changed = int((counts % 2).sum())
    if not changed:
        return 0.0
    faces = surface.faces()
    # A contour that has gone has moved too.
    return moved(changed, faces, spacing) if any(faces) else math.inf
