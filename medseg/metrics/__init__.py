"""How well a prediction agrees with a reference; `METRICS` lists the ways to say so."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from medseg.metrics.centreline import cldice
from medseg.metrics.distances import Distances
from medseg.metrics.metric import Metric
from medseg.metrics.naming import (
    CALIBRATION,
    METRICS,
    PARTITION,
    describe_metric,
    find_metric,
)
from medseg.metrics.overlap import (
    accuracy,
    dice,
    false_negative_rate,
    false_positive_rate,
    jaccard,
    kappa,
    precision,
    recall,
    relative_volume_difference,
    specificity,
    volume_predicted,
    volume_reference,
    volume_similarity,
)
from medseg.metrics.pair import Masks, Pair, Status
from medseg.metrics.pairing import pairs
from medseg.metrics.surface import (
    asd_to_predicted,
    asd_to_reference,
    assd,
    hd,
    hd_percentile,
    hd_percentile_max,
    masd,
    nsd,
    nsd_surfel,
)


def __getattr__(name: str) -> Any:
    if name == "binary":  # of its own weight, so loaded when it is named
        return import_module("medseg.metrics.binary")
    raise AttributeError(f"module 'medseg.metrics' has no attribute {name!r}")


__all__ = [
    "CALIBRATION",
    "METRICS",
    "PARTITION",
    "Distances",
    "Masks",
    "Metric",
    "Pair",
    "Status",
    "accuracy",
    "asd_to_predicted",
    "asd_to_reference",
    "assd",
    "cldice",
    "describe_metric",
    "dice",
    "false_negative_rate",
    "false_positive_rate",
    "find_metric",
    "hd",
    "hd_percentile",
    "hd_percentile_max",
    "jaccard",
    "kappa",
    "masd",
    "nsd",
    "nsd_surfel",
    "pairs",
    "precision",
    "recall",
    "relative_volume_difference",
    "specificity",
    "volume_predicted",
    "volume_reference",
    "volume_similarity",
]
