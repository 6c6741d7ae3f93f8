"""Metrics of the lines that run through the middle of tubes."""

from __future__ import annotations

from math import nan

import numpy as np
from numpy.typing import NDArray

from medseg.metrics.metric import Metric
from medseg.metrics.pair import Pair


def cldice(pair: Pair) -> float:
    """Centre-line Dice, in [0, 1]: how far each centre line stays inside the other structure.

    The harmonic mean of the two shares of centre line inside; 0 if one structure is empty, nan
    if both are. A centre line counts voxels, whatever the spacing.

    References
    ----------
    S. Shit et al., clDice - a novel topology-preserving loss function for tubular structure
    segmentation, CVPR, 2021, doi:10.1109/CVPR46437.2021.01629
    """
    if pair.status != "ok":
        return nan if pair.status == "both_empty" else 0.0
    predicted, reference = pair.masks.predicted, pair.masks.reference
    precision = float(reference[_centreline(predicted)].mean())
    sensitivity = float(predicted[_centreline(reference)].mean())
    both = precision + sensitivity
    return 2 * precision * sensitivity / both if both else 0.0


def _centreline(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    from skimage.morphology import skeletonize

    if mask.ndim == 1:
        return mask
    thin: NDArray[np.bool_] = skeletonize(mask)
    # Of a cube of two voxels thinning leaves nothing; it is its own centre line.
    return thin if thin.any() else mask


CLDICE = Metric("cldice", cldice, "1", higher_is_better=True, symmetric=True)
