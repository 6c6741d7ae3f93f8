"""How well a prediction agrees with a reference; `METRICS` lists the ways to say so."""

from __future__ import annotations

import re

from medseg.metrics.distances import Distances
from medseg.metrics.metric import Metric
from medseg.metrics.overlap import (
    accuracy,
    dice,
    jaccard,
    precision,
    recall,
    specificity,
    volume_predicted,
    volume_reference,
)
from medseg.metrics.pair import Pair, Status
from medseg.metrics.pairing import pairs
from medseg.metrics.surface import assd, hd, hd95, nsd
from medseg.registry import Registry

_OVERLAP, _SURFACE = "medseg.metrics.overlap", "medseg.metrics.surface"

METRICS: Registry[Metric] = Registry(
    "metric",
    {
        "dice": (f"{_OVERLAP}:DICE", "twice the overlap over the sum of sizes"),
        "jaccard": (f"{_OVERLAP}:JACCARD", "overlap over union"),
        "precision": (f"{_OVERLAP}:PRECISION", "share of the prediction that is right"),
        "recall": (f"{_OVERLAP}:RECALL", "share of the reference that is found"),
        "specificity": (f"{_OVERLAP}:SPECIFICITY", "share of the rest that is left out"),
        "accuracy": (f"{_OVERLAP}:ACCURACY", "share of all voxels that are right"),
        "volume_predicted": (f"{_OVERLAP}:VOLUME_PREDICTED", "volume of the prediction, ml"),
        "volume_reference": (f"{_OVERLAP}:VOLUME_REFERENCE", "volume of the reference, ml"),
        "hd": (f"{_SURFACE}:HD", "largest distance between the borders, mm"),
        "hd95": (
            f"{_SURFACE}:HD95",
            "95th percentile of the distances of both borders together, mm",
        ),
        "assd": (f"{_SURFACE}:ASSD", "mean of the distances of both borders together, mm"),
        "nsd": (f"{_SURFACE}:NSD", "share of both borders within 1 mm, or what its name says"),
    },
)


def find_metric(name: str, tolerance_mm: float = 1.0) -> Metric:
    """Metric called `name`, where `nsd_2mm` is `nsd` at 2 mm.

    Parameters
    ----------
    name : str
    tolerance_mm : float
        Of a metric that has a tolerance and does not say which.

    Raises
    ------
    ValueError
        If there is none of that name.
    """
    family, said = _split(name)
    found = METRICS.pick(family)
    if found.at is not None:
        return found.at(tolerance_mm if said is None else said)
    if said is not None:
        raise ValueError(f"{family} has no tolerance, so no metric is called {name!r}")
    return found


def describe_metric(name: str) -> str:
    """One line that says what the metric called `name` is, whatever its tolerance."""
    return METRICS.summary(_split(name)[0])


def _split(name: str) -> tuple[str, float | None]:
    """Name in `METRICS`, and the tolerance in mm behind it."""
    parts = re.fullmatch(r"(.+)_(\d+(?:\.\d+)?(?:e[+-]?\d+)?)mm", name)
    return (parts[1], float(parts[2])) if parts else (name, None)


__all__ = [
    "METRICS",
    "Distances",
    "Metric",
    "Pair",
    "Status",
    "accuracy",
    "assd",
    "describe_metric",
    "dice",
    "find_metric",
    "hd",
    "hd95",
    "jaccard",
    "nsd",
    "pairs",
    "precision",
    "recall",
    "specificity",
    "volume_predicted",
    "volume_reference",
]
