"""The same metrics by MedPy, from the same files, held against ours."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medseg.device import computing_threads
from medseg.evaluation.records import Record
from medseg.evaluation.rules import Rules
from medseg.evaluation.scores import Score, Scores
from medseg.evaluation.scoring import fitted
from medseg.io import read_labels
from medseg.volume import Labels

# What MedPy calls our metrics.
_OVERLAP = {
    "dice": "dc",
    "jaccard": "jc",
    "precision": "precision",
    "recall": "recall",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
}
_SURFACE = {"hd": "hd", "hd95": "hd95", "assd": "assd", "asd_to_reference": "asd"}
_PLAIN = Rules()


def verify_with_medpy(scores: Scores, rules: Rules = _PLAIN) -> dict[str, float]:
    """Largest difference from MedPy of each metric that both have; in mm for distances.

    Only structures that both sides have are compared, as MedPy has nothing to say of others.

    Parameters
    ----------
    scores : Scores
        As `evaluate_cases` gave them.
    rules : Rules
        The same as then.

    Raises
    ------
    ValueError
        If MedPy is not installed, there is nothing that both can score, or the scores do not
        know their files.
    """
    medpy = _medpy()
    wanted = [
        row for row in scores.rows if row.status == "ok" and row.metric in _OVERLAP | _SURFACE
    ]
    if not wanted or not scores.records:
        raise ValueError(
            f"MedPy is compared in {', '.join(_OVERLAP | _SURFACE)} of structures that both "
            "sides have, from files; there are none of these among the scores"
        )
    of_case: dict[str, list[Score]] = {}
    for row in wanted:
        of_case.setdefault(row.case, []).append(row)

    def differences(case: str) -> dict[str, float]:
        return _differences(medpy, of_case[case], scores.records[case], rules)

    with ThreadPoolExecutor(min(computing_threads(), len(of_case))) as pool:
        found = list(pool.map(differences, of_case))
    return {
        metric: max(each[metric] for each in found if metric in each)
        for metric in scores.metrics
        if any(metric in each for each in found)
    }


def _medpy() -> Any:
    try:
        return import_module("medpy.metric.binary")
    except ImportError as error:
        raise ValueError(
            "verifying needs MedPy, which is not installed: pip install 'medseg[medpy]'"
        ) from error


def _differences(medpy: Any, rows: list[Score], record: Record, rules: Rules) -> dict[str, float]:
    """Largest difference of each metric in one case."""
    reference = read_labels(record.reference)
    assert record.prediction is not None, "an empty prediction has no structure"
    predicted, reference, counts = fitted(read_labels(record.prediction), reference, rules)
    largest: dict[str, float] = {}
    for row in rows:
        masks = [_mask(each, record.counts[row.label].labels) for each in (predicted, reference)]
        if row.metric in _OVERLAP:
            inside = np.ones(masks[0].shape, bool) if counts is None else counts
            theirs = getattr(medpy, _OVERLAP[row.metric])(*(mask[inside] for mask in masks))
        else:
            theirs = _distance(getattr(medpy, _SURFACE[row.metric]), masks, reference)
        largest[row.metric] = max(largest.get(row.metric, 0.0), abs(float(theirs) - row.value))
    return largest


def _mask(labels: Labels, members: tuple[int, ...]) -> NDArray[np.bool_]:
    return np.asarray(np.isin(labels.array, members))


def _distance(
    function: Callable[..., float], masks: list[NDArray[np.bool_]], reference: Labels
) -> float:
    """An axis of length 1 is left out, as it is no axis for us."""
    kept = [axis for axis, size in enumerate(reference.grid.shape) if size > 1] or [0]
    shape = tuple(reference.grid.shape[axis] for axis in kept)
    spacing = tuple(reference.grid.spacing[axis] for axis in kept)
    return float(function(*(mask.reshape(shape) for mask in masks), voxelspacing=spacing))
