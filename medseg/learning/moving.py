"""A segmenter that sees its image moved, and whose probabilities are moved back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from medseg.learning.placing import turn
from medseg.segmenter import Probabilistic
from medseg.volume import Image, Labels, orientation, reorient

_Volume = TypeVar("_Volume", bound=Image | Labels)


@dataclass(frozen=True)
class Flipped:
    """What a trained model says of an image mirrored along some axes; a `Probabilistic`.

    Parameters
    ----------
    member : Probabilistic
        Has a plan.
    axes : tuple of int
        Of the orientation in which the network sees images.
    """

    member: Probabilistic
    axes: tuple[int, ...]

    @property
    def plan(self) -> Any:
        """Plan of the model."""
        return getattr(self.member, "plan")  # noqa: B009 - Probabilistic promises none

    def probabilities(
        self, image: Image, seeds: Labels | None = None, mask: Labels | None = None
    ) -> Image:
        """Probability of each label, as the model has it."""
        to = _orientation(self.plan.conventions.orientation, image)
        volumes = (None if x is None else self._flip(reorient(x, to)) for x in (seeds, mask))
        found = self._flip(self.member.probabilities(self._flip(reorient(image, to)), *volumes))
        return _returned(found, image)

    def _flip(self, volume: _Volume) -> _Volume:
        axes = tuple(axis - volume.grid.ndim for axis in self.axes)  # channels stand before them
        array = np.ascontiguousarray(np.flip(volume.array, axes))
        return volume.on(array, volume.grid)  # type: ignore[return-value]


@dataclass(frozen=True)
class Turned:
    """What a trained model says of an image turned about its middle; a `Probabilistic`.

    Voxels between those of the image are interpolated linearly, those beyond it are the nearest
    at its border. Probabilities that are turned back are so too, which smooths them a little.

    Parameters
    ----------
    member : Probabilistic
        Has a plan.
    plane : (int, int)
        Axes that turn into each other, of the orientation in which the network sees images.
    degrees : float
    """

    member: Probabilistic
    plane: tuple[int, int]
    degrees: float

    @property
    def plan(self) -> Any:
        """Plan of the model."""
        return getattr(self.member, "plan")  # noqa: B009 - Probabilistic promises none

    def probabilities(
        self, image: Image, seeds: Labels | None = None, mask: Labels | None = None
    ) -> Image:
        """Probability of each label; outside the mask, background is certain.

        Raises
        ------
        ValueError
            If there are seeds, which would be lost between the voxels.
        """
        if seeds is not None:
            raise ValueError("a trained model takes no seeds")
        to = _orientation(self.plan.conventions.orientation, image)
        seen, inside = reorient(image, to), None if mask is None else reorient(mask, to)
        turned = self._turning(seen.grid.shape, seen.grid.spacing)
        within = None
        if inside is not None:  # all voxels that touch it
            touched = turned((inside.array != 0).astype(np.float32)[None], self.degrees)[0] > 0
            within = inside.on(touched.view(np.uint8), inside.grid)
        found = self.member.probabilities(
            seen.on(turned(seen.array, self.degrees), seen.grid), mask=within
        )
        array = turned(found.array, -self.degrees)
        if inside is not None:
            array[:, inside.array == 0] = 0
            array[0, inside.array == 0] = 1
        return _returned(found.on(array, found.grid), image)

    def _turning(
        self, shape: tuple[int, ...], spacing: tuple[float, ...]
    ) -> Callable[[NDArray[np.float32], float], NDArray[np.float32]]:
        """Return what turns (C, *shape) arrays."""
        n = len(shape)
        half = np.multiply(shape, spacing) / 2  # mm

        def turned(array: NDArray[np.float32], degrees: float) -> NDArray[np.float32]:
            matrix = turn(n, self.plane, degrees)
            # In mm, then in units in which the volume reaches from -1 to 1; last axis first.
            scaled = (matrix * half / half[:, None])[::-1, ::-1]
            affine = torch.from_numpy(np.column_stack([scaled, np.zeros(n)])).float()
            grid = functional.affine_grid(affine[None], [1, 1, *shape], align_corners=False)
            each = (_sampled(torch.tensor(channel), grid) for channel in array)
            return np.stack([one.numpy() for one in each])

        return turned


def _sampled(channel: Tensor, grid: Tensor) -> Tensor:
    """(...) values at the places of a grid; one channel at a time, as they may be large."""
    found = functional.grid_sample(
        channel[None, None], grid, padding_mode="border", align_corners=False
    )
    return found[0, 0].clamp_(channel.min(), channel.max())  # rounding goes beyond


def _orientation(named: str, image: Image) -> str:
    """Orientation in which a network sees an image."""
    return orientation(image.grid) if named == "stored" else named


def _returned(found: Image, image: Image) -> Image:
    """Probabilities in the order in which the image is stored."""
    return Image(reorient(found, orientation(image.grid)).array, image.grid, found.names)
