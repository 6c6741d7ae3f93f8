"""How many patches a batch has."""

from __future__ import annotations

from math import prod

from medseg.learning.plan import Plan

_BATCH_VOXELS = 200_000
_FEWEST, _MOST = 2, 64


def batch_size(plan: Plan) -> int:
    """Patches of a batch: as the plan says, else as many as make some 200,000 voxels, 2 to 64."""
    sides = zip(plan.axes, plan.network.margin, strict=True)
    voxels = prod(plan.patch[axis] + 2 * margin for axis, margin in sides)
    return plan.batch or min(max(_BATCH_VOXELS // voxels, _FEWEST), _MOST)
