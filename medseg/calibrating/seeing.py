"""What a model says of annotated cases, where it matters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from medseg.dataset import Case
from medseg.evaluation import evaluate
from medseg.learning.confidence import expected_dice
from medseg.learning.ensemble import Ensemble
from medseg.learning.model import Model
from medseg.metrics.calibration import band
from medseg.segmenter import labels_of_channels
from medseg.volume import BACKGROUND, Labels

MOST_VOXELS = 100_000  # of a case, drawn at random where there are more


@dataclass(frozen=True, eq=False)
class Seen:
    """What a model says of a case, near the structures that are annotated.

    Parameters
    ----------
    case : str
    probabilities : (classes, n) float32 array
        Of the voxels that were looked at.
    classes : (n,) integer array
        What is true of them.
    expected, dice : mapping of int to float
        Dice of each label: as the probabilities have it, and against the annotation; nan of
        what neither has.
    """

    case: str
    probabilities: NDArray[np.float32]
    classes: NDArray[np.integer]
    expected: Mapping[int, float]
    dice: Mapping[int, float]


def seen(model: Model | Ensemble, case: Case, margin_mm: float, seed: int) -> Seen:
    """Segment a case, and keep what was said near the border of what is annotated.

    Raises
    ------
    ValueError
        If the image does not fit the model, or a label of the annotation is unknown to it.
    """
    image, mask = case.image(len(model.plan.channels)), case.mask()
    reference = case.labels(model.plan.names)
    said = model.probabilities(image, mask=mask)
    labels = model.most_probable(said)
    known = labels_of_channels(said, model.plan.names)
    inside = _inside(reference, mask, margin_mm, model.plan.ignore)
    places = np.flatnonzero(inside)
    if len(places) > MOST_VOXELS:
        rng = np.random.default_rng([seed, crc32(case.name.encode())])
        places = np.sort(rng.choice(places, MOST_VOXELS, replace=False))
    scores = evaluate(labels, reference, case.name, ("dice",))
    dice = {row.label: row.value for row in scores.rows if isinstance(row.label, int)}
    return Seen(
        case.name,
        said.array.reshape(len(known), -1)[:, places],
        _classes(reference.array.reshape(-1)[places], known, case.name),
        expected_dice(said, labels),
        {label: dice.get(label, np.nan) for label in known[1:]},
    )


def _inside(
    reference: Labels, mask: Labels | None, margin_mm: float, ignore: int | None
) -> NDArray[np.bool_]:
    counts = np.ones(reference.array.shape, bool) if mask is None else mask.array != 0
    if ignore is not None:
        counts = counts & (reference.array != ignore)
    annotated = (reference.array != BACKGROUND) & counts
    if annotated.any():
        counts = counts & band(annotated, reference.grid.spacing, margin_mm)
        return np.asarray(counts)
    return np.zeros_like(counts)


def _classes(values: NDArray[np.integer], known: tuple[int, ...], case: str) -> NDArray[np.integer]:
    order = np.argsort(known)
    at = np.searchsorted(np.array(known), values, sorter=order).clip(max=len(known) - 1)
    classes: NDArray[np.integer] = order[at]
    if (wrong := np.array(known)[classes] != values).any():
        raise ValueError(
            f"{case} has labels that the model does not know: {np.unique(values[wrong]).tolist()}"
        )
    return classes
