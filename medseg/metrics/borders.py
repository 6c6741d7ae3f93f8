"""Borders of all labels of a map, with background around them."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

_Map = NDArray[np.unsignedinteger]

# Bytes in which the kernels look at a map.
WORD = 8


@dataclass(frozen=True)
class Room:
    """A flat array with a box in it, and background around that, as far as any step reaches.

    What lies behind the end of a row lies before the next one too, so it stands there once.
    """

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    start: int
    size: int

    @classmethod
    def around(cls, box: tuple[slice, ...], reach: tuple[int, ...]) -> Room:
        """Room for a box, with as much around it as the longest step along each axis."""
        shape = tuple(max(side.stop - side.start, 0) for side in box)
        row = _whole_words(shape[2] + reach[2])
        strides = ((shape[1] + reach[1]) * row, row, 1)
        # Ahead of the first voxel and behind the last one there is the longest step.
        margin = sum(stride * end for stride, end in zip(strides, reach, strict=True))
        start = _whole_words(margin)
        return cls(shape, strides, start, start + strides[0] * shape[0] + start)

    @property
    def layout(self) -> tuple[int, int, int]:
        """Where the box begins, and the strides to its next plane and row."""
        return self.start, self.strides[0], self.strides[1]

    def flat(self, steps: NDArray[np.int64]) -> NDArray[np.int64]:
        """Steps in the flat array."""
        return np.asarray(steps @ np.array(self.strides))

    def places(self, flat: NDArray[np.int64]) -> NDArray[np.int64]:
        """(n, 3): voxels of the box along each axis."""
        plane, rest = np.divmod(flat - self.start, self.strides[0])
        row, column = np.divmod(rest, self.strides[1])
        return np.stack([plane, row, column], axis=1)


def _whole_words(voxels: int) -> int:
    return -(-voxels // WORD) * WORD


@dataclass(frozen=True, eq=False)
class Border:
    """Border voxels of all codes of a map.

    Parameters
    ----------
    codes : (n,) integer array
        In a room: the code of each border voxel, 0 elsewhere.
    words : (n * itemsize / 8,) uint64 array
        The same memory.
    """

    codes: _Map
    words: NDArray[np.uint64]

    @classmethod
    def of(
        cls,
        labels: _Map,
        box: tuple[slice, ...],
        filled: NDArray[np.bool_],
        room: Room,
        steps: NDArray[np.int64],
    ) -> Border:
        """Border voxels of a box of a map in C order.

        Parameters
        ----------
        labels : (i, j, k) array
        box : tuple of slice
        filled : (depth, height) bool array
            Rows of the box that may hold anything.
        room : Room
            That of the box.
        steps : (n,) integer array
            Steps to neighbours in the room.
        """
        from medseg.metrics import _kernels

        _, height, width = labels.shape
        first = (box[0].start * height + box[1].start) * width + box[2].start
        place = (first, height * width, width)
        codes, border = np.zeros(room.size, labels.dtype), np.zeros(room.size, labels.dtype)
        _kernels.find_borders(
            labels.reshape(-1), place, filled, room.shape[2], room.layout, steps, codes, border
        )
        return cls(border, border.view(np.uint64))


def far_distances(
    flat: NDArray[np.int64],
    borders: tuple[Border, Border],
    codes: int,
    room: Room,
    spacing: tuple[float, ...],
) -> dict[int, NDArray[np.float64]]:
    """Code -> mm from each of the voxels `flat` of a border to the same code in the other."""
    from medseg.metrics import _kernels

    if not len(flat):
        return {}
    border, other = borders
    points = _by_code(border.codes, flat)
    wanted = np.zeros(codes, bool)
    wanted[list(points)] = True
    buffer = np.empty(prod(room.shape), np.int64)
    found = _kernels.gather(other.words, other.codes, wanted, buffer)
    targets = _by_code(other.codes, buffer[:found])
    return {
        code: _nearest(room.places(places), room.places(targets[code]), spacing)
        for code, places in points.items()
    }


def _nearest(
    points: NDArray[np.int64], targets: NDArray[np.int64], spacing: tuple[float, ...]
) -> NDArray[np.float64]:
    """Distance in mm of each of the (n, 3) points to the nearest of the (m, 3) targets, m > 0."""
    from medseg.metrics import _kernels

    low, extent = targets.min(axis=0), int(np.ptp(targets, axis=0).max()) + 1
    # As long to look at all cells as at the targets on a surface through a few of them.
    edge = max(int((len(targets) / 4) ** 0.25) + 1, extent // 256 + 1)
    inside = (targets - low) // edge
    cell = inside @ np.array([2**16, 2**8, 1])
    order = np.argsort(cell, kind="stable")
    sorted_targets = targets[order]
    _, starts = np.unique(cell[order], return_index=True)
    boxes = np.stack([f.reduceat(sorted_targets, starts) for f in (np.minimum, np.maximum)], axis=1)
    ends = np.append(starts, len(targets))
    found: NDArray[np.float64] = _kernels.nearest(
        points, sorted_targets, ends, boxes, np.array(spacing)
    )
    return found


def _by_code(codes: _Map, flat: NDArray[np.int64]) -> dict[int, NDArray[np.int64]]:
    """Code -> those of the voxels `flat` that have it."""
    found = codes[flat]
    order = np.argsort(found, kind="stable")
    together = found[order]
    starts = np.flatnonzero(together[1:] != together[:-1]) + 1
    values = together[np.append(0, starts)]
    return dict(zip(values.tolist(), np.split(flat[order], starts), strict=True))
