"""Which patients go into which fold, so that every fold has its share of every label."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from medseg.dataset.case import Case
from medseg.device import available_threads
from medseg.volume import BACKGROUND


def patient_of(case: Case) -> str:
    """Whose case it is; each case is a patient of its own where nothing says."""
    return case.patient or case.name


def patients_in_folds(
    cases: Sequence[Case], count: int, ignore: int | None = None
) -> tuple[frozenset[str], ...]:
    """Patients of each of `count` folds, as many in each but for one, and alike in labels.

    The annotations are read. One patient after the other, those with the most of the rarest
    labels first, goes into the fold that has least of what it brings, as in iterative
    stratification. What a patient brings is its cases, and of each label the number of cases
    and the volume, each as a share of all there is. So the same cases always give the same
    folds; without annotations they are dealt out in the order of their names.

    References
    ----------
    K. Sechidis, G. Tsoumakas, I. Vlahavas: On the stratification of multi-label data.
    ECML PKDD 2011. doi:10.1007/978-3-642-23808-6_10
    """
    with ThreadPoolExecutor(available_threads()) as pool:
        amounts = dict(zip(cases, pool.map(label_volumes, cases), strict=True))
    patients = list(dict.fromkeys(map(patient_of, cases)))
    row_of = {patient: row for row, patient in enumerate(patients)}
    labels = sorted({label for found in amounts.values() for label in found} - {ignore})
    brought = np.zeros((len(patients), 1 + 2 * len(labels)))
    for case, found in amounts.items():
        brought[row_of[patient_of(case)]] += [
            1,
            *(x for label in labels for x in (label in found, found.get(label, 0.0))),
        ]
    return tuple(
        frozenset(patients[k] for k in fold) for fold in dealt_out(brought / brought.sum(0), count)
    )


def dealt_out(shares: NDArray[np.float64], count: int) -> list[list[int]]:
    """Rows of each of `count` folds, greedily, so that the sums of all folds are alike.

    Parameters
    ----------
    shares : (rows, columns) array
        What each row brings of each column, as a share of the column.
    """
    folds: list[list[int]] = [[] for _ in range(count)]
    sums = np.zeros((count, shares.shape[1]))
    least, larger = divmod(len(shares), count)
    # Rounded, so that equal rows stay in their order whatever the last digits of their sums.
    for row in np.argsort(-np.round((shares**2).sum(1), 12), kind="stable").tolist():
        full = least + (sum(len(fold) > least for fold in folds) < larger)
        room = [k for k in range(count) if len(folds[k]) < full]
        # The sum of squares over the folds grows least where this product is smallest.
        best = min(room, key=lambda k: (round(float(sums[k] @ shares[row]), 12), len(folds[k]), k))
        folds[best].append(row)
        sums[best] += shares[row]
    return folds


def label_volumes(case: Case) -> dict[int, float]:
    """Volume of each label of a case, in mm³; nothing where it has no annotation."""
    if case.reference is None:
        return {}
    labels = case.labels()
    values, counts = np.unique(labels.array, return_counts=True)
    voxel = float(np.prod(labels.grid.spacing))
    return {
        int(value): float(n) * voxel
        for value, n in zip(values, counts, strict=True)
        if value != BACKGROUND
    }
