"""Scores: one row per number."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import isfinite, nan
from pathlib import Path
from typing import TYPE_CHECKING

from medseg.evaluation import saving
from medseg.evaluation.summary import Bootstrap, Summary, summarise
from medseg.io import PathLike, replace_file
from medseg.metrics import Status

if TYPE_CHECKING:
    from medseg.evaluation.records import Record
    from medseg.evaluation.rules import Rules


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


@dataclass(frozen=True)
class Scores:
    """Rows of numbers, which `+` joins.

    Parameters
    ----------
    rows : tuple of Score
    failures : mapping of str to str
        Cases that could not be scored, and why.
    records : mapping of str to Record
        What `evaluate_cases` knows of each case beside its scores: its files, its voxels.
    rules : Rules, optional
        By which it scored them.
    """

    rows: tuple[Score, ...] = ()
    failures: Mapping[str, str] = field(default_factory=dict)
    records: Mapping[str, Record] = field(default_factory=dict)
    rules: Rules | None = None

    def __iter__(self) -> Iterator[Score]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __add__(self, other: Scores) -> Scores:
        return Scores(
            self.rows + other.rows,
            {**self.failures, **other.failures},
            {**self.records, **other.records},
            self.rules or other.rules,
        )

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

    @property
    def cases(self) -> tuple[str, ...]:
        """Names of the cases, in the order in which they come."""
        return tuple(dict.fromkeys(row.case for row in self.rows))

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

    def summary(self, bootstrap: Bootstrap = Bootstrap()) -> tuple[Summary, ...]:  # noqa: B008
        """For each label and metric, what its scores say together.

        Raises
        ------
        ValueError
            If a case has a metric of a label twice.
        """
        return summarise(self.rows, self.labels, self.metrics, bootstrap)

    def save(self, path: PathLike) -> None:
        """Write the rows as CSV, or the summary and all else as JSON; the suffix decides.

        The CSV has a line for each label of each case and a column for each metric: `inf` is
        infinite, `nan` not defined, and an empty cell was not asked for. The JSON has null
        for whatever is not finite; its keys `metric_per_case`, `mean` and `foreground_mean`
        are those of nnU-Net and stand there if `records` tell the counts; what is known of
        each case stands under `records`, for an evaluation that goes on.
        """
        file = Path(path)
        suffix = file.suffix.lower()
        if suffix not in (".csv", ".json"):
            raise ValueError(f"scores are written as .csv or .json, got {file}")
        replace_file(file, saving.csv_of(self) if suffix == ".csv" else saving.json_of(self))

    @classmethod
    def read(cls, path: PathLike) -> Scores:
        """Read the rows back from a CSV file that `save` wrote; it holds nothing else.

        Raises
        ------
        FileNotFoundError
            If the file is missing.
        ValueError
            If it holds something else.
        """
        return cls(tuple(Score(*cells) for cells in saving.cells_of(Path(path))))
