"""Metrics of images cut into many objects; `PARTITION` lists them.

They are functions of a `Partition`, which is made of two maps of objects: each object has a
number of its own, as `medseg.components.components` gives it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from math import nan

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medseg.metrics.metric import Metric

_Shares = NDArray[np.floating]

_MOST_CELLS = 2**24


@dataclass(frozen=True, eq=False)
class Partition:
    """How many voxels each object has in common with each.

    Parameters
    ----------
    counts : (n,) integer array
        Voxels of each combination of numbers that occurs, background with background too.
    predicted, reference : (n,) integer arrays
        The two numbers of each combination; 0 is background.
    """

    counts: NDArray[np.int64]
    predicted: NDArray[np.int64]
    reference: NDArray[np.int64]

    @classmethod
    def of(cls, predicted: ArrayLike, reference: ArrayLike) -> Partition:
        """Compare two maps of objects, arrays of one shape of numbers from 0 on.

        Raises
        ------
        ValueError
            If the shapes differ, or a number is negative.
        """
        first, second = (np.asarray(array) for array in (predicted, reference))
        if first.shape != second.shape:
            raise ValueError(f"predicted has shape {first.shape}, reference {second.shape}")
        if min(first.min(initial=0), second.min(initial=0)) < 0:
            raise ValueError("objects are numbered from 1, background is 0; got a negative number")
        columns = int(second.max(initial=0)) + 1
        combined = first.astype(np.int64).ravel() * columns + second.ravel()
        if (int(first.max(initial=0)) + 1) * columns <= _MOST_CELLS:  # counting beats sorting
            table = np.bincount(combined)
            values = np.flatnonzero(table)
            counts = table[values]
        else:
            values, counts = np.unique(combined, return_counts=True)
        return cls(counts, values // columns, values % columns)

    @property
    def objects(self) -> tuple[int, int]:
        """How many objects are predicted and annotated."""
        predicted, annotated = set(self.predicted.tolist()), set(self.reference.tolist())
        return len(predicted - {0}), len(annotated - {0})

    @cached_property
    def iou(self) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
        """Of the objects that overlap: their places among all, and intersection over union."""
        rows, row = np.unique(self.predicted, return_inverse=True)
        columns, column = np.unique(self.reference, return_inverse=True)
        sizes = [
            np.bincount(place, self.counts, len(values))
            for values, place in ((rows, row), (columns, column))
        ]
        both = (self.predicted > 0) & (self.reference > 0)
        row, column, common = row[both], column[both], self.counts[both]
        return row, column, common / (sizes[0][row] + sizes[1][column] - common)

    def matched(self, iou: float) -> NDArray[np.float64]:
        """IoU of each matched pair: pairs above `iou`, no object twice, most IoU in all."""
        from scipy.optimize import linear_sum_assignment

        row, column, values = self.iou
        enough = values > iou
        row, column, values = row[enough], column[enough], values[enough]
        if iou >= 0.5:  # more than half of an object is in one other at most
            return values
        table = np.zeros((row.max(initial=-1) + 1, column.max(initial=-1) + 1))
        table[row, column] = values
        found = table[linear_sum_assignment(table, maximize=True)]
        return np.asarray(found[found > 0])


def lesion_precision(partition: Partition, iou: float = 0.5) -> float:
    """Share of the predicted objects that are matched above `iou`; nan if none is predicted."""
    predicted = partition.objects[0]
    return len(partition.matched(iou)) / predicted if predicted else nan


def lesion_recall(partition: Partition, iou: float = 0.5) -> float:
    """Share of the annotated objects that are matched above `iou`; nan if none is annotated."""
    annotated = partition.objects[1]
    return len(partition.matched(iou)) / annotated if annotated else nan


def lesion_f1(partition: Partition, iou: float = 0.5) -> float:
    """Dice of objects: twice the matches over all objects of both; nan if there are none."""
    objects = sum(partition.objects)
    return 2 * len(partition.matched(iou)) / objects if objects else nan


def panoptic_quality(partition: Partition, iou: float = 0.5) -> float:
    """`lesion_f1` times the mean IoU of the matches, in [0, 1]; nan if there are no objects.

    References
    ----------
    A. Kirillov et al., Panoptic segmentation, CVPR, 2019, doi:10.1109/CVPR.2019.00963
    """
    objects = sum(partition.objects)
    return 2 * float(partition.matched(iou).sum()) / objects if objects else nan


def v_rand(partition: Partition) -> float:
    """Rand score V, in [0, 1]: F score of the pairs of voxels that are in one object.

    Where the reference is background nothing counts; predicted background counts as one more
    object. nan if the reference is all background.

    References
    ----------
    I. Arganda-Carreras et al., Crowdsourcing the creation of image segmentation algorithms for
    connectomics, Front. Neuroanat., 2015, doi:10.3389/fnana.2015.00142
    """
    shares, predicted, reference = _in_foreground(partition)
    whole = float((predicted**2).sum() + (reference**2).sum())
    return 2 * float((shares**2).sum()) / whole if whole else nan


def v_info(partition: Partition) -> float:
    """Information score V, in [0, 1]: mutual information over the mean of the two entropies.

    As for `v_rand`; 1 if both are a single object.

    References
    ----------
    I. Arganda-Carreras et al., Crowdsourcing the creation of image segmentation algorithms for
    connectomics, Front. Neuroanat., 2015, doi:10.3389/fnana.2015.00142
    """
    shares, predicted, reference = _in_foreground(partition)
    if not len(shares):
        return nan
    joint, first, second = (-float((p * np.log(p)).sum()) for p in (shares, predicted, reference))
    return 2 * (first + second - joint) / (first + second) if first + second else 1.0


def _in_foreground(partition: Partition) -> tuple[_Shares, _Shares, _Shares]:
    """Shares of the annotated voxels: of each combination, each prediction, each reference."""
    inside = partition.reference > 0
    counts = partition.counts[inside].astype(np.float64)
    shares = counts / counts.sum()
    sides = (partition.predicted[inside], partition.reference[inside])
    numbers = [np.unique(side, return_inverse=True)[1] for side in sides]
    predicted, reference = (np.bincount(n, shares).astype(np.float64) for n in numbers)
    return shares, predicted, reference


def _matching(
    name: str, compute: Callable[..., float], *, symmetric: bool, iou: float = 0.5
) -> Metric[Partition]:
    """Metric of matches above an IoU; its name says which, unless it is the usual 0.5."""
    if not 0 <= iou < 1:
        raise ValueError(f"an IoU to match from is at least 0 and below 1, got {iou:g}")
    return Metric(
        name if iou == 0.5 else f"{name}_iou{iou:g}",
        partial(compute, iou=iou),
        "1",
        higher_is_better=True,
        symmetric=symmetric,
        at=lambda iou: _matching(name, compute, symmetric=symmetric, iou=iou),
    )


LESION_PRECISION = _matching("lesion_precision", lesion_precision, symmetric=False)
LESION_RECALL = _matching("lesion_recall", lesion_recall, symmetric=False)
LESION_F1 = _matching("lesion_f1", lesion_f1, symmetric=True)
PANOPTIC_QUALITY = _matching("panoptic_quality", panoptic_quality, symmetric=True)
V_RAND = Metric("v_rand", v_rand, "1", higher_is_better=True, symmetric=False)
V_INFO = Metric("v_info", v_info, "1", higher_is_better=True, symmetric=False)
