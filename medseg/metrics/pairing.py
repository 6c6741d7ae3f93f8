"""The pairs of all labels at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from medseg.metrics.comparison import Comparison
from medseg.metrics.distances import Distances
from medseg.metrics.pair import Masks, Pair, present_axes
from medseg.volume import BACKGROUND, Labels, require_match


def pairs(
    predicted: Labels,
    reference: Labels,
    labels: Iterable[int] | None = None,
    regions: Mapping[str, Iterable[int]] | None = None,
    *,
    connectivity: int = 1,
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
    connectivity : int
        What a border voxel is: one with a neighbour outside the structure across a face (1),
        across a face or an edge (2), or across a face, an edge or a corner (3).

    Raises
    ------
    ValueError
        If the two lie on different grids, or a label is not positive.
    """
    require_match(reference.grid, predicted.grid, "the prediction")
    unions = {name: _structures(members) for name, members in (regions or {}).items()}
    values, maps = _numbered(predicted.array, reference.array)
    axes = present_axes(reference.array.shape)
    setting = _Setting(predicted, reference, reference.grid.spacing, axes, connectivity)
    found: dict[int | str, Pair] = {}
    whole = setting.compare(maps, len(values))
    present = values[np.flatnonzero((whole.sizes[0] > 0) | (whole.sizes[1] > 0))].tolist()
    wanted = sorted({*present, *reference.names} - {BACKGROUND}) if labels is None else labels
    for label in _structures(wanted):
        code = int(np.searchsorted(values, label))
        known = code < len(values) and values[code] == label
        found[label] = setting.pair(whole, code if known else None, (label,))
    for name, members in unions.items():
        union = whole.merged(np.isin(values, members))
        found[name] = setting.pair(union, 1, members)
    return found


def _structures(labels: Iterable[int]) -> tuple[int, ...]:
    found = tuple(labels)
    if below := [label for label in found if label <= BACKGROUND]:
        raise ValueError(f"only labels above 0 are structures, {below[0]} can't be scored")
    return found


@dataclass(frozen=True, eq=False)
class _Setting:
    """What the pairs of all labels have in common."""

    predicted: Labels
    reference: Labels
    spacing: tuple[float, ...]
    axes: list[int]
    connectivity: int

    def compare(self, maps: tuple[NDArray, NDArray], codes: int) -> Comparison:
        """Compare maps of codes, taking an axis of length 1 for none."""
        shape = self.reference.array.shape
        gone = tuple(axis for axis in range(len(shape)) if axis not in self.axes)
        return Comparison.of(
            maps[0].squeeze(gone),
            maps[1].squeeze(gone),
            codes,
            tuple(self.spacing[axis] for axis in self.axes),
            self.connectivity,
        )

    def pair(self, compared: Comparison, code: int | None, labels: tuple[int, ...]) -> Pair:
        """Pair of one code, which stands for `labels`; None is a code that does not occur."""
        total = self.reference.array.size
        crop = partial(_masks, self.predicted, self.reference, labels)
        if code is None:
            return Pair(0, (0, 0), total, self.spacing, _no_distances, crop)
        predicted, annotated, both = compared.sizes[:, code].tolist()
        measure = partial(compared.distances, code)
        return Pair(both, (predicted, annotated), total, self.spacing, measure, crop)


def _masks(predicted: Labels, reference: Labels, labels: tuple[int, ...]) -> Masks:
    if len(labels) == 1:
        first, second = predicted.mask(labels[0]), reference.mask(labels[0])
    else:
        first, second = np.isin(predicted.array, labels), np.isin(reference.array, labels)
    return Masks.cut(first, second, reference.grid.spacing)


def _no_distances() -> tuple[Distances, Distances]:
    return Distances.from_values([]), Distances.from_values([])


def _numbered(
    predicted: NDArray[np.integer], reference: NDArray[np.integer]
) -> tuple[NDArray[np.int64], tuple[NDArray, NDArray]]:
    """Label of each code, and both arrays as codes of one unsigned dtype, 0 for background.

    Up to 65535 a label is its own code; beyond, labels are numbered anew.
    """
    first, second = _narrowed(predicted), _narrowed(reference)
    if first is not None and second is not None:
        dtype = np.promote_types(first.dtype, second.dtype)
        first, second = first.astype(dtype, copy=False), second.astype(dtype, copy=False)
        return np.arange(np.iinfo(dtype).max + 1), (first, second)
    stacked = np.stack([predicted, reference])
    values, numbers = np.unique(np.append(stacked, BACKGROUND), return_inverse=True)
    first, second = numbers[:-1].reshape(stacked.shape).astype(np.uint32)
    return values.astype(np.int64), (first, second)


def _narrowed(array: NDArray[np.integer]) -> NDArray | None:
    """Labels in the smaller of uint8 and uint16 that holds them; None if neither does."""
    from medseg.metrics import _kernels

    # Files may hold the bytes of a number in either order, numba reads one.
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    if array.dtype in (np.uint8, np.uint16) or not array.size:
        return array
    if not (array.flags.c_contiguous or array.flags.f_contiguous):
        array = np.ascontiguousarray(array)
    flat = array.reshape(-1, order="A")
    for dtype in (np.uint8, np.uint16):
        into = np.empty_like(array, dtype)
        bits = int(_kernels.narrow(flat, into.reshape(-1, order="A")))
        if bits < BACKGROUND:
            raise ValueError(
                f"only labels above 0 are structures, got {array.min()}; make it 0 or positive"
            )
        if bits <= np.iinfo(dtype).max:
            return into
    return None
