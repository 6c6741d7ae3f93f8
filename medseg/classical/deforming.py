"""What all deformable models share: how they begin, when they end, and how one watches them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from medseg.classical.demands import some_seeds
from medseg.distance import distance_to
from medseg.segmenter import Frame, in_place_of, require_place
from medseg.volume import BACKGROUND, Image, Labels, smallest_integers

if TYPE_CHECKING:
    from torch import Tensor

# Gives the labels of a state; a state that nobody looks at costs nothing.
Look = Callable[[], "Tensor"]
Evolve = Callable[["Tensor", tuple[float, ...], "Tensor | None", "Tensor | None"], Iterator[Look]]

# How many steps apart two states are that are compared to see whether the contour still moves.
# Even, because some models take two kinds of steps in turn.
STRIDE = 10


@dataclass(frozen=True, eq=False)
class Start:
    """Where contours begin, and where they may go.

    Parameters
    ----------
    regions : dict of int to (...) bool tensor
        What each label starts from; no two have a voxel in common.
    allowed : (...) bool tensor
        Inside the mask, and not a background seed.
    """

    regions: dict[int, Tensor]
    allowed: Tensor

    @classmethod
    def of(
        cls,
        seeds: Tensor | None,
        mask: Tensor | None,
        spacing: tuple[float, ...],
        radius: float,
        method: str,
    ) -> Start:
        """Balls of `radius` mm around the seeds of each label; with 0, the seeds themselves.

        Raises
        ------
        ValueError
            As `some_seeds` does.
        """
        known = some_seeds(seeds, mask, method)
        allowed = known >= BACKGROUND
        if mask is not None:
            allowed = allowed & mask
        regions, free = {}, allowed & (known == BACKGROUND)
        for label in known[known > BACKGROUND].unique().tolist():
            region = known == label
            if radius:
                region = region | (distance_to(region, spacing) <= radius) & free
                free = free & ~region
            regions[label] = region
        return cls(regions, allowed)


def last_of(states: Iterator[Look]) -> Tensor:
    """Labels of the last state."""
    for look in states:
        last = look
    return last()


def states_with(
    evolve: Evolve, image: Image, seeds: Labels | None, mask: Labels | None, device: str
) -> Iterator[Labels]:
    """Each state of a model as labels on the grid of `image`, the initial one first.

    Parameters
    ----------
    evolve : function of (image, spacing, seeds, mask) -> looks
        Tensors as `medseg.segmenter.segment_with` describes them.
    """
    import torch

    require_place(image, seeds, mask)
    frame = Frame.of(image, device)
    looks = evolve(
        frame.upload(image, torch.float32),
        frame.spacing,
        None if seeds is None else frame.upload(seeds, torch.int32),
        None if mask is None else frame.upload(mask, torch.bool),
    )
    names = seeds.names if seeds is not None else {}
    for look in looks:
        yield in_place_of(smallest_integers(frame.download(look())), image, names)


def moved(changed: float, faces: list[int], spacing: tuple[float, ...]) -> float:
    """How far a contour moved in mm, on average over its area.

    Parameters
    ----------
    changed : float
        Voxels that changed sides.
    faces : list of int
        For each axis, how many neighbours along it lie on different sides.
    spacing : tuple of float, mm
    """
    volume = 1.0
    for step in spacing:
        volume *= step
    area = sum(count * volume / step for count, step in zip(faces, spacing, strict=True))
    return changed * volume / area if area else 0.0
