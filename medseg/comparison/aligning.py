"""The scores of several methods, case by case beside each other."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf, isfinite, isnan, nan
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from medseg.evaluation import Score, Scores
from medseg.metrics import find_metric

Cases = Literal["same", "common"]
_ANNOTATED = {"ok": True, "missed": True, "spurious": False, "both_empty": False}
_DIGITS = 9
log = logging.getLogger("medseg")


@dataclass(frozen=True, eq=False)
class Aligned:
    """One metric of one label, of all methods.

    Parameters
    ----------
    label : int or str
    name : str
    metric : str
    higher_is_better : bool
    goodness : (methods, cases) float array
        The more the better: the value, or its negative where less is better. What one side
        lacks and is not finite for that is -inf, what both lack inf: rightly, nothing was
        found. nan where there is nothing to compare: no method of the case has anything, or
        the metric is not defined though both sides are there.
    """

    label: int | str
    name: str
    metric: str
    higher_is_better: bool
    goodness: NDArray[np.float64]

    @property
    def counts(self) -> NDArray[np.bool_]:
        """Cases in which there is something to compare."""
        return np.asarray(~np.isnan(self.goodness).any(axis=0))

    def difference(self, first: int, second: int) -> NDArray[np.float64]:
        """Value of the first method less that of the second in each case that counts.

        Infinite where only one of the two is; 0 where both are.
        """
        a, b = self.goodness[first, self.counts], self.goodness[second, self.counts]
        with np.errstate(invalid="ignore"):
            better = np.where(a == b, 0.0, a - b)
        return np.asarray(better if self.higher_is_better else -better) + 0.0


def align(
    methods: Mapping[str, Scores], metrics: Iterable[str] | None, cases: Cases
) -> tuple[tuple[str, ...], list[Aligned]]:
    """Cases that all methods have, and each label and metric over them.

    Raises
    ------
    ValueError
        If there are fewer than two methods, other cases than the rule wants, no common metric
        with a direction, a label or a metric that a method lacks, or other references.
    """
    if len(methods) < 2:
        raise ValueError(f"a comparison needs two methods or more, got {len(methods)}")
    if cases not in get_args(Cases):
        raise ValueError(f"cases are {' or '.join(get_args(Cases))}, got {cases!r}")
    shared = _shared_cases(methods, cases)
    chosen = _shared_metrics(methods, metrics)
    rows = {
        method: {(row.case, row.label, row.metric): row for row in scores.rows}
        for method, scores in methods.items()
    }
    labels = sum(methods.values(), Scores()).labels
    found = [_aligned(rows, shared, label, metric) for label in labels for metric in chosen]
    return shared, [each for each in found if each.counts.any()]


def _shared_cases(methods: Mapping[str, Scores], rule: Cases) -> tuple[str, ...]:
    of = {method: dict.fromkeys(scores.cases) for method, scores in methods.items()}
    shared = [case for case in next(iter(of.values())) if all(case in each for each in of.values())]
    lacking = {
        method: sorted({case for other in of.values() for case in other} - has.keys())
        for method, has in of.items()
    }
    said = "; ".join(f"{method} lacks {_few(cases)}" for method, cases in lacking.items() if cases)
    if said and rule == "same":
        raise ValueError(
            f"the methods were not scored on the same cases: {said}; score them, or compare "
            "those that all have (--intersect)"
        )
    if not shared:
        raise ValueError("the methods have no case in common")
    if said:
        log.warning("compared on %d cases that all have: %s", len(shared), said)
    return tuple(shared)


def _few(cases: Sequence[str]) -> str:
    return ", ".join(cases[:10]) + (f" and {len(cases) - 10} more" if len(cases) > 10 else "")


def _shared_metrics(methods: Mapping[str, Scores], wanted: Iterable[str] | None) -> list[str]:
    of = {method: scores.metrics for method, scores in methods.items()}
    every = list(dict.fromkeys(metric for has in of.values() for metric in has))
    chosen = every if wanted is None else [find_metric(metric).name for metric in wanted]
    kept = []
    for metric in chosen:
        lacking = [method for method, has in of.items() if metric not in has]
        if find_metric(metric).higher_is_better is None:
            why = "it is neither good nor bad"
        elif lacking:
            why = f"{', '.join(lacking)} has no scores of it"
        else:
            kept.append(metric)
            continue
        if wanted is not None:
            raise ValueError(f"{metric} can't be compared: {why}")
        log.warning("%s is not compared: %s", metric, why)
    if not kept:
        raise ValueError("the methods have no metric in common that says what is better")
    return kept


def _aligned(
    rows: Mapping[str, Mapping[tuple[str, int | str, str], Score]],
    cases: Sequence[str],
    label: int | str,
    metric: str,
) -> Aligned:
    more = bool(find_metric(metric).higher_is_better)
    goodness = np.full((len(rows), len(cases)), np.nan)
    name = ""
    for column, case in enumerate(cases):
        found = {method: has.get((case, label, metric)) for method, has in rows.items()}
        name = name or next((row.name for row in found.values() if row and row.name), "")
        _require_one_reference(found, case, label)
        if all(row is None or row.status == "both_empty" for row in found.values()):
            continue
        for line, row in enumerate(found.values()):
            goodness[line, column] = _goodness(row, more=more)
    return Aligned(label, name, metric, more, goodness)


def _require_one_reference(found: Mapping[str, Score | None], case: str, label: int | str) -> None:
    """Refuse what can't come from one reference; a row that is not there means both empty."""
    sides: dict[bool, str] = {}
    for method, row in found.items():
        sides[row is not None and _ANNOTATED[row.status]] = method
    if len(sides) > 1:
        raise ValueError(
            f"the reference of case {case!r} has label {label} for {sides[True]} and not for "
            f"{sides[False]}; score all methods against the same references"
        )


def _goodness(row: Score | None, *, more: bool) -> float:
    if row is None or row.status == "both_empty":
        return inf
    if not isfinite(row.value):
        return nan if row.status == "ok" and isnan(row.value) else -inf
    # Rounding must not decide who is better.
    return round(row.value if more else -row.value, _DIGITS)
