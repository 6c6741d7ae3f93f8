"""The pairs of all labels at once: one look at the voxels, one at their borders."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray

from medseg.metrics.distances import Distances
from medseg.metrics.pair import Pair, present_axes
from medseg.volume import BACKGROUND, Labels, require_match

# Up to here a label is its own index into a table; beyond, labels are numbered anew.
_MOST_LABELS = 2**16
_VOXELS_AT_ONCE = 2**20


def pairs(
    predicted: Labels,
    reference: Labels,
    labels: Iterable[int] | None = None,
    regions: Mapping[str, Iterable[int]] | None = None,
) -> dict[int | str, Pair]:
    """Pair of each label and of each region, by label and by the name of the region.

    Parameters
    ----------
    predicted, reference : Labels
        On the same grid.
    labels : iterable of int, optional
        Default: those that either of the two has and those that `reference` has a name for.
    regions : mapping of str to iterable of int, optional
        Name -> labels that make up the region.

    Raises
    ------
    ValueError
        If the two lie on different grids, or a label is not positive.
    """
    require_match(reference.grid, predicted.grid, "the prediction")
    unions = {name: _structures(members) for name, members in (regions or {}).items()}
    maps, spacing = _along_memory(predicted, reference)
    values, codes = _numbered(*_cropped(*maps))
    whole = _Comparison(*codes, len(values), spacing)
    present = values[whole.sizes.any(axis=0)].tolist()
    wanted = sorted({*present, *reference.names} - {BACKGROUND}) if labels is None else labels
    place = {int(value): code for code, value in enumerate(values)}
    found: dict[int | str, Pair] = {
        label: whole.pair(place.get(label), reference) for label in _structures(wanted)
    }
    for name, members in unions.items():
        inside = np.isin(values, members).astype(np.uint8)
        found[name] = _Comparison(inside[codes[0]], inside[codes[1]], 2, spacing).pair(1, reference)
    return found


def _structures(labels: Iterable[int]) -> tuple[int, ...]:
    found = tuple(labels)
    if below := [label for label in found if label <= BACKGROUND]:
        raise ValueError(f"only labels above 0 are structures, {below[0]} can't be scored")
    return found


@dataclass(frozen=True, eq=False)
class _Comparison:
    """Two maps of codes, compared for all codes above 0 at once.

    The maps, of one shape and in C order, may end where the structures do: beyond them is
    code 0.
    """

    predicted: NDArray[np.unsignedinteger]
    reference: NDArray[np.unsignedinteger]
    codes: int
    spacing: tuple[float, ...]

    def pair(self, code: int | None, whole: Labels) -> Pair:
        """Pair of one code, on the grid of `whole`; None is a code that does not occur."""
        total, spacing = whole.array.size, whole.grid.spacing
        if code is None:
            return Pair(0, (0, 0), total, spacing, _no_distances)
        sizes = (int(self.sizes[0, code]), int(self.sizes[1, code]))
        return Pair(int(self.overlaps[code]), sizes, total, spacing, partial(self.distances, code))

    @cached_property
    def sizes(self) -> NDArray[np.int64]:
        """(2, codes): voxels predicted and annotated."""
        return np.stack([_count(self.predicted, self.codes), _count(self.reference, self.codes)])

    @cached_property
    def overlaps(self) -> NDArray[np.int64]:
        """(codes,): voxels in both."""
        # Not a joint histogram, which takes the square of the number of labels.
        return _count(self.predicted[self.predicted == self.reference], self.codes)

    @cached_property
    def borders(self) -> tuple[_Borders, _Borders]:
        return _Borders.of(self.predicted, self.codes), _Borders.of(self.reference, self.codes)

    def distances(self, code: int) -> tuple[Distances, Distances]:
        """What `Pair.distances` is, for one code."""
        first, second = self.borders
        return (
            first.distances_to(second, code, self.spacing),
            second.distances_to(first, code, self.spacing),
        )


@dataclass(frozen=True, eq=False)
class _Borders:
    """Border voxels of every code of a map.

    Parameters
    ----------
    border : (...) integer array
        The code where a voxel is on the border of its structure, 0 elsewhere.
    places : (n,) integer array
        Flat indices of the border voxels, in the order of their codes.
    starts : (codes + 1,) integer array
        Where each code begins in `places`.
    """

    border: NDArray[np.unsignedinteger]
    places: NDArray[np.int64]
    starts: NDArray[np.int64]

    @classmethod
    def of(cls, codes: NDArray[np.unsignedinteger], count: int) -> _Borders:
        edge = np.zeros(codes.shape, bool)
        for axis in range(codes.ndim):
            along, marked = np.moveaxis(codes, axis, 0), np.moveaxis(edge, axis, 0)
            changes = along[1:] != along[:-1]
            marked[1:] |= changes
            marked[:-1] |= changes
            marked[[0, -1]] = True  # beyond the map is code 0
        border = np.where(edge, codes, codes.dtype.type(0))
        places = np.flatnonzero(border)
        found = border.ravel()[places]
        order = np.argsort(found, kind="stable")
        return cls(border, places[order], np.searchsorted(found[order], np.arange(count + 1)))

    def places_of(self, code: int) -> NDArray[np.int64]:
        return self.places[self.starts[code] : self.starts[code + 1]]

    def distances_to(self, other: _Borders, code: int, spacing: tuple[float, ...]) -> Distances:
        """Distance of each border voxel of `code` to the nearest one of `other`."""
        places, targets = self.places_of(code), other.places_of(code)
        if not len(targets):
            return Distances.from_values(np.full(len(places), np.inf))
        values = np.zeros(len(places))
        apart = other.border.ravel()[places] != code  # the others coincide: no need to search
        values[apart] = _nearest(places[apart], targets, self.border.shape, spacing)
        return Distances.from_values(values)


def _nearest(
    places: NDArray[np.int64],
    targets: NDArray[np.int64],
    shape: tuple[int, ...],
    spacing: tuple[float, ...],
) -> NDArray[np.float64]:
    """Distance in mm of each flat index to the nearest of `targets`."""
    from scipy.spatial import KDTree

    if not len(places):
        return np.zeros(0)
    points = np.stack(np.unravel_index(places, shape), axis=1)
    others = np.stack(np.unravel_index(targets, shape), axis=1)
    tree = KDTree(others * np.array(spacing), balanced_tree=False, compact_nodes=False)
    _, nearest = tree.query(points * np.array(spacing))
    # Whole steps times spacing: no rounding grows with the distance from the origin.
    steps: NDArray[np.float64] = (points - others[nearest]) * np.array(spacing)
    return np.asarray(np.sqrt((steps**2).sum(axis=1)))


def _count(codes: NDArray[np.unsignedinteger], count: int) -> NDArray[np.int64]:
    """(count,): voxels of each code."""
    counts = np.zeros(count, np.int64)
    # bincount makes eight bytes of each voxel, so it gets a part of the map at a time.
    for part in np.array_split(codes.ravel(), codes.size // _VOXELS_AT_ONCE + 1):
        counts += np.bincount(part, minlength=count)
    return counts


def _no_distances() -> tuple[Distances, Distances]:
    return Distances.from_values([]), Distances.from_values([])


def _along_memory(
    predicted: Labels, reference: Labels
) -> tuple[tuple[NDArray[np.integer], NDArray[np.integer]], tuple[float, ...]]:
    """Both arrays without axes of length 1, slowest axis in memory first, and their spacing."""
    kept = present_axes(reference.array.shape)
    # No metric minds the order of axes, and files come in Fortran order, slow to copy to C.
    order = sorted(kept, key=lambda axis: -abs(reference.array.strides[axis]))
    shape = tuple(reference.array.shape[axis] for axis in kept)
    turn = [kept.index(axis) for axis in order]
    first, second = (
        x.array.reshape(shape, order="A").transpose(turn) for x in (predicted, reference)
    )
    return (first, second), tuple(reference.grid.spacing[axis] for axis in order)


def _cropped(
    predicted: NDArray[np.integer], reference: NDArray[np.integer]
) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
    """Both arrays cut to the box of what is not background in either; at least one voxel."""
    anything = predicted != BACKGROUND
    anything |= reference != BACKGROUND
    box = []
    for axis in range(anything.ndim):
        others = tuple(other for other in range(anything.ndim) if other != axis)
        filled = np.flatnonzero(anything.any(axis=others))
        box.append(slice(filled[0], filled[-1] + 1) if len(filled) else slice(0, 1))
    return predicted[tuple(box)], reference[tuple(box)]


def _numbered(
    predicted: NDArray[np.integer], reference: NDArray[np.integer]
) -> tuple[NDArray[np.int64], tuple[NDArray[np.unsignedinteger], NDArray[np.unsignedinteger]]]:
    """Label of each code, and both arrays as codes in C order, code 0 for background."""
    low = min(int(predicted.min()), int(reference.min()))
    if low < BACKGROUND:
        raise ValueError(f"only labels above 0 are structures, got {low}; make it 0 or positive")
    high = max(int(predicted.max()), int(reference.max()))
    if high < _MOST_LABELS:
        dtype = np.uint8 if high < 2**8 else np.uint16
        return np.arange(high + 1), (
            np.ascontiguousarray(predicted, dtype),
            np.ascontiguousarray(reference, dtype),
        )
    stacked = np.stack([predicted, reference])
    values, codes = np.unique(np.append(stacked, BACKGROUND), return_inverse=True)
    first, second = codes[:-1].reshape(stacked.shape).astype(np.uint32)
    return values.astype(np.int64), (first, second)
