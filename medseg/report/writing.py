"""Scores as one HTML file: tables, charts and the worst cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf, isnan
from pathlib import Path
from typing import TYPE_CHECKING

import medseg
from medseg.charts import Row, box_chart
from medseg.evaluation import Bootstrap, Rules, Score, Scores, Summary
from medseg.io import PathLike, replace_file
from medseg.metrics import describe_metric, find_metric
from medseg.page import page, paragraph, section, table
from medseg.report.confusion import confusion
from medseg.report.numbers import names_of, told, with_unit, written
from medseg.report.worst import worst_cases

if TYPE_CHECKING:
    from medseg.metrics.calibration import Reliability

_PLAIN = Rules()


def write_report(
    scores: Scores,
    path: PathLike,
    *,
    images: PathLike | None = None,
    reliability: Mapping[int, Reliability] | None = None,
    rules: Rules = _PLAIN,
) -> None:
    """Write scores as one HTML file that needs no other, nor a network.

    It has tables of all metrics, a box and a dot a case for each label, the worst cases with
    their pictures, which label was taken for which, and whether probabilities came true.

    Parameters
    ----------
    scores : Scores
        As `evaluate_cases` gave them; from a CSV file, pictures and confusions are left out.
    path : path
        Of an .html file.
    images : path, optional
        Folder or data set with the images behind the worst cases, by the names of the cases.
    reliability : mapping of int to Reliability, optional
        By label; see `medseg.evaluation.reliability_of`.
    rules : Rules
        Those of the scores.

    Raises
    ------
    ValueError
        If there are no scores, or the path ends otherwise.
    """
    file = Path(path)
    if file.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"a report is written as .html, got {file}")
    if not scores.rows:
        raise ValueError("a report needs scores, and there are none")
    bootstrap = Bootstrap()
    summary = scores.summary(bootstrap)
    sections = [
        _head(scores, rules),
        _numbers(scores, summary, bootstrap),
        _boxes(scores, summary),
    ]
    if scores.records:
        sections += [worst_cases(scores, images, rules), confusion(scores)]
    if reliability:
        from medseg.report.reliable import reliable

        sections.append(reliable(reliability, names_of(scores)))
    sections.append(_definitions(scores, rules))
    replace_file(file, page("Evaluation of a segmentation", sections))


def _head(scores: Scores, rules: Rules) -> str:
    parts = [paragraph(f"{len(scores.cases)} cases, {len(scores.labels)} labels and regions.")]
    missing = [case for case, record in scores.records.items() if record.prediction is None]
    if missing:
        words = f"Without a prediction, and scored as the worst: {', '.join(missing)}."
        parts.append(paragraph(words, "warning"))
    for case, why in scores.failures.items():
        parts.append(paragraph(f"{case} was not scored: {why}", "warning"))
    if rules.ignore is not None:
        parts.append(paragraph(f"Label {rules.ignore} of the reference counts for nothing."))
    return "\n".join(parts)


def _numbers(scores: Scores, summary: Sequence[Summary], bootstrap: Bootstrap) -> str:
    heads = ["label", "mean ± sd", f"{100 * bootstrap.level:g} % interval", "median", "quartiles"]
    heads += ["lowest", "highest", "n", "missed", "spurious", "both empty"]
    names = names_of(scores)
    tables = [
        table(
            f"{with_unit(metric)}: {describe_metric(metric)}",
            heads,
            [_line(names[row.label], row) for row in summary if row.metric == metric],
        )
        for metric in scores.metrics
    ]
    words = (
        "Means, medians and all beside them are over the n cases with a finite value. A missed "
        "structure has Dice 0, and no finite distance. Intervals are of the mean: "
        f"percentiles of {bootstrap.samples:,} bootstrap samples of the cases, seed "
        f"{bootstrap.seed}."
    )
    return section("Numbers", paragraph(words), *tables)


def _line(name: str, row: Summary) -> list[str]:
    spread = "" if isnan(row.sd) else f" ± {written(row.sd)}"
    interval = "-" if isnan(row.low) else f"{written(row.low)} to {written(row.high)}"
    quartiles = "-" if isnan(row.q1) else f"{written(row.q1)} to {written(row.q3)}"
    numbers = [written(row.mean) + spread, interval, written(row.median), quartiles]
    numbers += [written(row.min), written(row.max)]
    return [name, *numbers, *map(str, (row.scored, row.missed, row.spurious, row.both_empty))]


def _boxes(scores: Scores, summary: Sequence[Summary]) -> str:
    names = names_of(scores)
    notes = {(row.label, row.metric): told(row) for row in summary}
    groups: dict[tuple[int | str, str], list[Score]] = {}
    for row in scores.rows:
        groups.setdefault((row.label, row.metric), []).append(row)
    charts = []
    for metric in scores.metrics:
        rows = []
        for label in scores.labels:
            found = groups.get((label, metric), [])
            tips = [f"{row.case}: {written(row.value)}" for row in found]
            note = notes.get((label, metric), "")
            rows.append(Row(names[label], [row.value for row in found], tips, note))
        charts.append(box_chart(rows, metric, with_unit(metric), _within(metric)).svg())
    words = (
        "A dot is a case. A box holds the middle half of the cases, its line is the median. "
        "Triangles at ∞ are distances to structures that are not there."
    )
    return section("Case by case", paragraph(words), *charts)


def _within(metric: str) -> tuple[float, float]:
    """What the numbers can be: distances and volumes are not below 0, most shares not above 1."""
    found = find_metric(metric)
    if (found.higher_is_better is None and found.unit == "1") or metric == "kappa":
        return (-1.0, inf)
    return (0.0, 1.0) if found.unit == "1" else (0.0, inf)


def _definitions(scores: Scores, rules: Rules) -> str:
    rows = []
    for metric in scores.metrics:
        found = find_metric(metric)
        better = {True: "more is better", False: "less is better", None: "neither"}
        unit = "" if found.unit == "1" else found.unit
        rows.append([metric, describe_metric(metric), unit, better[found.higher_is_better]])
    defined = table("Metrics", ["metric", "what it is", "unit", "direction"], rows, words=4)
    empty = {
        "undefined": "stays undefined or infinite, and is counted apart",
        "worst": "has the worst score: 0, or in mm the diagonal of the image",
    }
    words = f"A structure that only one side has {empty[rules.empty]}."
    made = f"Made by medseg {medseg.__version__}."
    return section("Definitions", defined, paragraph(words), paragraph(made))
