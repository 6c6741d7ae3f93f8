"""Whether things came true as often as the probabilities of many cases said."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from math import isfinite
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medseg.dataset.layouts import by_stem, volumes_in
from medseg.device import computing_threads
from medseg.evaluation.records import Record
from medseg.evaluation.rules import Rules
from medseg.evaluation.scores import Scores
from medseg.io import PathLike, read_image, read_labels, replace_file
from medseg.metrics import CALIBRATION
from medseg.metrics.calibration import Reliability, band
from medseg.volume import BACKGROUND, require_match

BAND_MM = 10.0
_ENDING = "_probabilities"
_PLAIN = Rules()


def reliability_of(
    scores: Scores,
    folder: PathLike,
    rules: Rules = _PLAIN,
    *,
    names: Mapping[int, str] | None = None,
) -> dict[int, Reliability]:
    """Table of each label against the rest, over all cases together.

    It is made of the voxels no farther than 10 mm from the border of what is annotated: far from
    it, everything is background and every model is right.

    Parameters
    ----------
    scores : Scores
        As `evaluate_cases` gave them.
    folder : path
        Has `<case>_probabilities.nii.gz` or `<case>.nii.gz` for each case: a channel for the
        background and one for each label, in the order of the labels.
    rules : Rules
        Those of the scores; what is ignored there is left out here.
    names : mapping of int to str, optional
        Labels beside those that were scored.

    Raises
    ------
    FileNotFoundError
        If a case has no probabilities; all of them are named.
    ValueError
        If they lie on another grid, or are not one for each label.
    """
    labels = sorted({label for label in scores.labels if isinstance(label, int)} | {*(names or ())})
    predicted = [case for case, record in scores.records.items() if record.prediction is not None]
    files = _files(Path(folder), predicted)

    def tables(case: str) -> list[Reliability]:
        return _tables(files[case], scores.records[case], [BACKGROUND, *labels], rules)

    with ThreadPoolExecutor(max(1, min(computing_threads(), len(files)))) as pool:
        of_cases = list(pool.map(tables, files))
    return {label: pooled([each[k] for each in of_cases]) for k, label in enumerate(labels)}


def pooled(tables: Sequence[Reliability]) -> Reliability:
    """One table of the voxels of several."""
    counts = np.sum([table.counts for table in tables], axis=0)
    voxels = np.array([table.counts.sum() for table in tables])

    def mean(parts: list[NDArray[np.float64]], weights: list[NDArray[np.int64]]) -> NDArray:
        products = [np.where(w > 0, part, 0) * w for part, w in zip(parts, weights, strict=True)]
        with np.errstate(invalid="ignore"):
            return np.asarray(np.sum(products, axis=0) / np.sum(weights, axis=0))

    each = [table.counts for table in tables]
    return Reliability(
        counts,
        mean([table.confidence for table in tables], each),
        mean([table.frequency for table in tables], each),
        float(mean([np.array(table.brier) for table in tables], list(voxels))),
        float(mean([np.array(table.nll) for table in tables], list(voxels))),
    )


def save_reliability(tables: Mapping[int, Reliability], path: PathLike) -> None:
    """Write the numbers of `CALIBRATION` for each label, and the tables, as JSON."""
    content = {
        "where": f"voxels no farther than {BAND_MM:g} mm from the border of what is annotated",
        "labels": {
            str(label): {
                **{name: _number(CALIBRATION[name].compute(table)) for name in CALIBRATION},
                "counts": table.counts.tolist(),
                "confidence": [_number(value) for value in table.confidence],
                "frequency": [_number(value) for value in table.frequency],
            }
            for label, table in tables.items()
        },
    }
    replace_file(Path(path), json.dumps(content, indent=1, allow_nan=False) + "\n")


def _number(value: float) -> float | None:
    return float(value) if isfinite(value) else None


def _files(folder: Path, cases: Sequence[str]) -> dict[str, Path]:
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is no folder of probabilities")
    found = by_stem(volumes_in(folder))
    files = {case: found.get(case + _ENDING) or found.get(case) for case in cases}
    if missing := [case for case, file in files.items() if file is None]:
        raise FileNotFoundError(
            f"{folder} has no probabilities of {', '.join(missing)}; they are called "
            f"{missing[0]}{_ENDING}.nii.gz"
        )
    return {case: file for case, file in files.items() if file is not None}


def _tables(file: Path, record: Record, labels: list[int], rules: Rules) -> list[Reliability]:
    """Table of each label but the background, in one case."""
    image, reference = read_image(file), read_labels(record.reference)
    require_match(reference.grid, image.grid, str(file), "the reference")
    if image.channels != len(labels):
        listed = ", ".join(map(str, labels))
        raise ValueError(
            f"{file} has {image.channels} channels, expected {len(labels)}, of the labels {listed}"
        )
    counts = np.ones(reference.array.shape, bool)
    if rules.ignore is not None:
        counts = reference.array != rules.ignore
    annotated = (reference.array != BACKGROUND) & counts
    inside = band(annotated, reference.grid.spacing, BAND_MM) & counts
    classes = _classes(reference.array[inside], labels)
    chosen = image.array[:, inside]
    return [Reliability.of(chosen, classes, k) for k in range(1, len(labels))]


def _classes(values: NDArray[np.integer], labels: list[int]) -> NDArray[np.integer]:
    """Position of each value among the labels, which are sorted and have them all."""
    return np.searchsorted(np.array(labels), values)
