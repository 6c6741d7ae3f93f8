"""Metrics by name, where a number in the name may be any: `nsd_2mm`, `hd99`, `hd50_max`."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from medseg.metrics.metric import Metric
from medseg.metrics.surface import hd_at, hd_max_at
from medseg.registry import Registry

if TYPE_CHECKING:
    from medseg.metrics.calibration import Reliability
    from medseg.metrics.pair import Pair
    from medseg.metrics.partition import Partition

_OVERLAP, _SURFACE = "medseg.metrics.overlap", "medseg.metrics.surface"
_PARTITION, _CALIBRATION = "medseg.metrics.partition", "medseg.metrics.calibration"

METRICS: Registry[Metric[Pair]] = Registry(
    "metric",
    {
        "dice": (f"{_OVERLAP}:DICE", "twice the overlap over the sum of sizes"),
        "jaccard": (f"{_OVERLAP}:JACCARD", "overlap over union"),
        "precision": (f"{_OVERLAP}:PRECISION", "share of the prediction that is right"),
        "recall": (f"{_OVERLAP}:RECALL", "share of the reference that is found"),
        "sensitivity": (f"{_OVERLAP}:SENSITIVITY", "recall by its other name"),
        "specificity": (f"{_OVERLAP}:SPECIFICITY", "share of the rest that is left out"),
        "false_positive_rate": (
            f"{_OVERLAP}:FALSE_POSITIVE_RATE",
            "share of the rest that is taken in",
        ),
        "false_negative_rate": (
            f"{_OVERLAP}:FALSE_NEGATIVE_RATE",
            "share of the reference that is missed",
        ),
        "accuracy": (f"{_OVERLAP}:ACCURACY", "share of all voxels that are right"),
        "kappa": (f"{_OVERLAP}:KAPPA", "agreement beyond chance, Cohen's"),
        "cldice": ("medseg.metrics.centreline:CLDICE", "Dice of centre lines, for tubes"),
        "volume_similarity": (
            f"{_OVERLAP}:VOLUME_SIMILARITY",
            "1 less the difference of sizes over their sum",
        ),
        "relative_volume_difference": (
            f"{_OVERLAP}:RELATIVE_VOLUME_DIFFERENCE",
            "predicted over annotated volume, less 1",
        ),
        "volume_predicted": (f"{_OVERLAP}:VOLUME_PREDICTED", "volume of the prediction, ml"),
        "volume_reference": (f"{_OVERLAP}:VOLUME_REFERENCE", "volume of the reference, ml"),
        "hd": (f"{_SURFACE}:HD", "largest distance between the borders, mm"),
        "hd95": (
            f"{_SURFACE}:HD95",
            "95th percentile of the distances of both borders together, mm",
        ),
        "hd95_max": (
            f"{_SURFACE}:HD95_MAX",
            "95th percentile of the distances of the worse direction, mm",
        ),
        "assd": (f"{_SURFACE}:ASSD", "mean of the distances of both borders together, mm"),
        "masd": (f"{_SURFACE}:MASD", "mean of the mean distances of the two directions, mm"),
        "asd_to_reference": (
            f"{_SURFACE}:ASD_TO_REFERENCE",
            "mean distance from the predicted to the annotated border, mm",
        ),
        "asd_to_predicted": (
            f"{_SURFACE}:ASD_TO_PREDICTED",
            "mean distance from the annotated to the predicted border, mm",
        ),
        "nsd": (f"{_SURFACE}:NSD", "share of both borders within 1 mm, or what its name says"),
        "nsd_surfel": (
            f"{_SURFACE}:NSD_SURFEL",
            "share of both surfaces' area within 1 mm, or what its name says",
        ),
    },
)

PARTITION: Registry[Metric[Partition]] = Registry(
    "metric of partitions",
    {
        "lesion_precision": (
            f"{_PARTITION}:LESION_PRECISION",
            "share of predicted objects matched",
        ),
        "lesion_recall": (
            f"{_PARTITION}:LESION_RECALL",
            "share of annotated objects that are matched",
        ),
        "lesion_f1": (f"{_PARTITION}:LESION_F1", "twice the matches over all objects"),
        "panoptic_quality": (
            f"{_PARTITION}:PANOPTIC_QUALITY",
            "sum of the IoU of matches over the mean number of objects",
        ),
        "v_rand": (f"{_PARTITION}:V_RAND", "F score of pairs of voxels in one object"),
        "v_info": (f"{_PARTITION}:V_INFO", "mutual information over mean entropy"),
    },
)

CALIBRATION: Registry[Metric[Reliability]] = Registry(
    "metric of calibration",
    {
        "ece": (f"{_CALIBRATION}:ECE", "mean gap of confidence and frequency over voxels"),
        "ace": (f"{_CALIBRATION}:ACE", "mean gap of confidence and frequency over bins"),
        "mce": (f"{_CALIBRATION}:MCE", "largest gap of confidence and frequency of a bin"),
        "brier": (f"{_CALIBRATION}:BRIER", "mean squared error of the probabilities"),
        "nll": (f"{_CALIBRATION}:NLL", "mean negative log probability of the truth"),
    },
)

_TOLERANCE = re.compile(r"(?P<family>.+)_(?P<mm>\d+(\.\d+)?(e[+-]?\d+)?)mm")
_PERCENTILE = re.compile(r"hd(?P<percent>\d+(\.\d+)?)(?P<max>_max)?")


@lru_cache(maxsize=256)
def find_metric(name: str, tolerance_mm: float = 1.0) -> Metric[Pair]:
    """Metric called `name`, where `nsd_2mm` is `nsd` at 2 mm and `hd99` is `hd95` at 99 %.

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
    if parts := _PERCENTILE.fullmatch(name):
        at = hd_max_at if parts["max"] else hd_at
        return at(float(parts["percent"]))
    family, said = _split(name)
    found = METRICS.pick(family)
    if found.at is not None:
        return found.at(tolerance_mm if said is None else said)
    if said is not None:
        raise ValueError(f"{family} has no tolerance, so no metric is called {name!r}")
    return found


def describe_metric(name: str) -> str:
    """One line that says what the metric called `name` is, whatever its tolerance."""
    if parts := _PERCENTILE.fullmatch(name):
        usual = METRICS.summary("hd95_max" if parts["max"] else "hd95")
        said = "95th percentile" if float(parts["percent"]) == 95 else f"{parts['percent']} % point"
        return usual.replace("95th percentile", said)
    return METRICS.summary(_split(name)[0])


def _split(name: str) -> tuple[str, float | None]:
    """Name in `METRICS`, and the tolerance in mm behind it."""
    parts = _TOLERANCE.fullmatch(name)
    return (parts["family"], float(parts["mm"])) if parts else (name, None)
