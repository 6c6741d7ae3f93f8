"""Regions that overlap: from how probable each is to masks, and to one label map."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from medseg.learning.plan import Plan
from medseg.volume import Image, Labels


def require_regions(plan: Plan) -> None:
    """Raise ValueError if a plan is of labels that exclude each other."""
    if not plan.regions:
        raise ValueError(
            "the model knows labels that do not overlap, and has no masks of regions; train "
            "one on regions with --region NAME=1,2,3"
        )


def masks_in(probabilities: Image, plan: Plan) -> dict[str, Labels]:
    """Where each region is more probable than not, by name: 1 there, 0 elsewhere."""
    require_regions(plan)
    each = zip(plan.regions, probabilities.array > 0.5, strict=True)
    return {name: Labels(one, probabilities.grid, {1: name}) for name, one in each}


def written(masks: Mapping[str, Labels], plan: Plan) -> Labels:
    """Labels of the masks of regions, later ones on top."""
    require_regions(plan)
    grid = masks[next(iter(plan.regions))].grid
    values = np.zeros(grid.shape, np.int32)
    for name, label in zip(plan.regions, plan.written, strict=True):
        values[masks[name].array != 0] = label
    return Labels(values, grid, plan.names)
