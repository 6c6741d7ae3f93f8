"""Which prediction belongs to which reference."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from medseg.dataset import Dataset
from medseg.dataset.beside import BESIDE
from medseg.dataset.layouts import by_stem, volumes_in
from medseg.evaluation.rules import Missing, Rules

log = logging.getLogger("medseg")


@dataclass(frozen=True)
class Match:
    """Files of one case.

    Parameters
    ----------
    prediction : Path or None
        None is one that is missing and taken for empty.
    reference : Path
    annotated : tuple of int
        Labels that were looked for in the reference; empty, all were.
    """

    prediction: Path | None
    reference: Path
    annotated: tuple[int, ...] = ()


@dataclass(frozen=True)
class Matches:
    """Files of all cases by name, and what their labels and regions are called."""

    files: Mapping[str, Match]
    names: Mapping[int, str]
    regions: Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class _LabelMaps:
    """Files by case, and what a data set says of their labels."""

    files: Mapping[str, Path]
    names: Mapping[int, str] = field(default_factory=dict)
    regions: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    annotated: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


def matches(
    predictions: Path,
    references: Path,
    missing: Missing = "refuse",
    shard: tuple[int, int] | None = None,
    regions: Collection[str] = (),
) -> Matches:
    """Files of the same name in two folders or data sets.

    Parameters
    ----------
    shard : (int, int), optional
        Of (i, n), every n-th case from the i-th on.
    regions : collection of str
        Those that are scored, whose masks may lie beside the predictions too.

    Raises
    ------
    FileNotFoundError
        If one of the two does not exist, or a prediction is missing and that is refused.
    ValueError
        If there is nothing to score, or a folder has two files of one name.
    """
    known, found = _label_maps(references), _label_maps(predictions)
    if not known.files:
        raise ValueError(f"{references} holds no label map that medseg reads")
    first, step = shard or (0, 1)
    mine = dict(list(known.files.items())[first::step])
    absent = [case for case in mine if case not in found.files]
    said = f"{predictions} has no prediction for {len(absent)} of {len(mine)} references"
    if absent and (missing == "refuse" or len(absent) == len(mine)):
        raise FileNotFoundError(
            f"{said}: {', '.join(absent)}; predict them, leave their references out, or score "
            "some that are missing as worst (--missing worst)"
        )
    if absent:
        log.warning("%s, scored as worst: %s", said, ", ".join(absent))
    # What medseg writes beside a prediction is none itself.
    own = known.regions or found.regions
    predicted = known.files.keys() | found.files.keys()
    beside = {f"{case}_{what}" for case in predicted for what in (*BESIDE, *own, *regions)}
    if extra := sorted(found.files.keys() - known.files.keys() - beside):
        log.warning("not scored, as they have no reference: %s", ", ".join(extra))
    return Matches(
        {
            case: Match(found.files.get(case), file, known.annotated.get(case, ()))
            for case, file in mine.items()
        },
        known.names or found.names,
        own,
    )


def ruled(references: Path, rules: Rules) -> Rules:
    """Return the rules with the label that a data set ignores, unless they name one."""
    if rules.ignore is not None or not references.exists() or not Dataset.recognises(references):
        return rules
    return replace(rules, ignore=Dataset.read(references).ignore)


def _label_maps(path: Path) -> _LabelMaps:
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist")
    if Dataset.recognises(path):
        dataset = Dataset.read(path)
        files = {case.name: case.reference for case in dataset.cases if case.reference is not None}
        annotated = {case.name: case.annotated for case in dataset.cases}
        return _LabelMaps(files, dataset.names, dataset.regions, annotated)
    if not path.is_dir():
        raise ValueError(f"expected two folders or two files, got one of each; {path} is a file")
    return _LabelMaps(by_stem(volumes_in(path)))
