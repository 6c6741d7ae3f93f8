"""Metrics that count voxels."""

from __future__ import annotations

from math import nan, prod

from medseg.metrics.metric import Metric
from medseg.metrics.pair import Pair

_MM3_PER_ML = 1000


def dice(pair: Pair) -> float:
    """Twice the overlap over the sum of sizes, in [0, 1]; nan if both are empty.

    References
    ----------
    L. R. Dice, Measures of the amount of ecologic association between species, Ecology,
    1945, doi:10.2307/1932409
    """
    return _ratio(2 * pair.tp, sum(pair.sizes))


def jaccard(pair: Pair) -> float:
    """Overlap over union, in [0, 1]; nan if both are empty."""
    return _ratio(pair.tp, pair.tp + pair.fp + pair.fn)


def precision(pair: Pair) -> float:
    """Share of the predicted voxels that are right, in [0, 1]; nan if none is predicted."""
    return _ratio(pair.tp, pair.sizes[0])


def recall(pair: Pair) -> float:
    """Share of the annotated voxels that are found, in [0, 1]; nan if none is annotated."""
    return _ratio(pair.tp, pair.sizes[1])


def specificity(pair: Pair) -> float:
    """Share of the voxels outside the reference left out, in [0, 1]; nan if none is outside.

    Depends on how much background the grid has, and is 1 if both are empty.
    """
    return _ratio(pair.tn, pair.tn + pair.fp)


def accuracy(pair: Pair) -> float:
    """Share of all voxels that are right, in [0, 1]; 1 if both are empty.

    Depends on how much background the grid has.
    """
    return _ratio(pair.tp + pair.tn, pair.total)


def false_positive_rate(pair: Pair) -> float:
    """Share of the voxels outside the reference taken in, 1 - `specificity`; nan if none is."""
    return _ratio(pair.fp, pair.fp + pair.tn)


def false_negative_rate(pair: Pair) -> float:
    """Share of the annotated voxels that are missed, 1 - `recall`; nan if none is annotated."""
    return _ratio(pair.fn, pair.sizes[1])


def kappa(pair: Pair) -> float:
    """Cohen's kappa: agreement beyond that of chance, in [-1, 1].

    1 is full agreement, 0 what two would reach who each draw so many voxels at random. nan if
    both are empty, or both fill the grid. Depends on how much background the grid has.

    References
    ----------
    J. Cohen, A coefficient of agreement for nominal scales, Educ. Psychol. Meas., 1960,
    doi:10.1177/001316446002000104
    """
    predicted, annotated = pair.sizes
    chance = predicted * annotated + (pair.total - predicted) * (pair.total - annotated)
    # In whole numbers, which round nothing however much background there is.
    return _ratio((pair.tp + pair.tn) * pair.total - chance, pair.total**2 - chance)


def volume_similarity(pair: Pair) -> float:
    """1 - the difference of the sizes over their sum, in [0, 1]; nan if both are empty.

    Says nothing about the place: two structures that do not touch may have 1.

    References
    ----------
    A. A. Taha, A. Hanbury, Metrics for evaluating 3D medical image segmentation, BMC Med.
    Imaging, 2015, doi:10.1186/s12880-015-0068-x
    """
    different = abs(pair.sizes[0] - pair.sizes[1])
    return _ratio(sum(pair.sizes) - different, sum(pair.sizes))


def relative_volume_difference(pair: Pair) -> float:
    """Predicted over annotated volume, minus 1, so negative if too small; nan without reference."""
    return _ratio(pair.sizes[0] - pair.sizes[1], pair.sizes[1])


def volume_predicted(pair: Pair) -> float:
    """Volume of the prediction in ml; nan on a 2D grid."""
    return _volume(pair, pair.sizes[0])


def volume_reference(pair: Pair) -> float:
    """Volume of the reference in ml; nan on a 2D grid."""
    return _volume(pair, pair.sizes[1])


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else nan


def _volume(pair: Pair, voxels: int) -> float:
    # A slice of a volume has a thickness, a picture has none.
    return voxels * prod(pair.spacing) / _MM3_PER_ML if len(pair.spacing) == 3 else nan


DICE = Metric("dice", dice, "1", higher_is_better=True, symmetric=True)
JACCARD = Metric("jaccard", jaccard, "1", higher_is_better=True, symmetric=True)
PRECISION = Metric("precision", precision, "1", higher_is_better=True, symmetric=False)
RECALL = Metric("recall", recall, "1", higher_is_better=True, symmetric=False)
SENSITIVITY = Metric("sensitivity", recall, "1", higher_is_better=True, symmetric=False)
SPECIFICITY = Metric("specificity", specificity, "1", higher_is_better=True, symmetric=False)
FALSE_POSITIVE_RATE = Metric(
    "false_positive_rate", false_positive_rate, "1", higher_is_better=False, symmetric=False
)
FALSE_NEGATIVE_RATE = Metric(
    "false_negative_rate", false_negative_rate, "1", higher_is_better=False, symmetric=False
)
ACCURACY = Metric("accuracy", accuracy, "1", higher_is_better=True, symmetric=True)
KAPPA = Metric("kappa", kappa, "1", higher_is_better=True, symmetric=True)
VOLUME_SIMILARITY = Metric(
    "volume_similarity", volume_similarity, "1", higher_is_better=True, symmetric=True
)
RELATIVE_VOLUME_DIFFERENCE = Metric(
    "relative_volume_difference",
    relative_volume_difference,
    "1",
    higher_is_better=None,
    symmetric=False,
)
VOLUME_PREDICTED = Metric(
    "volume_predicted", volume_predicted, "ml", higher_is_better=None, symmetric=False
)
VOLUME_REFERENCE = Metric(
    "volume_reference", volume_reference, "ml", higher_is_better=None, symmetric=False
)
