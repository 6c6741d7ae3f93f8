"""Seeds out of an annotation, for methods that are told where the structures are."""

from __future__ import annotations

import numpy as np

from medseg.distance import deepest, distance_to
from medseg.segmenter import canonical, in_place_of
from medseg.volume import BACKGROUND, Image, Labels, reorient, require_match

# How seeds came about that nobody marked; said wherever such seeds are used.
REFERENCE = "reference"
_UNKNOWN, _OUTSIDE = 0, -1


def seeds_of(reference: Labels, mask: Labels | None = None) -> Labels:
    """Seeds as somebody who knows the annotation would click them, on its grid.

    Each label is marked at one voxel, the one that lies deepest inside it (of equally deep
    ones, the first in canonical orientation). Background, marked -1, are all voxels at least
    half as far from every label as the farthest one is. With a mask, only what is inside counts.
    Whatever is found with such seeds has been helped by the annotation: say so with its scores.

    Parameters
    ----------
    reference : Labels
    mask : Labels, optional
        Where seeds may lie, on the same grid: not 0.

    Raises
    ------
    ValueError
        If there is no label inside the mask, or the mask lies on another grid.
    """
    if mask is not None:
        require_match(reference.grid, mask.grid, "the mask", "the reference")
    spacing = reorient(reference).grid.spacing
    labels = canonical(reference)
    inside = np.ones(labels.shape, bool) if mask is None else canonical(mask) != 0
    present = np.unique(labels[inside & (labels != BACKGROUND)]).tolist()
    if not present:
        raise ValueError("no seeds can be made of a reference that has no label inside the mask")
    seeds = np.full(labels.shape, _UNKNOWN, np.int64)
    away = distance_to(labels != BACKGROUND, spacing)
    away[~inside] = 0
    seeds[(away > 0) & (away >= away.max() / 2)] = _OUTSIDE
    for label in present:
        seeds[deepest((labels == label) & inside, spacing)[0]] = label
    image = Image(np.zeros((1, *reference.grid.shape), np.float32), reference.grid)
    return in_place_of(seeds, image, reference.names)
