"""What a plan decided and why, for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

from medseg.intensity import normalisation_to_json
from medseg.learning.batch_size import batch_size
from medseg.learning.fingerprint import Fingerprint
from medseg.learning.plan import Plan
from medseg.learning.sizing import Sizes
from medseg.learning.symmetry import RIGHT_AXIS, sided_pairs
from medseg.networks import network_to_json
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


def summary(plan: Plan) -> dict[str, str]:
    """What a plan decided, and why: a line each, by name."""
    notes, network = plan.notes, network_to_json(plan.network)
    batch, sides = batch_size(plan), [plan.patch[axis] for axis in plan.axes]
    levels = network.get("features", ())
    width = f", {len(levels)} levels of {', '.join(map(str, levels))} features" if levels else ""
    kinds = [_text(normalisation_to_json(one)) for one in plan.normalisations]
    channels = [f"{name}: {kind}" for name, kind in zip(plan.channels, kinds, strict=True)]
    pairs = notes.get("left_and_right")
    lines = {
        "network": f"{network['name']}, {len(plan.axes)}D{width}",
        "spacing": f"{_by(plan.spacing)} mm ({notes.get('spacing', 'given')})",
        "patch": f"{_by(sides)} voxels, {notes.get('patch', 'given')}; {batch} in a batch",
        "intensities": "; ".join(channels),
        "labels": ", ".join(f"{label} {plan.names[label]}" for label in plan.labels[1:])
        + (f"; {plan.ignore} is ignored" if plan.ignore is not None else ""),
        "mirrored": f"along axes {list(plan.mirror)}; "
        + (
            f"left and right have labels of their own, {pairs}, so never along axis {RIGHT_AXIS}"
            if pairs
            else f"{list(notes.get('allowed_mirror', plan.mirror))} are allowed"
        ),
    }
    if plan.regions:
        each = zip(plan.regions.items(), plan.written, strict=True)
        told = (f"{name} ({_sum(labels)}), written as {label}" for (name, labels), label in each)
        lines["regions"] = "; ".join(told)
    if plan.earlier:
        seen = ", ".join(map(str, plan.earlier))
        lines["cascade"] = f"sees what another network says of the labels {seen}; see --after"
    if "seconds_per_step" in notes:
        lines["step"] = f"{notes['seconds_per_step']:g} s on this machine"
    return lines


def class_weights(fingerprint: Fingerprint) -> dict[str, float]:
    """Weight of each label that occurs: one over its share of all voxels, their mean being 1."""
    voxels: Counter[int] = Counter()
    for case in fingerprint.cases:
        counts = {label: facts.voxels for label, facts in case.labels.items()}
        voxels.update(counts)
        voxels[BACKGROUND] += prod(case.shape) - case.ignored - sum(counts.values())
    rarity = {label: 1 / count for label, count in sorted(voxels.items()) if count}
    mean = sum(rarity.values()) / len(rarity)
    return {str(label): float(f"{value / mean:.4g}") for label, value in rarity.items()}


def _sides(sizes: Sizes) -> list[tuple[float, int]]:
    return list(zip(sizes.median, sizes.patch, strict=True))


def _text(normalisation: Mapping[str, Any]) -> str:
    """Name of a normalisation and its parameters."""
    rest = [f"{k} {v:.6g}" for k, v in normalisation.items() if isinstance(v, int | float) and v]
    return " ".join([str(normalisation["name"]), *rest])


def _sum(labels: Sequence[int]) -> str:
    return " + ".join(map(str, labels))


def _by(numbers: Sequence[float]) -> str:
    return " x ".join(f"{n:g}" for n in numbers)
