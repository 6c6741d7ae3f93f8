"""What is known of a case beside its scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from medseg.metrics import Pair
from medseg.volume import Labels


@dataclass(frozen=True)
class Counts:
    """Voxels of one structure.

    Parameters
    ----------
    labels : tuple of int
        Those that make it up.
    tp, fp, fn, tn : int
        In both, predicted alone, annotated alone, and in neither.
    """

    labels: tuple[int, ...]
    tp: int
    fp: int
    fn: int
    tn: int

    @classmethod
    def of(cls, labels: tuple[int, ...], pair: Pair) -> Counts:
        """Voxels of a pair."""
        return cls(labels, pair.tp, pair.fp, pair.fn, pair.tn)


@dataclass(frozen=True)
class Record:
    """What is known of a case beside its scores.

    Parameters
    ----------
    prediction : Path or None
        Its file; None if the prediction is missing and was taken for empty.
    reference : Path
    voxels : int
        How many count.
    counts : mapping of int or str to Counts
        By label, or by name of a region.
    confused : mapping of (int, int) to int
        Voxels by annotated and predicted label, where the two differ; 0 is background.
    annotated : tuple of int
        Labels that were looked for; empty, all were. Nothing is said of the others.
    """

    prediction: Path | None
    reference: Path
    voxels: int
    counts: Mapping[int | str, Counts] = field(default_factory=dict)
    confused: Mapping[tuple[int, int], int] = field(default_factory=dict)
    annotated: tuple[int, ...] = ()

    def judges(self, members: tuple[int, ...]) -> bool:
        """Whether it is known where a structure of some labels is."""
        return not self.annotated or set(members) <= set(self.annotated)


def confused(predicted: Labels, reference: Labels) -> dict[tuple[int, int], int]:
    """Voxels by annotated and predicted label, where the two differ."""
    first, second = predicted.array, reference.array
    # Few voxels differ as a rule, so they are sought before anything is counted.
    differ = first != second
    if not differ.any():
        return {}
    found = np.stack([second[differ], first[differ]]).astype(np.int64)
    low = int(found.min())
    span = int(found.max()) - low + 1
    keys, counts = np.unique((found[0] - low) * span + found[1] - low, return_counts=True)
    annotated, mistaken = np.divmod(keys, span)
    return {
        (a + low, m + low): n
        for a, m, n in zip(annotated.tolist(), mistaken.tolist(), counts.tolist(), strict=True)
    }
