"""Scores as CSV and as JSON."""

from __future__ import annotations

import csv
import json
import platform
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from io import StringIO
from math import isfinite, nan
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_args

import numpy as np

from medseg.evaluation.records import Counts, Record
from medseg.evaluation.summary import Bootstrap
from medseg.metrics import Status, describe_metric, find_metric

if TYPE_CHECKING:
    from medseg.evaluation.rules import Rules
    from medseg.evaluation.scores import Scores

_COLUMNS = ["case", "label", "name", "status"]
_Cells = tuple[str, int | str, str, str, float, Status]  # the fields of a Score


def csv_of(scores: Scores) -> str:
    """A line for each label of each case, a column for each metric.

    Raises
    ------
    ValueError
        If a case has a metric of a label twice.
    """
    lines: dict[tuple[str, ...], dict[str, str]] = {}
    for row in scores.rows:
        cells = lines.setdefault((row.case, str(row.label), row.name, row.status), {})
        if row.metric in cells:
            raise ValueError(f"case {row.case!r} has {row.metric} of {row.label} twice")
        cells[row.metric] = repr(float(row.value))
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*_COLUMNS, *scores.metrics])
    for key, cells in lines.items():
        writer.writerow([*key, *(cells.get(metric, "") for metric in scores.metrics)])
    return text.getvalue()


def cells_of(file: Path) -> Iterator[_Cells]:
    """Fields of each score in a CSV file.

    Raises
    ------
    FileNotFoundError
        If the file is missing.
    ValueError
        If it holds something else.
    """
    with file.open(newline="", encoding="utf-8-sig") as stream:
        lines = csv.reader(stream)
        try:
            header = next(lines, [])
            if header[:4] != _COLUMNS or len(set(header)) != len(header):
                wanted = ",".join(_COLUMNS)
                raise ValueError(f"{file} needs the header {wanted},METRIC,..., got {header}")
            for metric in header[4:]:
                find_metric(metric)
            for cells in lines:
                yield from _scores_of(file, header, cells)
        except (csv.Error, UnicodeDecodeError) as error:
            raise ValueError(f"{file} is no CSV file in UTF-8: {error}") from error


def _scores_of(file: Path, header: list[str], cells: list[str]) -> Iterator[_Cells]:
    try:
        if len(cells) != len(header):
            raise ValueError(f"expected {len(header)} cells, got {len(cells)}")
        case, label, name, status = cells[:4]
        if status not in get_args(Status):
            raise ValueError(f"a status is {', '.join(get_args(Status))}, got {status!r}")
        number = int(label) if label.isdecimal() else label
        for metric, value in zip(header[4:], cells[4:], strict=True):
            if value:
                yield case, number, name, metric, float(value), cast(Status, status)
    except ValueError as error:
        raise ValueError(f"{file} holds the row {','.join(cells)}: {error}") from error


def json_of(scores: Scores, bootstrap: Bootstrap = Bootstrap()) -> str:  # noqa: B008
    """Summary, definitions, versions and, if the counts are known, nnU-Net's keys."""
    summary: dict[str, dict[str, Any]] = {}
    for row in scores.summary(bootstrap):
        fields = asdict(row)
        label, metric, fields["n"] = fields.pop("label"), fields.pop("metric"), row.scored
        fields["interval"] = [fields.pop("low"), fields.pop("high")]
        del fields["scored"]
        summary.setdefault(str(label), {})[metric] = fields
    content = {
        "summary": summary,
        "cases": len(scores.cases),
        "bootstrap": {
            **asdict(bootstrap),
            "method": "percentile interval of the mean, cases drawn with replacement",
        },
        "definitions": {name: _definition(name) for name in scores.metrics},
        "failures": dict(scores.failures),
        "versions": _versions(),
        **(_as_nnunet(scores) if scores.records else {}),
        **(_for_later(scores, scores.rules) if scores.rules else {}),
    }
    return json.dumps(_finite(content), indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def _definition(name: str) -> dict[str, Any]:
    metric = find_metric(name)
    return {
        "summary": describe_metric(name),
        "unit": metric.unit,
        "higher_is_better": metric.higher_is_better,
    }


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in ("medseg", "numpy", "numba", "nibabel"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def _for_later(scores: Scores, rules: Rules) -> dict[str, Any]:
    """What `scored_before` reads, to go on."""
    return {"rules": asdict(rules), "records": _records(scores.records)}


def _records(records: Mapping[str, Record]) -> dict[str, Any]:
    return {
        case: {
            "prediction": None if record.prediction is None else str(record.prediction),
            "reference": str(record.reference),
            "voxels": record.voxels,
            "counts": [
                [label, *asdict(counts).values()] for label, counts in record.counts.items()
            ],
            "confused": [[*pair, voxels] for pair, voxels in record.confused.items()],
            "annotated": record.annotated,
        }
        for case, record in records.items()
    }


def _as_nnunet(scores: Scores) -> dict[str, Any]:
    """Counts of all cases under the keys of nnU-Net's `summary.json`."""
    cases = [
        {
            "reference_file": str(record.reference),
            "prediction_file": None if record.prediction is None else str(record.prediction),
            "metrics": {_key(counts): _as_counted(counts) for counts in record.counts.values()},
        }
        for record in scores.records.values()
    ]
    keys = dict.fromkeys(key for case in cases for key in cast(Mapping, case["metrics"]))
    mean = {key: _mean(_each(cases, key)) for key in keys}
    return {"metric_per_case": cases, "mean": mean, "foreground_mean": _mean(mean.values())}


def _each(cases: Iterable[Mapping[str, Any]], key: str) -> Iterator[Mapping[str, float]]:
    """What each case that has a structure says of it."""
    return (case["metrics"][key] for case in cases if key in case["metrics"])


def _key(counts: Counts) -> str:
    """What nnU-Net calls a structure: "1" is a label, "(1, 2)" a region."""
    return str(counts.labels[0] if len(counts.labels) == 1 else counts.labels)


def _as_counted(counts: Counts) -> dict[str, float]:
    tp, fp, fn = counts.tp, counts.fp, counts.fn
    return {
        "Dice": 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else nan,
        "IoU": tp / (tp + fp + fn) if tp + fp + fn else nan,
        "TP": tp,
        "FP": fp,
        "FN": fn,
        "TN": counts.tn,
        "n_pred": tp + fp,
        "n_ref": tp + fn,
    }


def _mean(found: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Mean of each metric over what is defined; nan if nothing is."""
    means = {}
    listed = list(found)
    for metric in dict.fromkeys(metric for each in listed for metric in each):
        values = [each[metric] for each in listed if isfinite(each[metric])]
        means[metric] = float(np.mean(values)) if values else nan
    return means


def _finite(content: Any) -> Any:
    """The same with null for what is not finite."""
    if isinstance(content, Mapping):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    if isinstance(content, float) and not isfinite(content):
        return None
    return content
