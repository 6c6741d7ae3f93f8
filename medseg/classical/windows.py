"""Means and standard deviations in a window about each voxel."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from medseg.device import computing_threads

if TYPE_CHECKING:
    from torch import Tensor

# Planes that a thread does in one go; the same for any number of threads, as sums depend on it.
_BLOCK = 16
# Share of the mean square below which a variance is taken for the rounding of the intensities.
NO_VARIANCE = 1e-12


@dataclass(frozen=True)
class Rule:
    """A local threshold made of the mean m and the standard deviation s of a window.

    It is low + mean * (m - low) + deviation * s + product * (m - low) * s.
    """

    low: float
    mean: float
    deviation: float
    product: float


def reach_of(window: float, spacing: tuple[float, ...], method: str) -> tuple[int, ...]:
    """How many voxels a window of so many mm goes each way along each axis.

    Raises
    ------
    ValueError
        If it goes to no neighbour.
    """
    # A spacing of 0.3333 mm goes three times into a millimetre, whatever the rounding says.
    reach = tuple(math.floor(window / 2 / step + 1e-3) for step in spacing)
    if not any(reach):
        raise ValueError(
            f"{method} takes a window of 3 voxels or more, and {window:g} mm are fewer at a "
            f"spacing of {' x '.join(f'{step:g}' for step in spacing)} mm"
        )
    return reach


def brighter_than(
    values: Tensor, mask: Tensor | None, reach: tuple[int, ...], rule: Rule
) -> Tensor:
    """1 where a voxel is brighter than the local threshold, 0 elsewhere: (...) int32.

    Parameters
    ----------
    values : (...) float32 tensor
    mask : (...) bool tensor, optional
        A window holds what of it is inside; the border of the volume cuts it too.
    reach : tuple of int
    rule : Rule
    """
    if values.is_cuda:
        return brighter_in_torch(values, mask, reach, rule)
    import torch

    from medseg.classical import _window_kernels

    lead = (1,) * (3 - values.ndim)
    shape = (*lead, *values.shape)
    out = np.zeros(shape, np.int32)
    inside = np.ones(shape, np.bool_) if mask is None else mask.numpy().reshape(shape)
    arrays = values.numpy().reshape(shape), inside, out
    numbers = (rule.low, rule.mean, rule.deviation, rule.product, NO_VARIANCE)
    box = (*(0 for _ in lead), *reach)

    def do(start: int) -> None:
        block = start, min(start + _BLOCK, shape[0])
        _window_kernels.brighter(block, *arrays, box, numbers)

    with ThreadPoolExecutor(computing_threads()) as pool:
        list(pool.map(do, range(0, shape[0], _BLOCK)))
    return torch.from_numpy(out.reshape(values.shape))


def brighter_in_torch(
    values: Tensor, mask: Tensor | None, reach: tuple[int, ...], rule: Rule
) -> Tensor:
    """Do what `brighter_than` does in torch alone, on any device."""
    import torch

    inside = torch.ones_like(values, dtype=torch.bool) if mask is None else mask
    exact = torch.where(inside, values, 0).double()
    number, total, squares = (
        box_sum(each, reach) for each in (inside.double(), exact, exact.square())
    )
    number.clamp_(min=1)
    mean, square = total / number, squares / number
    variance = square - mean.square()
    deviation = torch.where(variance > NO_VARIANCE * square, variance, 0).sqrt_()
    mean -= rule.low
    threshold = mean * rule.mean + deviation * rule.deviation + rule.product * mean * deviation
    return ((exact - rule.low > threshold) & inside).to(torch.int32)


def box_sum(values: Tensor, reach: tuple[int, ...]) -> Tensor:
    """Sum of the box that reaches so many voxels each way; beyond the border there is nothing."""
    import torch

    for axis, n in enumerate(reach):
        size = values.shape[axis]
        first = torch.zeros_like(values.narrow(axis, 0, 1))
        running = torch.cat([first, values.cumsum(axis)], axis)
        places = torch.arange(size, device=values.device)
        ends = (places + n + 1).clamp_(max=size), (places - n).clamp_(min=0)
        above, below = (running.index_select(axis, end) for end in ends)
        values = above - below
    return values
