"""What a plan decided and why, for people."""

from __future__ import annotations

from collections import Counter
from math import prod
from typing import Any

import numpy as np

from medseg.learning.fingerprint import Fingerprint
from medseg.learning.sizing import Sizes
from medseg.learning.symmetry import sided_pairs
from medseg.volume import BACKGROUND


def notes_of(
    fingerprint: Fingerprint, sizes: Sizes, allowed_mirror: tuple[int, ...]
) -> dict[str, Any]:
    """Notes of a plan: what stands behind its numbers."""
    median = np.median(fingerprint.spacings, axis=0).round(6).tolist()
    spacing = "the median of the cases"
    if not np.allclose(median, sizes.spacing, rtol=1e-4):
        spacing = f"the median of the cases is {_by(median)} mm"
    share = prod(sizes.patch) / prod(n if p > 1 else 1 for n, p in _sides(sizes))
    return {
        "cases": len(fingerprint.cases),
        "spacing": spacing,
        "median_size": [round(n, 1) for n in sizes.median],
        "patch": f"{100 * min(share, 1):.0f} % of the median size",
        "allowed_mirror": list(allowed_mirror),
        "left_and_right": [list(pair) for pair in sided_pairs(fingerprint)],
        "class_weights": class_weights(fingerprint),
    }


def class_weights(fingerprint: Fingerprint) -> dict[str, float]:
    """Weight of each label that occurs: one over its share of all voxels, their mean being 1."""
    voxels: Counter[int] = Counter()
    for case in fingerprint.cases:
        counts = {label: facts.voxels for label, facts in case.labels.items()}
        voxels.update(counts)
        voxels[BACKGROUND] += prod(case.shape) - sum(counts.values())
    rarity = {label: 1 / count for label, count in sorted(voxels.items()) if count}
    mean = sum(rarity.values()) / len(rarity)
    return {str(label): float(f"{value / mean:.4g}") for label, value in rarity.items()}


def _sides(sizes: Sizes) -> list[tuple[float, int]]:
    return list(zip(sizes.median, sizes.patch, strict=True))


def _by(numbers: list[float]) -> str:
    return " x ".join(f"{n:g}" for n in numbers)
