"""When a front that starts at seeds arrives: the eikonal equation, on the CPU and on CUDA."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

# A share of the shortest time that it takes to cross a voxel.
_BUCKET = 0.5


def arrival_times(
    speed: Tensor, seeds: Tensor, spacing: tuple[float, ...], stop: float = math.inf
) -> Tensor:
    """Time at which a front arrives that starts at the seeds: |∇T| · speed = 1.

    The scheme is the upwind one of first order, as in SimpleITK's FastMarching, and the result
    its solution, whatever the order of computation: a front is up to some percent late away
    from the axes, less the farther it has come.

    Parameters
    ----------
    speed : (...) float32 tensor of 1 to 3 axes
        In mm in a unit of time; where it is 0, no front comes.
    seeds : (...) bool tensor
    spacing : tuple of float, mm
    stop : float
        No front goes on after this time.

    Returns
    -------
    (...) float64 tensor
        0 at the seeds, infinite where no front came.

    Raises
    ------
    ValueError
        If shapes or spacing make no sense, or a speed is negative.

    References
    ----------
    J. A. Sethian, "A fast marching level set method for monotonically advancing fronts", Proc.
    Natl. Acad. Sci. USA 93(4):1591-1595, 1996. doi:10.1073/pnas.93.4.1591
    """
    _require(speed, seeds, spacing)
    if speed.is_cuda:
        return arrival_times_in_torch(speed, seeds, spacing, stop)
    import torch

    from medseg.classical import _marching_kernels as kernels

    missing = 3 - speed.ndim
    around = [(1, 1)] * 3
    shape = (1,) * missing + tuple(speed.shape)
    rates = np.pad(speed.numpy().reshape(shape), around)
    times = np.pad(
        np.where(seeds.numpy(), 0.0, math.inf).reshape(shape),
        around,
        "constant",
        constant_values=math.inf,
    )
    steps = np.array([1.0] * missing + list(spacing))
    width = _BUCKET * min(spacing) / max(float(speed.max()), 1e-30)
    kernels.march(
        times.ravel(),
        rates.ravel(),
        np.flatnonzero(times == 0),
        _strides(times),
        steps,
        width,
        stop,
    )
    inner = np.ascontiguousarray(times[1:-1, 1:-1, 1:-1])
    return torch.from_numpy(inner).view(speed.shape)


def arrival_times_in_torch(
    speed: Tensor, seeds: Tensor, spacing: tuple[float, ...], stop: float = math.inf
) -> Tensor:
    """Do what `arrival_times` does in torch alone, on any device.

    All voxels whose neighbours came earlier than was known are computed anew at once, until
    there are none [W.-K. Jeong, R. T. Whitaker, A fast iterative method for eikonal equations,
    SIAM J. Sci. Comput., 2008, doi:10.1137/060670298].
    """
    import torch
    from torch.nn.functional import pad

    _require(speed, seeds, spacing)
    around = (1, 1) * speed.ndim
    times = pad(torch.where(seeds, 0.0, math.inf).double(), around, value=math.inf)
    strides = list(times.stride())
    shape, times = times.shape, times.flatten()
    slowness = 1.0 / pad(speed, around).flatten().double()
    changed = (times == 0).nonzero().flatten()
    while len(changed):
        to = torch.cat([changed + way * stride for stride in strides for way in (-1, 1)]).unique()
        to = to[slowness[to] < math.inf]
        found = _arrivals(to, times, slowness[to], strides, spacing)
        earlier = (found < times[to]) & (found <= stop)
        changed = to[earlier]
        times[changed] = found[earlier]
    return times.view(shape)[(slice(1, -1),) * speed.ndim].contiguous()


def labels_by_arrival(times: Tensor, seeds: Tensor) -> Tensor:
    """Label of the seed from which the front came to each voxel, (...) int32; 0 if none came.

    A front comes to a voxel from its earliest face neighbour; of equally early ones, from the
    first in storage.

    Parameters
    ----------
    times : (...) float64 tensor
        As `arrival_times` gives them.
    seeds : (...) int32 tensor
        Not 0 at the seeds.
    """
    if times.is_cuda:
        return labels_by_arrival_in_torch(times, seeds)
    import torch

    from medseg.classical import _marching_kernels as kernels

    shape = (1,) * (3 - times.ndim) + tuple(times.shape)
    padded = np.pad(times.numpy().reshape(shape), 1, constant_values=math.inf)
    labels = np.pad(seeds.numpy().reshape(shape), 1)
    kernels.origins(padded.ravel(), labels.ravel(), _strides(padded))
    return torch.from_numpy(labels[1:-1, 1:-1, 1:-1].copy()).view(seeds.shape)


def labels_by_arrival_in_torch(times: Tensor, seeds: Tensor) -> Tensor:
    """Do what `labels_by_arrival` does in torch alone, on any device."""
    import torch
    from torch.nn.functional import pad

    around = (1, 1) * times.ndim
    padded = pad(times, around, value=math.inf)
    strides, shape = padded.stride(), padded.shape
    inside = pad(torch.isfinite(times), around).flatten().nonzero().flatten()
    flat, labels = padded.flatten(), pad(seeds, around).flatten()
    earliest, source = flat[inside], inside
    for step in (*(-stride for stride in strides), *reversed(strides)):
        there = flat[inside + step]
        source = torch.where(there < earliest, inside + step, source)
        earliest = torch.minimum(earliest, there)
    to = torch.arange(len(flat), device=flat.device)
    to[inside] = torch.where(labels[inside] != 0, inside, source)
    while not torch.equal(to, further := to[to]):
        to = further
    return labels[to].view(shape)[(slice(1, -1),) * times.ndim].contiguous()


def _require(speed: Tensor, seeds: Tensor, spacing: tuple[float, ...]) -> None:
    if not 1 <= speed.ndim <= 3 or speed.shape != seeds.shape:
        raise ValueError(
            "fast marching takes speed and seeds of one shape and 1 to 3 axes, got "
            f"{tuple(speed.shape)} and {tuple(seeds.shape)}"
        )
    if len(spacing) != speed.ndim or not all(0 < step < math.inf for step in spacing):
        raise ValueError(
            f"fast marching needs {speed.ndim} spacings above 0 mm, got {tuple(spacing)}"
        )
    if float(speed.min()) < 0:
        raise ValueError(f"speeds are 0 or more, got {float(speed.min()):g}")


def _strides(array: NDArray) -> NDArray[np.int64]:
    """Voxels from one to the next along each axis."""
    return np.array(array.strides, np.int64) // array.itemsize


def _arrivals(
    places: Tensor,
    times: Tensor,
    slowness: Tensor,
    strides: list[int],
    spacing: tuple[float, ...],
) -> Tensor:
    """When a front comes to each place through the earlier neighbour along each axis."""
    import torch

    found = [torch.minimum(times[places - step], times[places + step]) for step in strides]
    early, order = torch.stack(found).sort(dim=0, stable=True)
    steps = torch.tensor(spacing, dtype=torch.float64, device=times.device)[order]
    first = early[0]
    away = steps[0] * slowness
    weights = 1 / (steps[0] * steps[0])
    sums, squares = torch.zeros_like(away), -slowness * slowness
    goes_on = torch.isfinite(first)
    for late, step in zip(early[1:] - first, steps[1:], strict=True):
        goes_on = goes_on & (late < away)
        weight = 1 / (step * step)
        weights = torch.where(goes_on, weights + weight, weights)
        sums = torch.where(goes_on, sums + weight * late, sums)
        squares = torch.where(goes_on, squares + weight * late * late, squares)
        root = (sums * sums - weights * squares).clamp(min=0).sqrt()
        away = torch.where(goes_on, (sums + root) / weights, away)
    return first + away
