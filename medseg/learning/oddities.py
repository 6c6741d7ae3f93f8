"""What a person should look at before training on a data set."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from medseg.learning.fingerprint import Fingerprint
from medseg.learning.symmetry import sided_pairs

_FACTOR = 2.0
_NAMED = 5


def oddities(fingerprint: Fingerprint) -> tuple[str, ...]:
    """One line a finding: it may be right, but seldom is."""
    return (
        *_outliers(fingerprint, "spacing", fingerprint.spacings, "mm"),
        *_outliers(fingerprint, "size", fingerprint.spacings * fingerprint.shapes, "mm"),
        *_duplicates(fingerprint),
        *_without_labels(fingerprint),
        *_outside(fingerprint),
        *_sides(fingerprint),
    )


def _outliers(
    fingerprint: Fingerprint, what: str, values: NDArray[np.float64], unit: str
) -> Iterable[str]:
    """Cases of which an axis is over twice, or under half, the median."""
    median = np.median(values, axis=0)
    away = np.maximum(values / median, median / values)
    far: NDArray[np.bool_] = away.max(axis=1) > _FACTOR
    if far.any():
        usual = " x ".join(f"{n:g}" for n in median.round(3))
        names = [case.name for case, is_far in zip(fingerprint.cases, far, strict=True) if is_far]
        yield f"{what} far from the median of {usual} {unit}: {_listed(names)}"


def _duplicates(fingerprint: Fingerprint) -> Iterable[str]:
    alike = defaultdict(list)
    for case in fingerprint.cases:
        alike[case.digest].append(case.name)
    for names in alike.values():
        if len(names) > 1:
            yield f"the same image: {_listed(names)}"


def _without_labels(fingerprint: Fingerprint) -> Iterable[str]:
    empty = [case.name for case in fingerprint.cases if not case.labels]
    if empty:
        yield f"no label at all: {_listed(empty)}"
    cases = Counter(label for case in fingerprint.cases for label in case.labels)
    for label, name in sorted(fingerprint.names.items()):
        if not cases[label]:
            yield f"label {label} ({name}) occurs in no case"


def _outside(fingerprint: Fingerprint) -> Iterable[str]:
    outside = [case.name for case in fingerprint.cases if case.outside]
    if outside:
        yield f"labels outside of the image, where it is 0: {_listed(outside)}"


def _sides(fingerprint: Fingerprint) -> Iterable[str]:
    pairs = sided_pairs(fingerprint)
    if pairs:
        named = [f"{fingerprint.names[a]} and {fingerprint.names[b]}" for a, b in pairs]
        yield f"left and right have labels of their own: {_listed(named)}"


def _listed(names: list[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
