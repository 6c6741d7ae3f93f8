"""What a metric looks at: one structure as predicted and as annotated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medseg.metrics.distances import Distances
from medseg.metrics.surfels import Surfels, surfels

Status = Literal["ok", "missed", "spurious", "both_empty"]


@dataclass(frozen=True, eq=False)
class Masks:
    """A structure as predicted and as annotated, cut to the box that holds both.

    Axes along which the whole grid has length 1 are left out.

    Parameters
    ----------
    predicted, reference : arrays of one shape
    spacing : tuple of float
        Voxel size in mm along each axis of the masks.
    """

    predicted: NDArray[np.bool_]
    reference: NDArray[np.bool_]
    spacing: tuple[float, ...]

    @classmethod
    def cut(
        cls,
        predicted: NDArray[np.bool_],
        reference: NDArray[np.bool_],
        spacing: tuple[float, ...],
    ) -> Masks:
        """Masks on the whole grid, cut to what is in either; one voxel if nothing is."""
        kept = present_axes(reference.shape)
        gone = tuple(axis for axis in range(reference.ndim) if axis not in kept)
        first, second = predicted.squeeze(gone), reference.squeeze(gone)
        box = box_of(first | second)
        return cls(first[box], second[box], tuple(spacing[axis] for axis in kept))


@dataclass(frozen=True, eq=False)
class Pair:
    """One structure, predicted and annotated, on one grid.

    `pairs` makes them for all labels at once; `from_masks`, slow and plain, makes one.

    Parameters
    ----------
    overlap : int
        Voxels in both.
    sizes : tuple of int
        Voxels predicted and annotated.
    total : int
        Voxels of the grid.
    spacing : tuple of float
        Voxel size in mm along each axis of the grid.
    measure : function of nothing
        Gives `distances`; called once, when a metric first asks for them.
    crop : function of nothing
        Gives `masks`; called once, when a metric first asks for them.
    """

    overlap: int
    sizes: tuple[int, int]
    total: int
    spacing: tuple[float, ...]
    measure: Callable[[], tuple[Distances, Distances]] = field(repr=False)
    crop: Callable[[], Masks] = field(repr=False)

    @classmethod
    def from_masks(
        cls,
        predicted: ArrayLike,
        reference: ArrayLike,
        spacing: ArrayLike = 1.0,
        *,
        connectivity: int = 1,
    ) -> Pair:
        """Compare two masks, over the whole grid and with nothing clever: the oracle of `pairs`.

        Parameters
        ----------
        predicted, reference : arrays of one shape
            Non-zero is inside.
        spacing : float or tuple of float
            Voxel size in mm, along each axis.
        connectivity : int
            As for `pairs`.
        """
        masks = np.asarray(predicted, bool), np.asarray(reference, bool)
        shape = masks[1].shape
        if masks[0].shape != shape:
            raise ValueError(f"predicted has shape {masks[0].shape}, reference {shape}")
        zooms = np.asarray(spacing, float)
        if zooms.ndim and zooms.shape != (len(shape),):
            raise ValueError(f"spacing needs {len(shape)} values (mm), got {zooms.tolist()}")
        millimetres = tuple(float(zoom) for zoom in np.broadcast_to(zooms, len(shape)))
        return cls(
            int(np.count_nonzero(masks[0] & masks[1])),
            (int(np.count_nonzero(masks[0])), int(np.count_nonzero(masks[1]))),
            masks[1].size,
            millimetres,
            partial(_measure, *masks, millimetres, connectivity),
            partial(Masks.cut, *masks, millimetres),
        )

    @property
    def tp(self) -> int:
        """True positives: voxels in both."""
        return self.overlap

    @property
    def fp(self) -> int:
        """False positives: voxels predicted alone."""
        return self.sizes[0] - self.overlap

    @property
    def fn(self) -> int:
        """False negatives: voxels annotated alone."""
        return self.sizes[1] - self.overlap

    @property
    def tn(self) -> int:
        """True negatives: voxels in neither."""
        return self.total - sum(self.sizes) + self.overlap

    @property
    def status(self) -> Status:
        """What there is to compare; missed has no prediction, spurious no reference."""
        if all(self.sizes):
            return "ok"
        if not any(self.sizes):
            return "both_empty"
        return "missed" if self.sizes[1] else "spurious"

    @cached_property
    def distances(self) -> tuple[Distances, Distances]:
        """Mm from each border voxel to the other border: those predicted, then those annotated.

        A border voxel has a neighbour outside the structure or outside the grid, a neighbour
        across a face if nothing else was asked for; an axis of length 1 is no axis. All
        infinite where the other structure is empty.
        """
        return self.measure()

    @cached_property
    def masks(self) -> Masks:
        """The two structures themselves, for what is no matter of counts and distances."""
        return self.crop()

    @cached_property
    def surfels(self) -> tuple[Surfels, Surfels]:
        """Pieces of the surfaces between voxels: those predicted, then those annotated."""
        return surfels(self.masks.predicted, self.masks.reference, self.masks.spacing)

    @cached_property
    def pooled(self) -> Distances:
        """Both directions of `distances` as one."""
        return self.distances[0] + self.distances[1]


def present_axes(shape: tuple[int, ...]) -> list[int]:
    """Axes that a grid really has: those longer than 1, or the first if there is none."""
    return [axis for axis, size in enumerate(shape) if size > 1] or [0]


def box_of(mask: NDArray[np.bool_]) -> tuple[slice, ...]:
    """Smallest box that holds all of the mask; the first voxel if it is empty."""
    box: list[slice] = []
    for axis in range(mask.ndim):
        others = tuple(other for other in range(mask.ndim) if other != axis)
        # What the axes before have ruled out is not looked at again.
        filled = np.flatnonzero(mask[tuple(box)].any(axis=others))
        box.append(slice(filled[0], filled[-1] + 1) if len(filled) else slice(0, 1))
    return tuple(box)


def _measure(
    predicted: NDArray[np.bool_],
    reference: NDArray[np.bool_],
    spacing: tuple[float, ...],
    connectivity: int,
) -> tuple[Distances, Distances]:
    kept = present_axes(reference.shape)
    shape = tuple(reference.shape[axis] for axis in kept)
    zooms = tuple(spacing[axis] for axis in kept)
    return border_distances(predicted.reshape(shape), reference.reshape(shape), zooms, connectivity)


def border_distances(
    first: NDArray[np.bool_],
    second: NDArray[np.bool_],
    spacing: tuple[float, ...],
    connectivity: int,
) -> tuple[Distances, Distances]:
    """Mm from the border of each mask to that of the other, with nothing clever.

    Of any number of axes, all of which count, even those of length 1.
    """
    borders = border_of(first, connectivity), border_of(second, connectivity)
    return _to_border(borders[0], borders[1], spacing), _to_border(borders[1], borders[0], spacing)


def border_of(mask: NDArray[np.bool_], connectivity: int = 1) -> NDArray[np.bool_]:
    """Voxels of a mask that have a neighbour outside it, or outside the grid."""
    from scipy import ndimage

    around = ndimage.generate_binary_structure(mask.ndim, connectivity)
    # Erosion must see background beyond the grid, or a structure cut by its edge has no border.
    return np.asarray(mask & ~ndimage.binary_erosion(mask, around, border_value=0))


def _to_border(
    source: NDArray[np.bool_], target: NDArray[np.bool_], spacing: tuple[float, ...]
) -> Distances:
    from scipy import ndimage

    if not target.any():
        return Distances.from_values(np.full(np.count_nonzero(source), np.inf))
    to_target = ndimage.distance_transform_edt(~target, sampling=spacing)
    return Distances.from_values(to_target[source])
