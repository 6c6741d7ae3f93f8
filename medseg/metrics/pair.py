"""What a metric looks at: one structure as predicted and as annotated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medseg.metrics.distances import Distances

Status = Literal["ok", "missed", "spurious", "both_empty"]


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
    """

    overlap: int
    sizes: tuple[int, int]
    total: int
    spacing: tuple[float, ...]
    measure: Callable[[], tuple[Distances, Distances]] = field(repr=False)

    @classmethod
    def from_masks(
        cls, predicted: ArrayLike, reference: ArrayLike, spacing: ArrayLike = 1.0
    ) -> Pair:
        """Compare two masks, over the whole grid and with nothing clever: the oracle of `pairs`.

        Parameters
        ----------
        predicted, reference : arrays of one shape
            Non-zero is inside.
        spacing : float or tuple of float
            Voxel size in mm, along each axis.
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
            partial(_measure, *masks, millimetres),
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

        A border voxel has a face neighbour outside the structure or outside the grid; an axis
        of length 1 is no axis. All infinite where the other structure is empty.
        """
        return self.measure()

    @cached_property
    def pooled(self) -> Distances:
        """Both directions of `distances` as one."""
        return self.distances[0] + self.distances[1]


def present_axes(shape: tuple[int, ...]) -> list[int]:
    """Axes that a grid really has: those longer than 1, or the first if there is none."""
    return [axis for axis, size in enumerate(shape) if size > 1] or [0]


def _measure(
    predicted: NDArray[np.bool_], reference: NDArray[np.bool_], spacing: tuple[float, ...]
) -> tuple[Distances, Distances]:
    kept = present_axes(reference.shape)
    shape = tuple(reference.shape[axis] for axis in kept)
    zooms = tuple(spacing[axis] for axis in kept)
    first, second = predicted.reshape(shape), reference.reshape(shape)
    return _to_border(first, second, zooms), _to_border(second, first, zooms)


def _to_border(
    source: NDArray[np.bool_], target: NDArray[np.bool_], spacing: tuple[float, ...]
) -> Distances:
    from scipy import ndimage

    source_border, target_border = _border(source), _border(target)
    if not target_border.any():
        return Distances.from_values(np.full(np.count_nonzero(source_border), np.inf))
    to_target = ndimage.distance_transform_edt(~target_border, sampling=spacing)
    return Distances.from_values(to_target[source_border])


def _border(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    from scipy import ndimage

    # Erosion must see background beyond the grid, or a structure cut by its edge has no border.
    return np.asarray(mask & ~ndimage.binary_erosion(mask, border_value=0))
