"""What several members say of an image, in one order of labels and voxels."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from medseg.learning.model import Model
from medseg.learning.stored import Stored
from medseg.segmenter import Probabilistic, canonical, labels_of_channels, names_of, require_place
from medseg.volume import Image, Labels, orientation, reorient


class Ear(Protocol):
    """Takes what the members say, one after the other."""

    def begin(self, weight: float) -> None:
        """Be told that a member comes, and how much it counts."""
        ...

    def add(self, first: int, part: NDArray[np.float32]) -> None:
        """Take its probabilities (classes, n) of the voxels from `first` on."""
        ...


E = TypeVar("E", bound=Ear)


class Hearing(Generic[E]):
    """Brings members to an ear: trained models in parts, so that no more than these are held.

    The voxels are those inside the mask, in canonical orientation; the labels those of the first
    member.

    Parameters
    ----------
    image, seeds, mask
        As for `Segmenter.segment`.
    make : function of (classes, voxels) -> Ear
        Called when the classes are known.

    Raises
    ------
    ValueError
        If seeds or mask lie elsewhere than the image.
    """

    def __init__(
        self, image: Image, seeds: Labels | None, mask: Labels | None, make: Callable[[int, int], E]
    ) -> None:
        require_place(image, seeds, mask)
        self._image, self._seeds, self._mask = image, seeds, mask
        self._inside = None if mask is None else canonical(mask).reshape(-1) != 0
        shape = image.grid.shape
        self._voxels = prod(shape) if self._inside is None else int(self._inside.sum())
        self._make = make
        self._ear: E | None = None
        self._labels: tuple[int, ...] = ()
        self.names: tuple[str, ...] = ()

    @property
    def ear(self) -> E:
        """What has heard all members."""
        assert self._ear is not None
        return self._ear

    def hear(self, member: Probabilistic, weight: float) -> None:
        """Let a member speak.

        Raises
        ------
        ValueError
            If it refuses the image, or has other labels than those before it.
        """
        if isinstance(member, Model | Stored):
            plan = member.plan
            own = plan.labels if not plan.regions else tuple(range(plan.outputs))
            take = self._taking(own, plan.outputs_named, weight)
            member.stream(self._image, self._seeds, self._mask, take)
            return
        found = member.probabilities(self._image, self._seeds, self._mask)
        known = getattr(member, "plan", None)
        if known is not None and known.regions:
            own = tuple(range(found.channels))
        else:
            own = labels_of_channels(found, names_of(member, self._seeds))
        self._taking(own, found.names, weight)(canonical(found))

    def placed(self, values: NDArray[np.float32], names: tuple[str, ...], outside: float) -> Image:
        """Image of (channels, voxels) values; outside the mask the first channel is `outside`."""
        turned = reorient(self._image).grid
        array = values
        if self._inside is not None:
            array = np.zeros((len(values), prod(turned.shape)), np.float32)
            array[0] = outside
            array[:, self._inside] = values
        stored = Image(array.reshape(-1, *turned.shape), turned, names)
        grid = self._image.grid
        return Image(reorient(stored, orientation(grid)).array, grid, names)

    def _taking(
        self, own: tuple[int, ...], names: tuple[str, ...], weight: float
    ) -> Callable[[NDArray[np.float32]], None]:
        """Return what takes the parts of a member of these labels."""
        if self._ear is None:
            self._ear = self._make(len(own), self._voxels)
            self._labels, self.names = own, names
        if set(own) != set(self._labels):
            raise ValueError(f"members have the same labels, got {self._labels} and {own}")
        ear, order = self._ear, [own.index(label) for label in self._labels]
        came = first = 0
        ear.begin(weight)

        def take(rows: NDArray[np.float32]) -> None:
            nonlocal came, first
            part = rows.reshape(len(own), -1)
            end = came + part.shape[1]
            if self._inside is not None:
                part = part[:, self._inside[came:end]]
            ear.add(first, part if own == self._labels else part[order])
            came, first = end, first + part.shape[1]

        return take
