"""MedPy's metrics of two masks: its names, arguments, values and errors, and many times faster.

Arguments are arrays in which all but 0 is inside, the result first. Unlike in `METRICS` an axis
of length 1 counts, so every voxel of a single slice (1, i, j) is on the border; two axes (i, j)
make a picture. Where numpy 2 broke MedPy, the values are those that MedPy documents: two empty
masks have `dc` 1, and what would divide nothing by nothing is 0.

References
----------
O. Maier et al., MedPy, Zenodo, doi:10.5281/zenodo.2565940
"""

from __future__ import annotations

from collections.abc import Iterable
from math import nan
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medseg.components import components
from medseg.metrics.comparison import Comparison
from medseg.metrics.distances import Distances
from medseg.metrics.matching import assign
from medseg.metrics.pair import border_distances, box_of
from medseg.metrics.partition import Partition

_Spacing = float | Iterable[float] | None


def dc(result: ArrayLike, reference: ArrayLike) -> float:
    """Dice coefficient, in [0, 1]; 1 if both are empty."""
    first, second, both = _sizes(result, reference)
    return 2 * both / (first + second) if first + second else 1.0


def jc(result: ArrayLike, reference: ArrayLike) -> float:
    """Jaccard coefficient, in [0, 1]; 1 if both are empty."""
    first, second, both = _sizes(result, reference)
    return both / (first + second - both) if first + second else 1.0


def precision(result: ArrayLike, reference: ArrayLike) -> float:
    """Share of the result that is in the reference; 0 if the result is empty."""
    first, _, both = _sizes(result, reference)
    return both / first if first else 0.0


def recall(result: ArrayLike, reference: ArrayLike) -> float:
    """Share of the reference that is in the result; 0 if the reference is empty."""
    _, second, both = _sizes(result, reference)
    return both / second if second else 0.0


def specificity(result: ArrayLike, reference: ArrayLike) -> float:
    """Share of what is outside the reference that is outside the result; 0 if nothing is."""
    first, second, both = _sizes(result, reference)
    outside = np.size(reference) - second
    return (outside - (first - both)) / outside if outside else 0.0


def sensitivity(result: ArrayLike, reference: ArrayLike) -> float:
    """`recall` by another name."""
    return recall(result, reference)


def true_positive_rate(result: ArrayLike, reference: ArrayLike) -> float:
    """`recall` by another name."""
    return recall(result, reference)


def true_negative_rate(result: ArrayLike, reference: ArrayLike) -> float:
    """`specificity` by another name."""
    return specificity(result, reference)


def positive_predictive_value(result: ArrayLike, reference: ArrayLike) -> float:
    """`precision` by another name."""
    return precision(result, reference)


def ravd(result: ArrayLike, reference: ArrayLike) -> float:
    """Volume of the result over that of the reference, minus 1: signed, despite its name.

    Raises
    ------
    RuntimeError
        If the reference is empty.
    """
    first, second, _ = _sizes(result, reference)
    if not second:
        raise RuntimeError("the reference is empty, so there is no volume to compare with")
    return (first - second) / second


def hd(
    result: ArrayLike,
    reference: ArrayLike,
    voxelspacing: _Spacing = None,
    connectivity: int = 1,
) -> float:
    """Hausdorff distance: the largest distance from one border to the other.

    Parameters
    ----------
    result, reference : arrays of one shape
    voxelspacing : float or sequence of floats, optional
        Along each axis of the arrays; 1 if it is not given.
    connectivity : int
        A border voxel has a neighbour outside: 1 across a face, 2 across an edge also, ...

    Raises
    ------
    RuntimeError
        If either is empty, or `voxelspacing` has another number of axes.
    """
    first, second = _distances(result, reference, voxelspacing, connectivity)
    return max(first.max(), second.max())


def hd95(
    result: ArrayLike,
    reference: ArrayLike,
    voxelspacing: _Spacing = None,
    connectivity: int = 1,
) -> float:
    """95th percentile of the distances of both borders together; arguments as for `hd`."""
    first, second = _distances(result, reference, voxelspacing, connectivity)
    return (first + second).percentile(95)


def asd(
    result: ArrayLike,
    reference: ArrayLike,
    voxelspacing: _Spacing = None,
    connectivity: int = 1,
) -> float:
    """Mean distance from the border of the result to the other; arguments as for `hd`."""
    return _distances(result, reference, voxelspacing, connectivity)[0].mean()


def assd(
    result: ArrayLike,
    reference: ArrayLike,
    voxelspacing: _Spacing = None,
    connectivity: int = 1,
) -> float:
    """Mean of the distances of both borders together; arguments as for `hd`.

    As in MedPy 0.5; up to 0.4 it was the mean of the two directions' means, `masd`.
    """
    first, second = _distances(result, reference, voxelspacing, connectivity)
    return (first + second).mean()


def volume_correlation(results: Iterable[ArrayLike], references: Iterable[ArrayLike]) -> Any:
    """Pearson's correlation of the volumes of several masks, and its two-sided p value."""
    return _correlation(_volumes(results), _volumes(references))


def volume_change_correlation(results: Iterable[ArrayLike], references: Iterable[ArrayLike]) -> Any:
    """Pearson's correlation of the changes from a volume to the next, and its p value."""
    return _correlation(np.diff(_volumes(results)), np.diff(_volumes(references)))


def obj_asd(
    result: ArrayLike,
    reference: ArrayLike,
    voxelspacing: _Spacing = None,
    connectivity: int = 1,
) -> float:
    """Mean border distance between objects that overlap; nan if none do.

    From the objects of the reference to those of the result, which is how MedPy measures it,
    though its text has it the other way round. `connectivity` also says what is one object.
    """
    return _mean(_object_distances(result, reference, voxelspacing, connectivity))


def obj_assd(
    result: ArrayLike,
    reference: ArrayLike,
    voxelspacing: _Spacing = None,
    connectivity: int = 1,
) -> float:
    """Mean of the border distances of both directions between objects that overlap.

    nan if none do; arguments as for `obj_asd`.
    """
    there = _object_distances(result, reference, voxelspacing, connectivity)
    back = _object_distances(reference, result, voxelspacing, connectivity)
    return _mean(there + back)


def obj_fpr(result: ArrayLike, reference: ArrayLike, connectivity: int = 1) -> float:
    """Share of the objects of the reference that no object of the result is matched with.

    One voxel in common is enough; an object is matched once. This is what MedPy returns; its
    text has the two arguments the other way round.

    Raises
    ------
    ZeroDivisionError
        If the reference is empty.
    """
    _, objects, matches = _matched(result, reference, connectivity)
    if not objects.max(initial=0):
        raise ZeroDivisionError("the reference is empty, so there is no share of its objects")
    return 1 - len(matches) / int(objects.max())


def obj_tpr(result: ArrayLike, reference: ArrayLike, connectivity: int = 1) -> float:
    """Share of the objects of the result that an object of the reference is matched with.

    One voxel in common is enough; an object is matched once. This is what MedPy returns; its
    text has the two arguments the other way round.

    Raises
    ------
    ZeroDivisionError
        If the result is empty.
    """
    objects, _, matches = _matched(result, reference, connectivity)
    if not objects.max(initial=0):
        raise ZeroDivisionError("the result is empty, so there is no share of its objects")
    return len(matches) / int(objects.max())


def _masks(result: ArrayLike, reference: ArrayLike) -> tuple[NDArray, NDArray]:
    """Both as 0 and 1."""
    first, second = (
        np.atleast_1d(np.asarray(array)).astype(bool, copy=False).view(np.uint8)
        for array in (result, reference)
    )
    if first.shape != second.shape:
        raise ValueError(f"result has shape {first.shape}, reference {second.shape}")
    return first, second


def _sizes(result: ArrayLike, reference: ArrayLike) -> tuple[int, int, int]:
    """Voxels of the result, of the reference and of both."""
    first, second = _masks(result, reference)
    if first.ndim > 3:  # a count does not mind which axes there are
        first, second = (mask.reshape(-1, *mask.shape[-2:]) for mask in (first, second))
    compared = Comparison.of(first, second, 2, (1.0,) * first.ndim)
    in_result, in_reference, in_both = compared.sizes[:, 1].tolist()
    return in_result, in_reference, in_both


def _distances(
    result: ArrayLike, reference: ArrayLike, voxelspacing: _Spacing, connectivity: int
) -> tuple[Distances, Distances]:
    first, second = _masks(result, reference)
    spacing = _spacing(voxelspacing, first.ndim)
    for name, mask in (("result", first), ("reference", second)):
        if not mask.any():
            raise RuntimeError(f"the {name} is empty, so there is no border to measure from")
    if first.ndim > 3:
        return border_distances(first.view(bool), second.view(bool), spacing, connectivity)
    return Comparison.of(first, second, 2, spacing, connectivity).distances(1)


def _spacing(voxelspacing: _Spacing, axes: int) -> tuple[float, ...]:
    given = np.atleast_1d(np.asarray(1.0 if voxelspacing is None else voxelspacing, float))
    if len(given) not in (axes, 1) or (
        len(given) == 1 < axes and isinstance(voxelspacing, Iterable)
    ):
        raise RuntimeError(f"voxelspacing has {given.size} values, the arrays have {axes} axes")
    if not (np.isfinite(given) & (given > 0)).all():
        raise ValueError(f"voxelspacing must be above 0, got {given.tolist()}")
    return tuple(float(zoom) for zoom in np.broadcast_to(given, axes))


def _volumes(masks: Iterable[ArrayLike]) -> NDArray[np.int64]:
    return np.array([np.count_nonzero(np.asarray(mask)) for mask in masks], np.int64)


def _correlation(first: NDArray[np.int64], second: NDArray[np.int64]) -> Any:
    from scipy.stats import pearsonr

    return pearsonr(first, second)


def _object_distances(
    result: ArrayLike, reference: ArrayLike, voxelspacing: _Spacing, connectivity: int
) -> list[Distances]:
    """Distances from each matched object of the reference to that of the result."""
    named, known, matches = _matched(reference, result, connectivity)
    spacing = _spacing(voxelspacing, known.ndim)
    if known.ndim > 3:
        return [
            border_distances(named == here, known == there, spacing, connectivity)[0]
            for there, here in matches.items()
        ]
    # One code for both of a match, and a single look at the borders of all.
    dtype = np.uint8 if len(matches) < 2**8 else np.uint32
    first, second = np.zeros(named.max() + 1, dtype), np.zeros(known.max() + 1, dtype)
    for code, (there, here) in enumerate(matches.items(), 1):
        first[here], second[there] = code, code
    compared = Comparison.of(first[named], second[known], len(matches) + 1, spacing, connectivity)
    return [compared.distances(code)[0] for code in range(1, len(matches) + 1)]


def _mean(parts: list[Distances]) -> float:
    """Mean of all distances of several borders; nan if there are none."""
    count = sum(len(part) for part in parts)
    return sum(part.sum() for part in parts) / count if count else nan


def _matched(
    result: ArrayLike, reference: ArrayLike, connectivity: int
) -> tuple[NDArray[np.integer], NDArray[np.integer], dict[int, int]]:
    """Objects of both, numbered from 1, and which of the reference has which of the result.

    In the box that holds all of them.
    """
    masks = _masks(result, reference)
    box = box_of((masks[0] | masks[1]).view(bool))
    first, second = (_objects(mask[box], connectivity) for mask in masks)
    overlaps: dict[int, list[int]] = {}
    common = Partition.of(second, first)
    for there, here in zip(common.predicted.tolist(), common.reference.tolist(), strict=True):
        if there and here:
            overlaps.setdefault(there, []).append(here)
    return first, second, assign(overlaps)


def _objects(mask: NDArray[np.uint8], connectivity: int) -> NDArray[np.integer]:
    """Connected objects of a mask, numbered from 1 as they come in its rows."""
    if mask.ndim <= 3:
        return components(mask, min(max(connectivity, 1), 3))[0]
    from scipy import ndimage

    around = ndimage.generate_binary_structure(mask.ndim, connectivity)
    return np.asarray(ndimage.label(mask, around)[0])
