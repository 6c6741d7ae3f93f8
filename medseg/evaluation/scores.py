"""Scores: one row per number."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from io import StringIO
from math import isfinite, isnan, nan
from pathlib import Path
from typing import Any, cast, get_args

from medseg.evaluation.summary import Summary
from medseg.io import PathLike, replace_file
from medseg.metrics import Status, describe_metric, find_metric


@dataclass(frozen=True)
class Score:
    """One metric of one label of one case.

    Parameters
    ----------
    case : str
    label : int or str
        The label, or the name of a region.
    name : str
        What the label stands for; "" if nobody says.
    metric : str
        As in `medseg.METRICS`; `nsd_2mm` is `nsd` at another tolerance than 1 mm.
    value : float
        nan if it is not defined, infinite for the distance to a structure that is not there.
    status : str
        "ok"; "missed" (not predicted), "spurious" (not in the reference) or "both_empty".
    """

    case: str
    label: int | str
    name: str
    metric: str
    value: float
    status: Status


_COLUMNS = [column.name for column in fields(Score)]


@dataclass(frozen=True)
class Scores:
    """Rows of numbers, which `+` joins.

    Parameters
    ----------
    rows : tuple of Score
    failures : mapping of str to str
        Cases that could not be scored, and why.
    """

    rows: tuple[Score, ...] = ()
    failures: Mapping[str, str] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Score]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __add__(self, other: Scores) -> Scores:
        return Scores(self.rows + other.rows, {**self.failures, **other.failures})

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics, in the order in which they come."""
        return tuple(dict.fromkeys(row.metric for row in self.rows))

    @property
    def labels(self) -> tuple[int | str, ...]:
        """Labels in order, then regions as they come."""
        found = dict.fromkeys(row.label for row in self.rows)
        numbers = sorted(label for label in found if isinstance(label, int))
        return (*numbers, *(label for label in found if isinstance(label, str)))

    def mean(self, metric: str, label: int | str | None = None) -> float:
        """Mean of the finite values of a metric, over all cases and labels, or of one label.

        nan if no value is finite. A distance to a structure that is not there is infinite
        and so left out: `summary` counts how often.

        Raises
        ------
        ValueError
            If there is no such metric or label among the scores.
        """
        if metric not in self.metrics:
            raise ValueError(f"no scores of {metric}; there are {', '.join(self.metrics)}")
        if label is not None and label not in self.labels:
            raise ValueError(f"no scores of label {label}; there are {self.labels}")
        values = [
            row.value
            for row in self.rows
            if row.metric == metric and label in (None, row.label) and isfinite(row.value)
        ]
        return sum(values) / len(values) if values else nan

    def summary(self) -> tuple[Summary, ...]:
        """For each label and metric, what its scores say together."""
        groups: dict[tuple[int | str, str], list[Score]] = {
            (label, metric): [] for label in self.labels for metric in self.metrics
        }
        for row in self.rows:
            groups[row.label, row.metric].append(row)
        return tuple(
            Summary.of(
                label,
                next((row.name for row in rows if row.name), ""),
                metric,
                [row.value for row in rows],
                [row.status for row in rows],
            )
            for (label, metric), rows in groups.items()
            if rows
        )

    def save(self, path: PathLike) -> None:
        """Write the rows as CSV, or the summary, the rows and the failures as JSON.

        The suffix decides. What is no number is an empty cell, null in JSON; what is
        infinite is `inf`, null in JSON, where the status says why.
        """
        file = Path(path)
        suffix = file.suffix.lower()
        if suffix not in (".csv", ".json"):
            raise ValueError(f"scores are written as .csv or .json, got {file}")
        replace_file(file, self._csv() if suffix == ".csv" else self._json())

    @classmethod
    def read(cls, path: PathLike) -> Scores:
        """Read the rows back from a CSV file that `save` wrote; it holds no failures.

        Raises
        ------
        FileNotFoundError
            If the file is missing.
        ValueError
            If it holds something else.
        """
        file = Path(path)
        with file.open(newline="", encoding="utf-8") as stream:
            lines = csv.reader(stream)
            if (header := next(lines, [])) != _COLUMNS:
                raise ValueError(f"{file} needs the header {','.join(_COLUMNS)}, got {header}")
            return cls(tuple(_row(file, cells) for cells in lines))

    def _csv(self) -> str:
        text = StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(_COLUMNS)
        for row in self.rows:
            value = "" if isnan(row.value) else repr(row.value)
            writer.writerow([row.case, row.label, row.name, row.metric, value, row.status])
        return text.getvalue()

    def _json(self) -> str:
        content = {
            "metrics": {name: _definition(name) for name in self.metrics},
            "summary": _plain(self.summary()),
            "failures": dict(self.failures),
            "scores": _plain(self.rows),
        }
        return json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def _row(file: Path, cells: list[str]) -> Score:
    try:
        case, label, name, metric, value, status = cells
        if status not in get_args(Status):
            raise ValueError(f"a status is {', '.join(get_args(Status))}, got {status!r}")
        return Score(
            case,
            int(label) if label.isdigit() else label,
            name,
            metric,
            float(value) if value else nan,
            cast(Status, status),
        )
    except ValueError as error:
        raise ValueError(f"{file} holds the row {','.join(cells)}: {error}") from error


def _definition(name: str) -> dict[str, Any]:
    metric = find_metric(name)
    return {
        "summary": describe_metric(name),
        "unit": metric.unit,
        "higher_is_better": metric.higher_is_better,
    }


def _plain(rows: Iterable[Score | Summary]) -> list[dict[str, Any]]:
    return [
        {
            key: None if isinstance(value, float) and not isfinite(value) else value
            for key, value in asdict(row).items()
        }
        for row in rows
    ]
