"""Many cases, from files."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from medseg.cohort import in_one_line, mendable
from medseg.dataset import Dataset
from medseg.dataset.layouts import volumes_in
from medseg.device import available_threads
from medseg.evaluation.scores import Scores
from medseg.evaluation.scoring import DEFAULT_METRICS, evaluate
from medseg.io import PathLike, read_labels, stem_of
from medseg.metrics import find_metric
from medseg.progress import progress

log = logging.getLogger("medseg")


def evaluate_cases(
    predictions: PathLike,
    references: PathLike,
    metrics: Iterable[str] = DEFAULT_METRICS,
    regions: Mapping[str, Iterable[int]] | None = None,
    *,
    names: Mapping[int, str] | None = None,
    tolerance_mm: float = 1.0,
) -> Scores:
    """Score each prediction against the reference of the same name, several at a time.

    One of several cases that can't be scored (a damaged file, another grid) does not keep the
    others from being scored; it is found in `Scores.failures`.

    Parameters
    ----------
    predictions : path
        A folder of label maps, or one file.
    references : path
        A folder of label maps with the same names, or a data set, whose label names and
        regions are then used; or one file.
    metrics, regions, tolerance_mm
        As for `evaluate`.
    names : mapping of int to str, optional
        What the labels stand for; those named are scored even where no case has them.

    Raises
    ------
    FileNotFoundError
        If the prediction of any reference is missing; all of them are named.
    ValueError
        If there is nothing to score, no such metric, or of two files, what `evaluate` refuses.
    """
    chosen = tuple(find_metric(name, tolerance_mm).name for name in metrics)
    predicted, known = Path(predictions), Path(references)
    if predicted.is_file() and known.is_file() and not Dataset.recognises(known):
        labels = read_labels(predicted), read_labels(known, names)
        return evaluate(*labels, stem_of(known), chosen, regions)
    found, named, made_of = _references(known)
    matched = {
        case: (prediction, found[case])
        for case, prediction in _predictions(predicted, list(found)).items()
    }
    fixed = {name: tuple(members) for name, members in (regions or made_of).items()}
    score = partial(_score, metrics=chosen, regions=fixed, names=names or named)
    return _in_threads(score, matched)


def _references(
    path: Path,
) -> tuple[dict[str, Path], Mapping[int, str], Mapping[str, Iterable[int]]]:
    """Label map of each case, and the names and the regions of their labels."""
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist")
    if Dataset.recognises(path):
        dataset = Dataset.read(path)
        found = {case.name: case.reference for case in dataset.cases if case.reference is not None}
        names, regions = dataset.names, dataset.regions
    else:
        found, names, regions = _label_maps(path), {}, {}
    if not found:
        raise ValueError(f"{path} holds no label map that medseg reads")
    return found, names, regions


def _predictions(path: Path, cases: list[str]) -> dict[str, Path]:
    """Predicted label map of each of the cases, in their order."""
    found = _label_maps(path)
    if missing := [case for case in cases if case not in found]:
        raise FileNotFoundError(
            f"{path} has no prediction for {len(missing)} of {len(cases)} references: "
            f"{', '.join(missing)}; predict them, or leave their references out"
        )
    if extra := sorted(found.keys() - set(cases)):
        log.warning("not scored, as they have no reference: %s", ", ".join(extra))
    return {case: found[case] for case in cases}


def _label_maps(folder: Path) -> dict[str, Path]:
    if not folder.exists():
        raise FileNotFoundError(f"{folder} does not exist")
    if not folder.is_dir():
        raise ValueError(f"expected two folders or two files, got one of each; {folder} is a file")
    found: dict[str, Path] = {}
    for file in volumes_in(folder):
        if (case := stem_of(file)) in found:
            raise ValueError(f"{folder} has two files of {case}: {found[case].name}, {file.name}")
        found[case] = file
    return found


def _in_threads(
    score: Callable[[str, Path, Path], Scores], matched: Mapping[str, tuple[Path, Path]]
) -> Scores:
    def attempt(case: str) -> Scores:
        try:
            return score(case, *matched[case])
        except mendable() as error:
            return Scores(failures={case: in_one_line(error)})

    done: list[Scores] = []
    workers = min(available_threads(), len(matched))
    with ThreadPoolExecutor(workers) as pool, progress("evaluate") as bar:
        for case, scores in zip(matched, pool.map(attempt, matched), strict=True):
            done.append(scores)
            bar.update(len(done) / len(matched), case)
    return Scores(
        tuple(row for scores in done for row in scores.rows),
        {case: why for scores in done for case, why in scores.failures.items()},
    )


def _score(
    case: str,
    prediction: Path,
    reference: Path,
    *,
    metrics: tuple[str, ...],
    regions: Mapping[str, tuple[int, ...]],
    names: Mapping[int, str],
) -> Scores:
    predicted, known = read_labels(prediction), read_labels(reference, names)
    return evaluate(predicted, known, case, metrics, regions)
