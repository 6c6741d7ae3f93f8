"""What pulls at the points of a contour: fields of an image, and means inside and outside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from medseg.classical.matter import Points
from medseg.contour import Crossings, running_sums
from medseg.volume import Image, reorient

if TYPE_CHECKING:
    from medseg.classical.moving import Moving


@dataclass(frozen=True, eq=False)
class Place:
    """Where points may be, and what an image is between its voxels.

    Parameters
    ----------
    allowed : (...) bool array
        Voxels that contours may enter.
    spacing : (axes,) float array, mm
    """

    allowed: NDArray[np.bool_]
    spacing: NDArray[np.float64]

    @cached_property
    def everywhere(self) -> bool:
        """Whether all voxels may be entered."""
        return bool(self.allowed.all())

    def without(self, regions: Sequence[NDArray[np.bool_]]) -> Place:
        """Place of which some regions are taken."""
        if not regions:
            return self
        return replace(self, allowed=self.allowed & ~np.logical_or.reduce(regions))

    def sampled(self, values: NDArray, points: Points) -> NDArray[np.float64]:
        """Linear interpolation of (n, ...) arrays at points in mm, (points, n)."""
        places = (points / self.spacing).T
        found = [
            map_coordinates(each, places, np.float64, order=1, mode="nearest") for each in values
        ]
        return np.stack(found, axis=1)

    def held(self, points: Points, before: Points) -> Points:
        """Points drawn back into the volume, and to where they were if they may not be there."""
        ends = (np.array(self.allowed.shape) - 0.5) * self.spacing
        inside = np.clip(points, -self.spacing / 2, ends)
        if self.everywhere:
            return inside
        return np.where(self.allowed[self.voxels(inside)][:, None], inside, before)

    def voxels(self, points: Points) -> tuple[NDArray[np.int64], ...]:
        """Voxels in which points are, as an index of an array."""
        nearest = np.rint(points / self.spacing).astype(np.int64)
        return tuple(np.clip(nearest, 0, np.array(self.allowed.shape) - 1).T)


@dataclass(frozen=True, eq=False)
class Region:
    """How much nearer an image is to its mean inside a contour than to that outside.

    Parameters
    ----------
    place : Place
    values : (C, ...) float array
        0 where nothing is allowed.
    weights : (1, ...) float array or None
        1 where something is allowed, 0 elsewhere; None if that is everywhere.
    running : (C + 1, ..., last + 1) float array
        Running sums of the values and of the voxels.
    """

    place: Place
    values: NDArray[np.float32]
    weights: NDArray[np.float32] | None
    running: NDArray[np.float64]

    @classmethod
    def of(cls, values: NDArray[np.float32], place: Place) -> Region:
        """Region of a (C, ...) image."""
        allowed = place.allowed[None]
        known = np.where(allowed, values, 0)
        running = np.concatenate([running_sums(known), running_sums(allowed)])
        weights = None if place.everywhere else allowed.astype(np.float32)
        return cls(place, known, weights, running)

    def means(self, membrane: Moving) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Means inside and outside, (C,); both 0 if there are no voxels on one of the sides."""
        crossings = Crossings.of(
            membrane.points / self.place.spacing, membrane.cells, self.place.allowed.shape
        )
        inside = crossings.sums(self.running)
        outside = self.running[..., -1].reshape(len(inside), -1).sum(axis=1) - inside
        if inside[-1] < 1 or outside[-1] < 1:
            return np.zeros(len(self.values)), np.zeros(len(self.values))
        return inside[:-1] / inside[-1], outside[:-1] / outside[-1]

    def speed(
        self, points: Points, within: NDArray[np.float64], beyond: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Speed outwards at some points, in [-1, 1]; 0 if inside and outside are alike."""
        contrast = ((within - beyond) ** 2).sum()
        if not contrast:
            return np.zeros(len(points))
        found = self.place.sampled(self.values, points)
        if self.weights is not None:
            # So that values of what is not allowed have no share in what lies beside it.
            share = self.place.sampled(self.weights, points)
            found = found / np.where(share > 0, share, 1)
        nearer = ((found - beyond) ** 2 - (found - within) ** 2).sum(axis=1)
        return np.asarray(np.clip(nearer / contrast, -1, 1))


@dataclass(frozen=True, eq=False)
class Pull:
    """All that pulls at a contour, as a speed in mm per unit of time.

    Parameters
    ----------
    place : Place
    field : (axes, ...) float array or None
        Speed along each axis.
    balloon : (1, ...) float array or None
        Speed outwards.
    region : Region or None
    region_weight : float
    """

    place: Place
    field: NDArray[np.float32] | None
    balloon: NDArray[np.float32] | None
    region: Region | None
    region_weight: float

    @cached_property
    def slices(self) -> tuple[NDArray, NDArray, NDArray, NDArray, NDArray[np.float64], float]:
        """Field, balloon, values, weights and running sums of a slice, and the region's weight.

        As compiled code takes them: what there is none of is empty.
        """
        none = np.zeros((0, *self.place.allowed.shape), np.float32)
        found = [self.field, self.balloon, None, None]
        running = np.zeros((0, 0, 0))
        if self.region is not None:
            found[2:], running = [self.region.values, self.region.weights], self.region.running
        first, second, third, fourth = (
            none if each is None else np.ascontiguousarray(each) for each in found
        )
        return first, second, third, fourth, running, float(self.region_weight)

    def at(self, membrane: Moving, reach: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Speed outwards of each point, and how steeply it falls within `reach` mm, or 0.

        What pulls along a membrane does not move it, and would only crowd its points.
        """
        points, outwards = membrane.points, membrane.normals()
        means = (np.zeros(0),) * 2 if self.region is None else self.region.means(membrane)
        before, here, after = (
            self._speeds(points + way * outwards, outwards, means) for way in (-reach, 0, reach)
        )
        return here, np.maximum(np.maximum(before - here, here - after), 0) / reach

    def _speeds(
        self,
        points: Points,
        outwards: Points,
        means: tuple[NDArray[np.float64], NDArray[np.float64]],
    ) -> NDArray[np.float64]:
        """Speed of each point in its direction."""
        found = np.zeros(len(points))
        if self.field is not None:
            found += (self.place.sampled(self.field, points) * outwards).sum(axis=1)
        if self.balloon is not None:
            found += self.place.sampled(self.balloon, points)[:, 0]
        if self.region is not None:
            found += self.region_weight * self.region.speed(points, *means)
        return found


def in_world(places: NDArray[np.float64], image: Image) -> NDArray[np.float64]:
    """Places in mm of the world, of places in voxels.

    Parameters
    ----------
    places : (n, axes) float array
        Along the axes of `image` in canonical orientation; those of length 1 may be absent.
    image : Image
    """
    grid = reorient(image).grid
    axes = [axis for axis, size in enumerate(grid.shape) if size > 1]
    # A single line of voxels is taken as a slice that is as wide as one of them.
    axes += [axis for axis in range(grid.ndim) if axis not in axes]
    found = np.zeros((len(places), grid.ndim))
    found[:, axes[: places.shape[1]]] = places
    return np.asarray(found @ grid.affine[:-1, :-1].T + grid.affine[:-1, -1])
