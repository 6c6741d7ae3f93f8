"""Turn and crop an image as a network wants it, and put what comes back in its place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from medseg.learning.conventions import Conventions
from medseg.resampling import crop
from medseg.segmenter import in_place_of
from medseg.volume import Grid, Image, Labels, orientation, reorient

_Volume = TypeVar("_Volume", bound=Image | Labels)


@dataclass(frozen=True, eq=False)
class Framed:
    """The part of an image that a network sees, in an orientation that needs no further turn.

    Parameters
    ----------
    image : Image
    mask : Labels, optional
    native : Grid
        Of the whole image, as it is stored.
    turned : Grid
        Of the whole image, in the orientation of the conventions.
    start : tuple of int
        First voxel of the part, of those of `turned`.
    """

    image: Image
    mask: Labels | None
    native: Grid
    turned: Grid
    start: tuple[int, ...]

    def part(self, volume: _Volume) -> _Volume:
        """Of a volume on the grid of the whole image, the part that `image` is of."""
        if self.image.grid is self.native:
            return volume
        turned = reorient(volume, orientation(self.turned)).array
        plain = Grid.from_spacing(self.turned.shape, self.turned.spacing)
        return crop(cast(_Volume, volume.on(turned, plain)), self.start, self.image.grid.shape)

    def whole(self, part: _Volume, around: float = 1) -> _Volume:
        """Volume on the grid of the whole image; around the part all is background.

        Parameters
        ----------
        part : Labels, or Image of probabilities
            On the grid of `image`.
        around : float
            Probability of the first channel there; those of the others, and labels, are 0.
        """
        if part.grid is self.native:
            return part
        lead = part.array.shape[: part.array.ndim - len(self.start)]
        array = np.zeros((*lead, *self.turned.shape), part.array.dtype)
        if lead:
            array[0] = around
        ends = zip(self.start, part.grid.shape, strict=True)
        at: tuple[Any, ...] = (..., *(slice(a, a + n) for a, n in ends))
        array[at] = part.array
        back = reorient(part.on(array, self.turned), orientation(self.native))
        return cast(_Volume, part.on(back.array, self.native))


def frame(image: Image, mask: Labels | None, conventions: Conventions) -> Framed:
    """Lay out an image, and a mask on its grid, as `conventions` say."""
    if conventions.orientation == "RAS" and conventions.crop == "none":
        return Framed(image, mask, image.grid, image.grid, (0,) * image.grid.ndim)
    to = conventions.orientation
    to = orientation(image.grid) if to == "stored" else to
    turned = reorient(image, to)
    # Said to be RAS, so that it is not turned once more.
    plain = Grid.from_spacing(turned.grid.shape, turned.grid.spacing)
    start, shape = (0,) * plain.ndim, plain.shape
    if conventions.crop == "nonzero":
        start, shape = _box(nonzero(turned.array))
    seen = crop(turned.on(turned.array, plain), start, shape)
    inside = None if mask is None else crop(mask.on(reorient(mask, to).array, plain), start, shape)
    return Framed(seen, inside, image.grid, turned.grid, start)


def placed(values: NDArray[np.integer], framed: Framed, names: Mapping[int, str]) -> Labels:
    """Labels of values in canonical orientation, on the grid of the whole image."""
    if framed.mask is not None:
        values = np.where(reorient(framed.mask).array != 0, values, 0)
    return framed.whole(in_place_of(values, framed.image, names))


def nonzero(array: NDArray) -> NDArray[np.bool_]:
    """(...) mask of the voxels of (C, ...) that are not 0 in all channels."""
    inside: NDArray[np.bool_] = (array != 0).any(0)
    return inside


def _box(inside: NDArray[np.bool_]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """First voxel and shape of the box around a mask; of an empty one, of all."""
    axes = range(inside.ndim)
    if not inside.any():
        return (0,) * inside.ndim, inside.shape
    start, shape = [], []
    for axis in axes:
        at = np.flatnonzero(inside.any(axis=tuple(a for a in axes if a != axis)))
        start.append(int(at[0]))
        shape.append(int(at[-1]) + 1 - int(at[0]))
    return tuple(start), tuple(shape)
