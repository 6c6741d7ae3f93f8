"""Numbers in words, and what things are called."""

from __future__ import annotations

from math import inf, isnan

from medseg.evaluation import Scores, Summary
from medseg.metrics import find_metric


def written(value: float) -> str:
    """A number with three digits behind the point."""
    if isnan(value):
        return "-"
    return "∞" if value == inf else f"{value:.3f}"


def names_of(scores: Scores) -> dict[int | str, str]:
    """What each label is called: its name, and the label where that says more."""
    named = {row.label: row.name for row in scores.rows if row.name}
    return {
        label: f"{label} {named[label]}" if named.get(label, label) != label else str(label)
        for label in scores.labels
    }


def with_unit(metric: str) -> str:
    """Metric and its unit."""
    unit = find_metric(metric).unit
    return metric if unit == "1" else f"{metric} (mm)" if unit == "mm" else f"{metric} ({unit})"


def told(row: Summary) -> str:
    """How many cases are scored, and why others are not."""
    counts = {"missed": row.missed, "spurious": row.spurious, "empty": row.both_empty}
    more = "".join(f", {count} {what}" for what, count in counts.items() if count)
    return f"n = {row.scored}{more}"
