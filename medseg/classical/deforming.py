"""What all deformable models share: how they begin, when they end, and how one watches them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from medseg.classical.demands import some_seeds
from medseg.distance import distance_to
from medseg.parameter import require_legal
from medseg.segmenter import in_place_of, run_on_tensors, segment_with
from medseg.volume import BACKGROUND, Image, Labels, smallest_integers

if TYPE_CHECKING:
    from torch import Tensor

# Gives the labels of a state; a state that nobody looks at costs nothing.
Look = Callable[[], "Tensor"]
State = TypeVar("State")

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


class Deforming(ABC):
    """A contour that moves from the seeds, a step at a time.

    Subclasses are frozen dataclasses with a `device` as last field, and say how it moves.
    """

    device: str

    def __post_init__(self) -> None:
        require_legal(self)

    @abstractmethod
    def evolve(
        self, image: Tensor, spacing: tuple[float, ...], seeds: Tensor | None, mask: Tensor | None
    ) -> Iterator[Look]:
        """States of a (C, ...) tensor, each as a function that gives its labels."""

    def segment(
        self, image: Image, seeds: Labels | None = None, mask: Labels | None = None
    ) -> Labels:
        """Move the contour of each label of `seeds` until it rests."""
        return segment_with(self.run, image, seeds, mask, self.device)

    def states(
        self, image: Image, seeds: Labels | None = None, mask: Labels | None = None
    ) -> Iterator[Labels]:
        """Labels before the first and after each step; the last ones are those of `segment`."""
        frame, looks, _ = run_on_tensors(self.evolve, image, seeds, mask, self.device)
        names = seeds.names if seeds is not None else {}
        for look in looks:
            yield in_place_of(smallest_integers(frame.download(look())), image, names)

    def run(
        self, image: Tensor, spacing: tuple[float, ...], seeds: Tensor | None, mask: Tensor | None
    ) -> Tensor:
        """Labels of a (C, ...) tensor."""
        return last_of(self.evolve(image, spacing, seeds, mask))


def last_of(states: Iterator[Look]) -> Tensor:
    """Labels of the last state."""
    return final(states)()


def final(states: Iterator[State]) -> State:
    """Last of the states, of which there is at least one."""
    for state in states:
        last = state
    return last


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
