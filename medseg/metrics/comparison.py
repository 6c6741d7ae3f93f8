"""Two maps of codes, compared for all codes at once: sizes, overlaps and border distances."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from math import prod

import numpy as np
from numpy.typing import NDArray

from medseg.metrics.borders import WORD, Border, Room, far_distances
from medseg.metrics.distances import Distances
from medseg.metrics.offsets import Offsets, neighbours, offsets

_Map = NDArray[np.unsignedinteger]
_NOTHING = Distances(np.zeros(0), np.zeros(0, np.int64))


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two maps of codes with background 0, compared for all codes at once.

    Parameters
    ----------
    maps : two (i, j, k) arrays in C order, of one unsigned dtype
        As predicted and as annotated. Beyond their edge is background.
    codes : int
        Above any code.
    spacing : tuple of float
        Mm along each axis.
    along : tuple of bool
        Axes that count: along the others no voxel has a neighbour, and they have length 1.
    connectivity : int
        Which neighbours make a voxel a border voxel: 1 those that share a face, 2 also those
        that share an edge, 3 also those that share a corner.
    """

    maps: tuple[_Map, _Map]
    codes: int
    spacing: tuple[float, ...]
    along: tuple[bool, ...]
    connectivity: int = 1

    @classmethod
    def of(
        cls,
        predicted: _Map,
        reference: _Map,
        codes: int,
        spacing: tuple[float, ...],
        connectivity: int = 1,
    ) -> Comparison:
        """Compare two maps of up to three axes, stored in any order; every axis counts."""
        missing = 3 - reference.ndim
        # No distance minds the order of axes, and files come in Fortran order, slow to turn.
        order = sorted(range(reference.ndim), key=lambda axis: -abs(reference.strides[axis]))
        back = tuple(slice(None, None, -1 if reference.strides[a] < 0 else 1) for a in order)
        first, second = (
            np.ascontiguousarray(m.transpose(order)[back])[(None,) * missing]
            for m in (predicted, reference)
        )
        # numba compiles once more for arrays that may be written to.
        first.flags.writeable = second.flags.writeable = False
        zooms = (1.0,) * missing + tuple(spacing[axis] for axis in order)
        along = (False,) * missing + (True,) * reference.ndim
        return cls((first, second), codes, zooms, along, connectivity)

    @cached_property
    def sizes(self) -> NDArray[np.int64]:
        """(3, codes): voxels predicted, annotated, and both."""
        return self._counted.sizes

    @cached_property
    def box(self) -> tuple[slice, ...]:
        """Part of the maps outside of which there is background; it may be empty."""
        return self._counted.box

    def distances(self, code: int) -> tuple[Distances, Distances]:
        """Mm from the border voxels of a code to its other border: predicted, then annotated."""
        return self._searched.distances(code)

    def merged(self, inside: NDArray[np.bool_]) -> Comparison:
        """Compare the union of some codes, as code 1; `inside` is (codes,)."""
        codes = inside.view(np.uint8)
        first, second = (np.ascontiguousarray(codes[m[self.box]]) for m in self.maps)
        first.flags.writeable = second.flags.writeable = False
        return replace(self, maps=(first, second), codes=2)

    @cached_property
    def _counted(self) -> _Counted:
        return _Counted.of(self.maps, self.codes)

    @cached_property
    def _searched(self) -> Searched:
        table = offsets(self.spacing, self.along)
        room = Room.around(self.box, table.reach)
        steps = room.flat(neighbours(self.along, self.connectivity))
        filled = np.ascontiguousarray(self._counted.filled[self.box[:2]])
        borders = tuple(Border.of(m, self.box, filled, room, steps) for m in self.maps)
        present = self.sizes[:2] > 0
        present[:, 0] = False
        return Searched.of(borders, filled, present, room, table, self.spacing)


@dataclass(frozen=True, eq=False)
class _Counted:
    """The first look at two maps.

    Parameters
    ----------
    sizes : (3, codes) integer array
    box : tuple of slice
        Part outside of which there is background; some voxels too large, or empty.
    filled : (depth, height) bool array
        Rows that may hold anything.
    """

    sizes: NDArray[np.int64]
    box: tuple[slice, slice, slice]
    filled: NDArray[np.bool_]

    @classmethod
    def of(cls, maps: tuple[_Map, _Map], codes: int) -> _Counted:
        from medseg.metrics import _kernels

        shape, (first, second) = maps[0].shape, (m.reshape(-1) for m in maps)
        per = WORD // first.itemsize
        ones = np.uint64(sum(256 ** (first.itemsize * voxel) for voxel in range(per)))
        whole = len(first) // per * per
        words = first[:whole].view(np.uint64), second[:whole].view(np.uint64)
        sizes, filled = np.zeros((3, codes), np.int64), np.zeros(shape[:2], bool)
        low, high = _kernels.count(
            (first, second), words, ones, shape[2], sizes, filled.reshape(-1)
        )
        planes, rows = np.flatnonzero(filled.any(axis=1)), np.flatnonzero(filled.any(axis=0))
        if not len(planes):
            return cls(sizes, (slice(0, 0), slice(0, 0), slice(0, 0)), filled)
        box = slice(planes[0], planes[-1] + 1), slice(rows[0], rows[-1] + 1), slice(low, high + 1)
        return cls(sizes, box, filled)


@dataclass(frozen=True, eq=False)
class Searched:
    """How many border voxels of each code have each distance from its other border.

    Parameters
    ----------
    rows : (codes,) integer array
        Row of each code in `counts`, -1 for one that does not occur.
    mm : (ranks,) float array
        Distances of the columns of `counts`, but for the last, which is for no other border.
    counts : (2, rows, ranks + 1) integer array
        Border voxels predicted and annotated.
    far : two mappings of int to (n,) float array
        Code -> the distances in mm beyond those of `counts`.
    """

    rows: NDArray[np.int32]
    mm: NDArray[np.float64]
    counts: NDArray[np.int64]
    far: tuple[dict[int, NDArray[np.float64]], ...]

    @classmethod
    def of(
        cls,
        borders: tuple[Border, ...],
        filled: NDArray[np.bool_],
        present: NDArray[np.bool_],
        room: Room,
        table: Offsets,
        spacing: tuple[float, ...],
    ) -> Searched:
        """Search around each border voxel, nearest first.

        Parameters
        ----------
        borders : two Border
            As predicted and as annotated.
        filled : (depth, height) bool array
            Rows of the box that may hold any.
        present : (2, codes) bool array
            Codes that are predicted and annotated; not background.
        room : Room
        table : Offsets
        spacing : tuple of float, mm
        """
        from medseg.metrics import _kernels

        either = np.flatnonzero(present[0] | present[1])
        rows = np.full(present.shape[1], -1, np.int32)
        rows[either] = np.arange(len(either))
        counts = np.zeros((2, len(either), len(table.mm) + 1), np.int64)
        steps = room.flat(table.steps)
        far = []
        for side, (border, other) in enumerate((borders, borders[::-1])):
            places = np.empty(prod(room.shape), np.int64)
            found = _kernels.search(
                border.codes,
                border.words,
                filled,
                room.layout,
                other.codes,
                rows,
                present[1 - side, either],
                steps,
                table.ranks,
                counts[side],
                places,
            )
            far.append(far_distances(places[:found], (border, other), len(rows), room, spacing))
        return cls(rows, table.mm, counts, tuple(far))

    def distances(self, code: int) -> tuple[Distances, Distances]:
        """What `Comparison.distances` is."""
        row = self.rows[code] if code < len(self.rows) else -1
        if row < 0:
            return _NOTHING, _NOTHING
        first, second = self.counts[:, row]
        if first[-1] or second[-1]:  # then the other has no border at all
            return _without_end(first[-1:]), _without_end(second[-1:])
        beyond = [side[code] for side in self.far if code in side]
        if not beyond:
            return Distances(self.mm, first[:-1]), Distances(self.mm, second[:-1])
        more = np.unique(np.concatenate(beyond))
        mm = np.concatenate([self.mm, more])
        return (
            Distances(mm, _followed(first[:-1], self.far[0].get(code), more)),
            Distances(mm, _followed(second[:-1], self.far[1].get(code), more)),
        )


def _without_end(count: NDArray[np.int64]) -> Distances:
    return Distances(np.full(len(count), np.inf), count) if count[0] else _NOTHING


def _followed(
    near: NDArray[np.int64], values: NDArray[np.float64] | None, mm: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Counts `near`, and then how many `values` have each of the distances `mm`."""
    places = np.searchsorted(mm, [] if values is None else values)
    return np.concatenate([near, np.bincount(places, minlength=len(mm))])
