"""Contours that move by whole voxels, one label after the other, until they come to rest."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING

from medseg.classical.bit_planes import Region
from medseg.classical.deforming import STRIDE, Look, moved

if TYPE_CHECKING:
    from torch import Tensor

Step = Callable[[Region, list[Region]], None]


def settled(
    regions: Mapping[int, Region],
    step: Step,
    spacing: tuple[float, ...],
    iterations: int,
    tolerance: float,
) -> Iterator[Look]:
    """States until no contour moves by more than `tolerance` mm in `STRIDE` steps.

    Parameters
    ----------
    regions : mapping of int to Region
        By label; none enters another one.
    step : function of (region, other regions)
        Moves one region once.
    spacing : tuple of float, mm
    iterations : int
        How many steps at most.
    tolerance : float
        In mm, on average over the area of a contour.
    """
    allowed = {label: region.allowed for label, region in regions.items()}
    earlier = {label: region.kept() for label, region in regions.items()}
    yield lambda: _labels(regions)
    for number in range(1, iterations + 1):
        for label, region in regions.items():
            others = [other for other in regions.values() if other is not region]
            if others:
                region.allowed = allowed[label] & ~reduce(or_, (other.bits for other in others))
            step(region, others)
        yield lambda: _labels(regions)
        if number % STRIDE == 0:
            ways = [
                moved(region.changed(earlier[label]), region.faces(), spacing)
                for label, region in regions.items()
            ]
            if max(ways) <= tolerance:
                return
            earlier = {label: region.kept() for label, region in regions.items()}


def _labels(regions: Mapping[int, Region]) -> Tensor:
    import torch

    found = None
    for label, region in regions.items():
        inside = region.inside()
        if found is None:
            found = torch.zeros_like(inside, dtype=torch.int32)
        found[inside] = label
    assert found is not None, "seeds have a label at least"
    return found
