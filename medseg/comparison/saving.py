"""Comparisons as CSV, as JSON and as a picture."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from io import StringIO
from math import inf, isfinite
from typing import TYPE_CHECKING, Any

import medseg
from medseg.charts import Chart, Interval, Row, box_chart, interval_chart, share_chart, stack
from medseg.metrics import describe_metric, find_metric

if TYPE_CHECKING:
    from medseg.comparison.comparing import Comparison, Difference

_METHODS = {
    "test": "Wilcoxon's signed-rank test, two-sided, differences of 0 left out, infinite ones of "
    "the highest rank; cases of one patient change their signs together",
    "correction": "Holm's, over all labels, metrics and pairs of methods",
    "interval": "percentile bootstrap of the median difference, patients drawn with replacement",
    "ranking": "mean over the cases of the rank of each method, equal ones share theirs; shares "
    "are of the same bootstrap samples",
    "not finite": "a structure that one side lacks is worse than any number; to find nothing "
    "where nothing is, is better; where no method has anything to find, nothing is compared",
}


def csv_of(comparison: Comparison) -> str:
    """A line for each difference."""
    from medseg.comparison.comparing import Difference

    columns = [field.name for field in fields(Difference)]
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for each in comparison.differences:
        writer.writerow([getattr(each, column) for column in columns])
    return text.getvalue()


def json_of(comparison: Comparison) -> str:
    """Differences, rankings and how they came about."""
    metrics = dict.fromkeys(each.metric for each in comparison.differences)
    content = {
        "methods": comparison.methods,
        "cases": comparison.cases,
        "patients": comparison.patients,
        "bootstrap": asdict(comparison.bootstrap),
        "how": _METHODS,
        "definitions": {metric: describe_metric(metric) for metric in metrics},
        "differences": [asdict(each) for each in comparison.differences],
        "rankings": [asdict(each) for each in comparison.rankings],
        "version": medseg.__version__,
    }
    return json.dumps(_finite(content), indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def svg_of(comparison: Comparison) -> str:
    """Scores of all methods, their differences, and how stable their ranking is."""
    metrics = list(dict.fromkeys(each.metric for each in comparison.differences))
    charts = [chart for metric in metrics for chart in _of_metric(comparison, metric)]
    title = "Comparison of " + ", ".join(comparison.methods)
    return stack([_ranked(comparison), *charts], title).svg()


def _ranked(comparison: Comparison) -> Chart:
    overall = comparison.rankings[0]
    order = sorted(overall.mean_ranks, key=lambda method: overall.mean_ranks[method])
    return share_chart(
        {method: overall.shares[method] for method in order},
        [f"rank {place}" for place in range(1, len(order) + 1)],
        "Ranking over all labels and metrics, in samples of the patients",
        notes={method: f"mean rank {overall.mean_ranks[method]:.2f}" for method in order},
    )


def _of_metric(comparison: Comparison, metric: str) -> tuple[Chart, Chart]:
    differences = [each for each in comparison.differences if each.metric == metric]
    found = find_metric(metric)
    unit = "" if found.unit == "1" else f" ({found.unit})"
    better = "more" if found.higher_is_better else "less"
    named = {each.label: _called(each) for each in differences}
    kept = set(comparison.cases)
    rows = []
    for label, name in named.items():
        for colour, (method, scores) in enumerate(comparison.scores.items()):
            of_label = [
                row
                for row in scores.rows
                if (row.label, row.metric) == (label, metric) and row.case in kept
            ]
            tips = [f"{row.case}: {row.value:.4g}" for row in of_label]
            values = [row.value for row in of_label]
            rows.append(Row(method, values, tips, "", name, colour))
    within = (-1.0 if metric == "kappa" else 0.0, 1.0 if found.unit == "1" else inf)
    boxes = box_chart(rows, metric, f"{metric}{unit}: {better} is better", within)
    several = len(comparison.methods) > 2
    intervals = [
        Interval(
            f"{_called(each)}: {each.first} - {each.second}" if several else _called(each),
            each.median,
            each.low,
            each.high,
            f"p = {each.corrected:.2g}; {each.wins} won, {each.ties} tied, {each.losses} lost",
        )
        for each in differences
    ]
    pair = "first less second" if several else " less ".join(comparison.methods)
    title = f"{metric}: median difference, {pair}"
    return boxes, interval_chart(intervals, title, f"difference of {metric}{unit}")


def _called(difference: Difference) -> str:
    label, name = str(difference.label), difference.name
    return f"{label} {name}" if name and name != label else label


def _finite(content: Any) -> Any:
    if isinstance(content, Mapping):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not isfinite(content) else content
