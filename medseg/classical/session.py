"""Segmentations that go on: more seeds are given until the result is right."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from medseg.classical.box import Box
from medseg.classical.correction import Solver, corrected
from medseg.classical.demands import some_seeds
from medseg.parameter import require_legal
from medseg.segmenter import Frame, in_place_of, require_place, segment_with
from medseg.volume import BACKGROUND, Image, Labels, require_match, smallest_integers

if TYPE_CHECKING:
    from torch import Tensor


class Interactive(ABC):
    """A method whose result can be corrected by further seeds.

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
        """Session in which further seeds correct the last result."""
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
        self.box = Box.around(mask, tuple(image.shape[1:]))
        self.inside = None if mask is None else self.box.cut(mask)
        self.solver = method.prepare(self.box.cut(image), spacing, self.inside)

    def labels(self, seeds: Tensor) -> Tensor:
        """Labels (...) int32 of seeds (...) int32 inside the mask, 0 for background."""
        return self.box.put_back(self.solver.labels(self.box.cut(seeds)))


@dataclass(frozen=True, eq=False)
class _State:
    """Seeds and what was made of them, inside the box of a mask."""

    seeds: Tensor
    labels: Tensor

    def stands(self, seeds: Tensor) -> bool:
        """Whether all its seeds are among those."""
        return bool(((self.seeds == seeds) | (self.seeds == BACKGROUND)).all())


class Session:
    """An image that is segmented, and then corrected again and again by further seeds.

    The first result is that of the method. Further seeds start from the last result and change
    it around them only, in favour of their own labels: what lies more than three times as deep
    in other labels as the seeds, in mm, stays as it was, so one corrects best in the middle of
    what is wrong. Up to there they compete by the rules of the method with all other seeds and
    with what stays. So what was right is not lost again, and the result is not that of the same
    seeds at once. Seeds that are taken back lead back to the last result without them.

    Parameters
    ----------
    method : Interactive
    image : Image
    mask : Labels, optional
    """

    def __init__(self, method: Interactive, image: Image, mask: Labels | None = None) -> None:
        import torch

        require_place(image, None, mask)
        self._name, self._image, self._states = method.name, image, list[_State]()
        self._frame = Frame.of(image, method.device)
        self._mask = None if mask is None else self._frame.upload(mask, torch.bool)
        values = self._frame.upload(image, torch.float32)
        self._boxed = Boxed(method, values, self._frame.spacing, self._mask)

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
        box = self._boxed.box
        found = box.put_back(self._labels(box.cut(known)))
        array = smallest_integers(self._frame.download(found))
        return in_place_of(array, self._image, seeds.names)

    def _labels(self, known: Tensor) -> Tensor:
        """Labels of seeds, both inside the box."""
        while self._states and not self._states[-1].stands(known):
            self._states.pop()
        solver, inside = self._boxed.solver, self._boxed.inside
        if not self._states:
            labels = solver.labels(known)
        else:
            last = self._states[-1]
            if bool((known == last.seeds).all()):
                return last.labels.int()
            before, spacing = (last.seeds, known), self._frame.spacing
            labels = corrected(solver, before, last.labels.int(), spacing, inside)
        self._states.append(_State(_narrow(known), _narrow(labels)))
        return labels


def _narrow(labels: Tensor) -> Tensor:
    """The same numbers in a byte each, if they go into one."""
    import torch

    low, high = labels.aminmax()
    byte = torch.iinfo(torch.int8)
    return labels.to(torch.int8) if byte.min <= low and high <= byte.max else labels
