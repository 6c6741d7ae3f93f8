"""Which label was taken for which, over all cases."""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from medseg.charts import heat_chart
from medseg.evaluation import Scores
from medseg.page import paragraph, section, table
from medseg.report.numbers import names_of
from medseg.volume import BACKGROUND

_MOST = 40
_LISTED = 15


def confusion(scores: Scores) -> str:
    """Matrix of the labels, and the confusions with the most voxels.

    Of more than 40 labels, those with the most mistaken voxels.
    """
    mistaken: Counter[tuple[int, int]] = Counter()
    for record in scores.records.values():
        mistaken.update(record.confused)
    names = {BACKGROUND: "background", **names_of(scores)}
    labels = _chosen(scores, mistaken)
    counts = _matrix(scores, mistaken, labels)
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.full(counts.shape, np.nan), where=totals > 0)
    right = "; ".join(
        f"{names[label]}: {100 * shares[k, k]:.1f} % right"
        for k, label in enumerate(labels)
        if totals[k]
    )
    chart = heat_chart(
        shares,
        [names[label] for label in labels],
        "Which label was taken for which",
        ("annotated", "predicted"),
        description=right,
    )
    words = "Shares of the annotated voxels of each label, over all cases together."
    if len(labels) < len(_labels(scores)):
        words += f" Of {len(_labels(scores))} labels, the {len(labels)} with mistaken voxels"
        words += ", or with the most of them, are in the matrix."
    rows = [
        [names.get(a, str(a)), names.get(b, str(b)), f"{count:,}"]
        for (a, b), count in mistaken.most_common(_LISTED)
    ]
    listed = table("Most voxels", ["annotated", "predicted", "voxels"], rows, words=2)
    return section("Confusion", paragraph(words), chart.svg(), listed if rows else "")


def _labels(scores: Scores) -> list[int]:
    return [BACKGROUND, *(label for label in scores.labels if isinstance(label, int))]


def _chosen(scores: Scores, mistaken: Counter[tuple[int, int]]) -> list[int]:
    labels = _labels(scores)
    if len(labels) <= _MOST:
        return labels
    wrong: Counter[int] = Counter()
    for pair, count in mistaken.items():
        for label in pair:
            wrong[label] += count
    return sorted(label for label, _ in wrong.most_common(_MOST)) or labels[:_MOST]


def _matrix(
    scores: Scores, mistaken: Counter[tuple[int, int]], labels: list[int]
) -> NDArray[np.int64]:
    """Voxels by annotated and predicted label."""
    counts = np.zeros((len(labels), len(labels)), np.int64)
    place = {label: k for k, label in enumerate(labels)}
    for (a, b), voxels in mistaken.items():
        if a in place and b in place:
            counts[place[a], place[b]] = voxels
    for record in scores.records.values():
        right = {k: c.tp for k, c in record.counts.items() if isinstance(k, int)}
        wrong = sum(record.confused.values())
        for label, voxels in right.items():
            if label in place:
                counts[place[label], place[label]] += voxels
        if BACKGROUND in place:
            at = place[BACKGROUND]
            counts[at, at] += record.voxels - wrong - sum(right.values())
    return counts
