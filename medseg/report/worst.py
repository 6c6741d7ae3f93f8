"""The worst cases, with their pictures."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from math import inf, isfinite, isnan
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from medseg.dataset import Case, find_cases
from medseg.evaluation import Rules, Score, Scores
from medseg.evaluation.scoring import fitted
from medseg.io import PathLike, read_labels
from medseg.metrics import find_metric
from medseg.page import paragraph, picture, section, table
from medseg.pictures import draw_overlay
from medseg.report.numbers import names_of, written
from medseg.volume import Image, Labels

_LISTED, _DRAWN = 10, 5
_COLUMNS, _FEW = 10, 4  # labels that fit beside each other on paper; of more, the worst


def worst_cases(scores: Scores, images: PathLike | None, rules: Rules) -> str:
    """The worst ten in a table, and the worst five in pictures."""
    metric = next((m for m in scores.metrics if find_metric(m).higher_is_better is not None), None)
    if metric is None:
        return ""
    ranked = worst_first(scores, metric)
    listed = _listed(scores, ranked[:_LISTED], metric)
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
    of_case: dict[str, list[Score]] = {case: [] for case in scores.records}
    for row in scores.rows:
        if row.metric == metric and row.case in of_case and row.status != "both_empty":
            of_case[row.case].append(row)

    def order(case: str) -> tuple[float, float, str]:
        finite = [found for row in of_case[case] if isfinite(found := goodness(row))]
        lost = len(of_case[case]) - len(finite)
        mean = sum(finite) / len(finite) if finite else (inf if not lost else -inf)
        return (-lost, mean, case)

    return sorted(of_case, key=order)


def goodness(row: Score) -> float:
    """The more the better; -inf if it is not finite."""
    if not isfinite(row.value):
        return -inf
    return row.value if find_metric(row.metric).higher_is_better else -row.value


def _listed(scores: Scores, cases: Sequence[str], metric: str) -> str:
    """A column for each label; of many labels, the worst few of each case."""
    names = names_of(scores)
    found: dict[str, dict[int | str, Score]] = {case: {} for case in cases}
    for row in scores.rows:
        if row.metric == metric and row.case in found:
            found[row.case][row.label] = row
    caption = f"{metric}, the worst first"
    if len(names) <= _COLUMNS:
        rows = [[case, *(_cell(of.get(label)) for label in names)] for case, of in found.items()]
        return table(caption, ["case", *names.values()], rows)
    rows = [[case, _words(sorted(of.values(), key=goodness), names)] for case, of in found.items()]
    return table(caption, ["case", f"its {_FEW} worst labels"], rows, words=2)


def _words(rows: Sequence[Score], names: Mapping[int | str, str]) -> str:
    there = [row for row in rows if row.status != "both_empty"]
    return "; ".join(f"{names[row.label]}: {_cell(row)}" for row in there[:_FEW])


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
