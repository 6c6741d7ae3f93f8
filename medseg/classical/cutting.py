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


class Cut:
    """A grid that is cut in two, again and again with other preferences, exactly.

    Capacities are rounded to 1 / 2^20 of the largest between voxels. Of several cheapest cuts
    the first side is as small as can be. What flowed for the last preferences is kept, so that
    few changes take little time.

    Parameters
    ----------
    ties : (3, i, j, k) float tensor on the CPU
        What it costs to part each voxel from the next along an axis, 0 or more; 0 at its end.
    """

    def __init__(self, ties: Tensor) -> None:
        self._shape = tuple(ties.shape[1:])
        self._unit = float(ties.max()) / _LARGEST or 1.0
        padded = tuple(size + 2 for size in self._shape)
        self._inside = (slice(1, -1),) * 3
        strides = (padded[1] * padded[2], padded[2], 1)
        self._offsets = np.array([way * s for s in strides for way in (1, -1)], np.int64)
        self._rest = np.zeros((6, *padded), np.int32)
        for axis, tie in enumerate(ties):
            whole = np.rint(tie.numpy() / self._unit).astype(np.int32)
            self._rest[(2 * axis, *self._inside)] = whole
            self._rest[2 * axis + 1] = np.roll(self._rest[2 * axis], 1, axis)
        self._most = self._rest.sum(axis=0, dtype=np.int32) + 1  # to part a voxel from all
        self._given = np.zeros(padded, np.int32)
        self._terminal = np.zeros(padded, np.int32)

    def first_side(self, preferences: Tensor) -> Tensor:
        """Voxels (i, j, k) of the first side.

        Parameters
        ----------
        preferences : (i, j, k) float tensor on the CPU
            What it costs more to have a voxel on the second side; may be infinite.
        """
        import torch

        from medseg.classical import _flow_kernels as kernels

        given = np.zeros_like(self._given)
        most = torch.from_numpy(self._most)[self._inside].double()
        wanted = preferences.double() / self._unit
        wanted = torch.minimum(torch.maximum(wanted, -most), most).round_()
        torch.from_numpy(given)[self._inside] = wanted.int()
        self._terminal += given - self._given
        self._given = given
        flat = self._rest.reshape(6, -1), self._terminal.ravel()
        side = kernels.flow(*flat, self._offsets).reshape(given.shape)
        return torch.from_numpy(side[self._inside].copy())


def first_side_in_torch(ties: Tensor, preferences: Tensor, tolerance: float = 1e-4) -> Tensor:
    """Do what `Cut` does in torch alone, on any device, nearly.

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
