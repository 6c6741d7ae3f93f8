"""The cheapest cut between two sides of a grid, on the CPU and on CUDA."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

# Capacities become whole numbers: the largest between voxels this one.
_LARGEST = 2**20
_LOOK_EVERY = 50
_MOST_STEPS = 50_000


def first_side(ties: Tensor, preferences: Tensor) -> Tensor:
    """Voxels (i, j, k) of the first side of the cheapest cut, exactly, on the CPU.

    Capacities are rounded to 1 / 2^20 of the largest between voxels. Of several cheapest cuts
    the first side is as small as can be.

    Parameters
    ----------
    ties : (3, i, j, k) float32 tensor
        What it costs to part each voxel from the next along an axis, 0 or more; 0 at its end.
    preferences : (i, j, k) float32 tensor
        What it costs more to have a voxel on the second side; may be infinite.
    """
    import torch

    from medseg.classical import _flow_kernels as kernels

    padded = tuple(size + 2 for size in preferences.shape)
    rest, terminal = np.zeros((6, *padded), np.int32), np.zeros(padded, np.int32)
    unit = float(ties.max()) / _LARGEST or 1.0
    arrays = (each.contiguous().numpy() for each in (ties, preferences))
    kernels.load(*arrays, unit, rest, terminal)
    strides = (padded[1] * padded[2], padded[2], 1)
    offsets = np.array([way * step for step in strides for way in (1, -1)], np.int64)
    side = kernels.flow(rest.reshape(6, -1), terminal.ravel(), offsets).reshape(padded)
    return torch.from_numpy(side[1:-1, 1:-1, 1:-1].copy())


def first_side_in_torch(ties: Tensor, preferences: Tensor, tolerance: float = 1e-4) -> Tensor:
    """Do what `first_side` does in torch alone, on any device, nearly.

    The cut is relaxed to a convex problem, in which a voxel may be on both sides in part; a
    primal-dual method with steps for each voxel solves it. Its threshold is a cheapest cut, and
    the flow says how far from it the cost is at most: `tolerance`, as a share of the cost.

    Parameters
    ----------
    ties : (3, i, j, k) float tensor
    preferences : (i, j, k) float tensor
    tolerance : float

    Raises
    ------
    ValueError
        If it takes too long.

    References
    ----------
    J. Yuan, E. Bae, X.-C. Tai, "A study on continuous max-flow and min-cut approaches",
    CVPR 2010. doi:10.1109/CVPR.2010.5539903

    T. Pock, A. Chambolle, "Diagonal preconditioning for first order primal-dual algorithms in
    convex optimization", ICCV 2011. doi:10.1109/ICCV.2011.6126441
    """
    import torch

    unit = float(ties.max()) or 1.0
    limits = ties.double() / unit
    most = _inflow(limits).abs() + 2 * limits.sum(0) + 1
    wanted = (preferences.double() / unit).clamp(-most, most)
    flows = torch.zeros_like(limits)
    share = (wanted > 0).double()
    ahead = share.clone()
    for step in range(_MOST_STEPS):
        for axis in range(3):
            size = limits.shape[axis + 1] - 1
            flows[axis].narrow(axis, 0, size).add_(ahead.diff(dim=axis), alpha=0.5)
        flows = torch.minimum(torch.maximum(flows, -limits), limits)
        before = share
        share = (share + (wanted + _inflow(flows)) / 6).clamp_(0, 1)
        ahead = 2 * share - before
        if step % _LOOK_EVERY == _LOOK_EVERY - 1:
            cost, bound = _cost(limits, wanted, share > 0.5), _bound(wanted, flows)
            if cost - bound <= tolerance * max(cost, 1e-12):
                return share > 0.5
    raise ValueError(f"no cut within {tolerance} of the cheapest was found in {_MOST_STEPS} steps")


def _inflow(flows: Tensor) -> Tensor:
    """What comes into each voxel more than goes out; a flow goes against its axis."""
    total = flows.sum(0)
    for axis in range(3):
        size = flows.shape[axis + 1] - 1
        total.narrow(axis, 1, size).sub_(flows[axis].narrow(axis, 0, size))
    return total


def _cost(ties: Tensor, preferences: Tensor, side: Tensor) -> float:
    """Cost of a cut, all of it 0 or more: what is parted, and preferences that are not met."""
    cost = preferences.abs()[(preferences > 0) != side].sum()
    for axis in range(3):
        size = ties.shape[axis + 1] - 1
        parted = side.narrow(axis, 0, size) != side.narrow(axis, 1, size)
        cost += ties[axis].narrow(axis, 0, size)[parted].sum()
    return float(cost)


def _bound(preferences: Tensor, flows: Tensor) -> float:
    """What every cut costs at least, by a flow."""
    left = preferences + _inflow(flows)
    return float(preferences.clamp(min=0).sum() - left.clamp(min=0).sum())
