"""How good a segmentation is by the probabilities of the model that made it."""

from __future__ import annotations

import numpy as np

from medseg.segmenter import labels_of_channels
from medseg.volume import Image, Labels


def expected_dice(probabilities: Image, labels: Labels) -> dict[int, float]:
    """Soft Dice of each label with its own probabilities: 2 sum(p y) / (sum(p) + sum(y)).

    About the Dice that is to be expected if the probabilities come true as often as they say: no
    more than a guess that ranks cases, if they do not.

    Parameters
    ----------
    probabilities : Image
        A channel for each label, background first, named as `labels` are.
    labels : Labels

    Returns
    -------
    dict of int to float
        In [0, 1] for each label but the background: 0 where it has no voxel, nan where its
        probability is 0 everywhere too.

    References
    ----------
    A. Mehrtash, W. M. Wells, C. M. Tempany, P. Abolmaesumi, T. Kapur, "Confidence calibration
    and predictive uncertainty estimation for deep medical image segmentation", IEEE Trans. Med.
    Imaging 39(12):3868-3878, 2020, doi:10.1109/TMI.2020.3006437
    """
    found = {}
    channels = labels_of_channels(probabilities, labels.names)
    for label, said in zip(channels[1:], probabilities.array[1:], strict=True):
        inside = labels.array == label
        both = float(said.sum(dtype=np.float64)) + int(inside.sum())
        found[label] = 2 * float(said[inside].sum(dtype=np.float64)) / both if both else np.nan
    return found
