"""Grey reconstruction, and the valleys that are deep enough to count."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from medseg.components import components

if TYPE_CHECKING:
    from torch import Tensor


def reconstruction(values: Tensor, ceiling: Tensor) -> Tensor:
    """Raise `values` to what they reach below a ceiling: grey reconstruction by dilation.

    The value of a voxel becomes the largest v for which a path of face neighbours leads to it
    from a voxel whose value is v or more, and on which the ceiling is nowhere below v. Where
    `values` are above the ceiling, the ceiling counts.

    Parameters
    ----------
    values, ceiling : (...) float32 tensors on one device
        Without NaN; a ceiling of -inf lets nothing through.

    Raises
    ------
    ValueError
        If their shapes differ.

    References
    ----------
    L. Vincent, "Morphological grayscale reconstruction in image analysis: applications and
    efficient algorithms", IEEE Trans. Image Process. 2(2):176-201, 1993.
    doi:10.1109/83.217222
    """
    _require(values, ceiling)
    if values.is_cuda:
        return reconstruction_in_torch(values, ceiling)
    import torch

    from medseg.relief import _kernels as kernels

    top = np.pad(ceiling.numpy(), 1, constant_values=-np.inf)
    reached = np.minimum(np.pad(values.numpy(), 1, constant_values=-np.inf), top)
    offsets = -np.array(reached.strides) // reached.itemsize
    kernels.reconstructed(reached.ravel(), top.ravel(), offsets)
    inner = (slice(1, -1),) * values.ndim
    return torch.from_numpy(np.ascontiguousarray(reached[inner]))


def reconstruction_in_torch(values: Tensor, ceiling: Tensor) -> Tensor:
    """Do what `reconstruction` does in torch alone, on any device.

    Whole lines are done at a time, so it takes as many rounds as paths have turns at most.
    """
    _require(values, ceiling)
    reached = values.minimum(ceiling)
    while True:
        before = reached.clone()
        for axis in range(reached.ndim):
            _carry_along(reached, ceiling, axis)
        if reached.equal(before):
            return reached


def valleys(relief: Tensor, depth: float, mask: Tensor | None = None) -> tuple[Tensor, int]:
    """Number the valleys out of which every way to a lower place rises by `depth` or more.

    Each one is filled up to `depth` above its bottom: the regional minima of the h-minima
    transform. The deepest valley counts always.

    Parameters
    ----------
    relief : (...) float32 tensor
    depth : float
        In units of the relief, above 0.
    mask : (...) bool tensor, optional
        Ways stay inside.

    Returns
    -------
    (...) int32 tensor, int
        Numbers from 1 in the order of storage, 0 elsewhere; and how many there are.

    Raises
    ------
    ValueError
        If `depth` is not above 0, or too small beside the heights for a float32.

    References
    ----------
    P. Soille, "Morphological Image Analysis", 2nd edition, Springer 2003, section 6.3.4.
    doi:10.1007/978-3-662-05088-0
    """
    import torch

    if not 0 < depth < math.inf:
        raise ValueError(f"the depth of a valley is above 0, got {depth}")
    inside = torch.ones_like(relief, dtype=torch.bool) if mask is None else mask
    floor = relief.where(inside, math.inf)
    raised = floor + depth
    if bool(((raised == floor) & inside).any()):
        raise ValueError(
            f"a depth of {depth:g} is lost beside heights of up to {float(relief.abs().max()):g}; "
            "take a larger one, or subtract what all heights have in common"
        )
    surface = -reconstruction(-raised, -floor)
    lakes, count = components((surface > floor) & inside)
    deep = torch.zeros(count + 1, dtype=torch.bool, device=relief.device)
    deep[lakes[(surface == raised) & inside]] = True
    numbers = torch.where(deep, deep.cumsum(0), 0).int()
    return numbers[lakes], int(deep.sum())


def _require(values: Tensor, ceiling: Tensor) -> None:
    if values.shape != ceiling.shape:
        raise ValueError(
            f"values and their ceiling have one shape, got {tuple(values.shape)} and "
            f"{tuple(ceiling.shape)}"
        )


def _carry_along(reached: Tensor, ceiling: Tensor, axis: int) -> None:
    """Carry values along the lines of `axis`, both ways.

    After the step of 2^k, values from up to 2^(k+1) - 1 voxels behind have come, and `lowest`
    is the lowest ceiling of the last 2^(k+1) voxels of a line.
    """
    import torch

    size = reached.shape[axis]
    for forwards in (True, False):
        lowest = ceiling.clone()
        step = 1
        while step < size:
            first, last = (0, step) if forwards else (step, 0)
            behind = lowest.narrow(axis, first, size - step).clone()
            ahead = lowest.narrow(axis, last, size - step)
            arrived = torch.minimum(ahead, reached.narrow(axis, first, size - step))
            target = reached.narrow(axis, last, size - step)
            torch.maximum(target, arrived, out=target)
            torch.minimum(ahead, behind, out=ahead)
            step *= 2
