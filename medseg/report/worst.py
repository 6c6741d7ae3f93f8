"""The worst cases, with their pictures."""

from __future__ import annotations

from base64 import b64encode
from math import inf, isfinite, isnan
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from medseg.dataset import Case, find_cases
from medseg.evaluation import Rules, Score, Scores
from medseg.evaluation.scoring import fitted
from medseg.io import PathLike, read_labels
from medseg.metrics import find_metric
from medseg.pictures import draw_overlay
from medseg.report.numbers import names_of, written
from medseg.report.page import paragraph, picture, section, table
from medseg.volume import Image, Labels

_LISTED, _DRAWN = 10, 5


def worst_cases(scores: Scores, images: PathLike | None, rules: Rules) -> str:
    """The worst ten in a table, and the worst five in pictures."""
    metric = next((m for m in scores.metrics if find_metric(m).higher_is_better is not None), None)
    if metric is None:
        return ""
    ranked = worst_first(scores, metric)
    names = names_of(scores)
    rows = []
    for case in ranked[:_LISTED]:
        found = {row.label: row for row in scores.rows if (row.case, row.metric) == (case, metric)}
        rows.append([case, *(_cell(found.get(label)) for label in scores.labels)])
    listed = table(f"{metric}, the worst first", ["case", *names.values()], rows)
    known = {case.name: case for case in find_cases(images)} if images is not None else {}
    pictures = [_picture(scores, case, metric, known, rules) for case in ranked[:_DRAWN]]
    words = (
        f"By the mean of {metric} over the labels; a structure that one side lacks is worse than "
        "any number. Solid lines are predicted, dashed ones annotated."
    )
    return section("Worst cases", paragraph(words), listed, *pictures)


def worst_first(scores: Scores, metric: str) -> list[str]:
    """Cases by the mean of a metric over their labels, the worst first.

    An undefined or infinite value of a structure that one side lacks is worse than any number,
    and the more of them the worse; what neither side has does not count.
    """
    sign = 1 if find_metric(metric).higher_is_better else -1
    of_case: dict[str, list[Score]] = {case: [] for case in scores.records}
    for row in scores.rows:
        if row.metric == metric and row.case in of_case and row.status != "both_empty":
            of_case[row.case].append(row)

    def goodness(case: str) -> tuple[float, float, str]:
        finite = [sign * row.value for row in of_case[case] if isfinite(row.value)]
        lost = len(of_case[case]) - len(finite)
        mean = sum(finite) / len(finite) if finite else (inf if not lost else -inf)
        return (-lost, mean, case)

    return sorted(of_case, key=goodness)


def _cell(row: Score | None) -> str:
    if row is None:
        return "-"
    return written(row.value) if row.status == "ok" else f"{row.status.replace('_', ' ')}"


def _picture(scores: Scores, case: str, metric: str, images: dict[str, Case], rules: Rules) -> str:
    record = scores.records[case]
    names = {row.label: row.name for row in scores.rows if isinstance(row.label, int) and row.name}
    reference = read_labels(
        record.reference, {k: v for k, v in names.items() if isinstance(k, int)}
    )
    if record.prediction is None:
        empty = np.zeros(reference.grid.shape, np.uint8)
        predicted = Labels(empty, reference.grid)
    else:
        predicted = read_labels(record.prediction)
    predicted, reference, _ = fitted(predicted, reference, rules)
    values = [row.value for row in scores.rows if (row.case, row.metric) == (case, metric)]
    known = [value for value in values if not isnan(value)]
    title = f"{case}   {metric} {written(sum(known) / len(known))}" if known else case
    with TemporaryDirectory() as folder:
        file = Path(folder) / "case.png"
        draw_overlay(_image(images.get(case)), predicted, file, reference, title=title)
        return picture(b64encode(file.read_bytes()).decode(), title)


def _image(case: Case | None) -> Image | None:
    return None if case is None else case.image()
