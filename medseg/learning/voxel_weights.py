"""How much each voxel weighs in the loss; `medseg.learning.VOXEL_WEIGHTS` lists the ways.

They are functions of (classes, spacing), of a volume, or of a slice where the network sees slices.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects

from medseg.components import components
from medseg.distance import distance_to

_MOST, _DEVIATION = 10.0, 5.0
# As far as that, the term is below the precision of a weight of 1 in float32.
_REACH = _DEVIATION * math.sqrt(2 * math.log(_MOST * 2**24))


def balance_and_gaps(
    classes: NDArray[np.integer], spacing: tuple[float, ...]
) -> NDArray[np.float32]:
    """Weigh all classes alike, and gaps between two objects more; for the U-Net of 2015.

    The weight is that of `balance`, and in the background that of `gaps` is added: objects are
    what hangs together of one class by faces of voxels.

    References
    ----------
    O. Ronneberger, P. Fischer, T. Brox, "U-Net: convolutional networks for biomedical image
    segmentation", MICCAI 2015, doi:10.1007/978-3-319-24574-4_28
    """
    return balance(classes) + gaps(components(classes)[0], spacing)


def balance(classes: NDArray[np.integer]) -> NDArray[np.float32]:
    """Weights with which each class that occurs weighs the same in all; their mean is 1."""
    counts = np.bincount(classes.ravel())
    present = np.count_nonzero(counts)
    each = classes.size / (present * np.maximum(counts, 1))
    weights: NDArray[np.float32] = each.astype(np.float32)[classes]
    return weights


def gaps(objects: NDArray[np.integer], spacing: tuple[float, ...]) -> NDArray[np.float32]:
    """10 exp(-(d1 + d2)^2 / (2 * 5^2)) in the background, 0 in the objects.

    d1 and d2 are the distances to the nearest object and to the second nearest, in voxels of the
    finest spacing: in pixels, as published, where spacing is the same along all axes.

    Parameters
    ----------
    objects : (...) integer array
        A number for each object; 0 is background.
    spacing : tuple of float, mm
    """
    zooms = np.divide(spacing, min(spacing))
    nearest, second = (np.full(objects.shape, np.inf) for _ in range(2))
    margin = np.ceil(_REACH / zooms).astype(int)
    for number, box in enumerate(find_objects(objects), start=1):
        if box is None:
            continue
        # Only so far around it as the term is not 0, as there may be many objects.
        near = tuple(
            slice(max(side.start - more, 0), side.stop + more)
            for side, more in zip(box, margin.tolist(), strict=True)
        )
        distance = distance_to(objects[near] == number, tuple(zooms.tolist()))
        second[near] = np.minimum(second[near], np.maximum(nearest[near], distance))
        nearest[near] = np.minimum(nearest[near], distance)
    term = _MOST * np.exp(-((nearest + second) ** 2) / (2 * _DEVIATION**2))
    return np.where(objects == 0, term, 0).astype(np.float32)
