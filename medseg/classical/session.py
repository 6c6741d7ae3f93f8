"""Segmentations that go on: more seeds are given until the result is right."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, Protocol

from medseg.classical.box import Box
from medseg.classical.demands import some_seeds
from medseg.parameter import require_legal
from medseg.segmenter import Frame, in_place_of, require_place, segment_with
from medseg.volume import Image, Labels, require_match, smallest_integers

if TYPE_CHECKING:
    from torch import Tensor


class Solver(Protocol):
    """What a method knows of an image on a device, and what it remembers of the last seeds."""

    def labels(self, seeds: Tensor) -> Tensor:
        """Labels (...) int32 of seeds (...) int32 inside the mask, 0 for background."""
        ...


Prepare = Callable[["Tensor", tuple[float, ...], "Tensor | None"], Solver]


class Interactive(ABC):
    """A method that goes on from the last seeds when some are added.

    Subclasses are frozen dataclasses with a `device` as last field, and prepare an image.
    """

    name: ClassVar[str]
    device: str

    def __post_init__(self) -> None:
        require_legal(self)

    @abstractmethod
    def prepare(self, image: Tensor, spacing: tuple[float, ...], mask: Tensor | None) -> Solver:
        """Solver for a (C, ...) tensor that looks only inside the mask."""

    def segment(
        self, image: Image, seeds: Labels | None = None, mask: Labels | None = None
    ) -> Labels:
        """Label every voxel; what no seed can reach is background."""
        return segment_with(self.run, image, seeds, mask, self.device)

    def begin(self, image: Image, mask: Labels | None = None) -> Session:
        """Session in which each result starts from the last one."""
        return Session(self, image, mask)

    def run(
        self, image: Tensor, spacing: tuple[float, ...], seeds: Tensor | None, mask: Tensor | None
    ) -> Tensor:
        """Labels of a (C, ...) tensor."""
        known = some_seeds(seeds, mask, self.name)
        return Boxed(self, image, spacing, mask).labels(known)


class Boxed:
    """A solver that sees only the box around the mask; nothing outside matters to it."""

    def __init__(
        self,
        method: Interactive,
        image: Tensor,
        spacing: tuple[float, ...],
        mask: Tensor | None,
    ) -> None:
        self._box = Box.around(mask, tuple(image.shape[1:]))
        inside = None if mask is None else self._box.cut(mask)
        self._solver = method.prepare(self._box.cut(image), spacing, inside)

    def labels(self, seeds: Tensor) -> Tensor:
        """Labels (...) int32 of seeds (...) int32 inside the mask, 0 for background."""
        return self._box.put_back(self._solver.labels(self._box.cut(seeds)))


class Session:
    """An image that is segmented again and again, each time from all seeds so far.

    What depends on the image alone is computed once, and each result starts from the last
    one; it is the one that `segment` of the method gives at once.

    Parameters
    ----------
    method : Interactive
    image : Image
    mask : Labels, optional
    """

    def __init__(self, method: Interactive, image: Image, mask: Labels | None = None) -> None:
        import torch

        require_place(image, None, mask)
        self._name, self._image = method.name, image
        self._frame = Frame.of(image, method.device)
        self._mask = None if mask is None else self._frame.upload(mask, torch.bool)
        values = self._frame.upload(image, torch.float32)
        self._solver = Boxed(method, values, self._frame.spacing, self._mask)

    def segment(self, seeds: Labels) -> Labels:
        """Label every voxel; `seeds` are all of them, those of earlier calls too.

        Parameters
        ----------
        seeds : Labels
            On the grid of the image: 0 is unknown, -1 background, a positive value that label.

        Raises
        ------
        ValueError
            If the seeds lie on another grid, or mark nothing.
        """
        import torch

        require_match(self._image.grid, seeds.grid, "the seed volume")
        known = some_seeds(self._frame.upload(seeds, torch.int32), self._mask, self._name)
        array = smallest_integers(self._frame.download(self._solver.labels(known)))
        return in_place_of(array, self._image, seeds.names)
