"""A correction: what new seeds change of the last result, and what they leave as it was."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol

from medseg.classical.box import Box
from medseg.classical.demands import marked
from medseg.classical.region_growing import reachable
from medseg.distance import distance_to
from medseg.volume import BACKGROUND

if TYPE_CHECKING:
    from torch import Tensor

# Who corrects points at the middle of what is wrong: so that reaches as far beyond the place as
# the place is away from where the label was already. Half-way between the place and what is three
# times as deep is twice as deep.
_SURE = 3.0
_NEAR = 16.0  # mm about seeds: where to look first for how deep they lie


class Solver(Protocol):
    """What a method knows of an image on a device."""

    def labels(self, seeds: Tensor) -> Tensor:
        """Labels (...) int32 of seeds (...) int32 inside the mask, 0 for background."""
        ...

    def part(self, box: Box, inside: Tensor) -> Solver:
        """Solver of what lies in a box and a mask of its size; intensities count as before."""
        ...


def corrected(
    solver: Solver,
    seeds: tuple[Tensor, Tensor],
    last: Tensor,
    spacing: tuple[float, ...],
    mask: Tensor | None,
) -> Tensor:
    """Labels after new seeds, which start from the last ones; one label after the other.

    New seeds of a label take voxels from others, and give none away. Of the others, what lies
    more than three times as deep as the new seeds, in mm from where the label was, is sure. In
    the box around the rest the method decides between the seeds of the label and those of the
    others, to which what is sure belongs. Of what the label wins, it gets what is joined to the
    new seeds. Where the label was not at all before, nothing is sure but seeds.

    Parameters
    ----------
    solver : Solver
        Of the whole grid.
    seeds : (old, all) of (...) int32 tensors
        0 unknown, -1 background; where there was one, it is still the same.
    last : (...) int32 tensor
        0 for background.
    spacing : tuple of float, mm
    mask : (...) bool tensor or None
    """
    import torch

    old, known = seeds
    inside = torch.ones_like(last, dtype=torch.bool) if mask is None else mask
    changed = known != old
    for seed in marked(known * changed):
        new = (known == seed) & changed
        last = _taken(solver, seed, (new, known), last, (inside, spacing))
    return last


def _taken(
    solver: Solver,
    seed: int,
    seeds: tuple[Tensor, Tensor],
    last: Tensor,
    place: tuple[Tensor, tuple[float, ...]],
) -> Tensor:
    """Last labels, and what the new seeds of one label take of them."""
    import torch

    (new, known), (inside, spacing) = seeds, place
    label = max(seed, BACKGROUND)
    had, others = (last == label) & inside, (last != label) & inside
    wrong = new & others
    if not bool(wrong.any()):
        return last
    reach = _SURE * _depth(wrong, had, spacing)
    box = Box.around(others, tuple(last.shape)).grown((1,) * last.ndim)
    if math.isfinite(reach):
        # A step that leads out of doubt goes no deeper than one voxel more along each axis.
        steps = tuple(math.ceil(reach / step) + 1 for step in spacing)
        box = box.overlap(Box.around(had, tuple(last.shape)).grown(steps))
    known, others, wrong, within = map(box.cut, (known, others, wrong, inside))
    ours, theirs = known == seed, (known != BACKGROUND) & (known != seed)
    if math.isfinite(reach):
        theirs |= others & (distance_to(box.cut(had), spacing) > reach) & ~ours
    contest = (ours & within).int() - (theirs & within).int()
    won = (solver.part(box, within).labels(contest) > BACKGROUND) & others
    if math.isfinite(reach):
        won = reachable(wrong, won)
    return torch.where(box.put_back(won), label, last)


def _depth(places: Tensor, targets: Tensor, spacing: tuple[float, ...]) -> float:
    """Distance in mm of the place that is farthest from all targets; infinite without any."""
    around, margin = Box.around(places, tuple(places.shape)), _NEAR
    while True:
        box = around.grown(tuple(math.ceil(margin / step) for step in spacing))
        found = float(distance_to(box.cut(targets), spacing)[box.cut(places)].max())
        if found <= margin or box.size == box.shape:
            return found
        margin *= 2
