"""From the voxels that a network sees back to those of the image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from medseg.networks.layer_field import LayerField
from medseg.resampling import crop, part_of, resample
from medseg.volume import Grid, Image, Labels

_Volume = TypeVar("_Volume", bound=Image | Labels)


@dataclass(frozen=True, eq=False)
class Place:
    """Where the voxels that are seen lie.

    Parameters
    ----------
    box : Grid
        Of the voxels of a window that belong to the volume.
    image : Grid
        Of the image, as it is stored.
    """

    box: Grid
    image: Grid

    @property
    def part(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """First voxel and shape of the smallest part of the image that holds the box."""
        to_box = np.linalg.inv(self.box.affine) @ self.image.affine
        start, shape = [0] * self.image.ndim, [0] * self.image.ndim
        for axis, row in enumerate(to_box[:-1]):
            # The grids are turned by quarters only, so one axis of the image runs along each.
            own = int(np.abs(row[:-1]).argmax())
            at = row[own] * np.arange(self.image.shape[own]) + row[-1]
            # Of slices thicker than those of the network, the one that holds them.
            reach = max(0.5, abs(row[own]) / 2) + 1e-6
            held = np.flatnonzero((at >= -reach) & (at <= self.box.shape[axis] - 1 + reach))
            start[own], shape[own] = int(held[0]), int(held[-1] - held[0]) + 1
        return tuple(start), tuple(shape)

    def cropped(self, volume: _Volume) -> _Volume:
        """Of a volume on the grid of the image, the part that is seen."""
        return crop(volume, *self.part)

    def on_part(self, maps: NDArray, names: tuple[str, ...] = ()) -> Image:
        """(K, ...) maps of the box, interpolated on the part of the image."""
        return resample(Image(maps, self.box, names), part_of(self.image, *self.part))

    def whole(self, part: Image) -> Image:
        """What lies on the part, on the grid of the image: 0 around it."""
        array = np.zeros((part.channels, *self.image.shape), np.float32)
        at: tuple[Any, ...] = tuple(slice(a, a + n) for a, n in zip(*self.part, strict=True))
        array[(slice(None), *at)] = part.array
        return Image(array, self.image, part.names)

    def layer(self, field: LayerField, before: tuple[int, ...], shape: tuple[int, ...]) -> Grid:
        """Grid of a layer.

        Parameters
        ----------
        field : LayerField
            With an entry for each axis of the box.
        before : tuple of int
            Voxels that are seen before the box begins.
        shape : tuple of int
            Voxels of the layer.
        """
        change = np.diag([*field.stride, 1.0])
        change[:-1, -1] = np.array(field.offset) - before
        return Grid(shape, self.box.affine @ change, self.box.code, self.box.unit)

    def from_layer(self, maps: NDArray, grid: Grid) -> NDArray[np.float32]:
        """(K, ...) maps of a layer, interpolated in the box; 0 where the layer has no voxel."""
        array = np.array(resample(Image(maps, grid), self.box).array)
        to_layer = np.linalg.inv(grid.affine) @ self.box.affine
        for axis, size in enumerate(grid.shape):
            at = to_layer[axis, axis] * np.arange(self.box.shape[axis]) + to_layer[axis, -1]
            outside = (at < -0.5 - 1e-6) | (at > size - 0.5 + 1e-6)
            array[(slice(None),) * (axis + 1) + (outside,)] = 0
        return array
