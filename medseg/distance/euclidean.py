"""Distance in mm to the nearest voxel of a set, exact."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from medseg.device import computing_threads

if TYPE_CHECKING:
    from torch import Tensor

# How often the torch path looks whether it is done, which makes the GPU wait.
_LOOK_EVERY = 8


@overload
def distance_to(targets: Tensor, spacing: tuple[float, ...]) -> Tensor: ...
@overload
def distance_to(targets: NDArray[np.bool_], spacing: tuple[float, ...]) -> NDArray[np.float64]: ...
def distance_to(
    targets: Tensor | NDArray[np.bool_], spacing: tuple[float, ...]
) -> Tensor | NDArray[np.float64]:
    """Euclidean distance in mm from each voxel to the nearest target, centre to centre.

    SciPy's `distance_transform_edt` of a mask is `distance_to(~mask, spacing)`.

    Parameters
    ----------
    targets : (...) bool array or tensor
        Of any number of axes.
    spacing : tuple of float, mm

    Returns
    -------
    (...) float64 array or tensor, as `targets` came
        0 on the targets; infinite everywhere if there are none.

    Raises
    ------
    ValueError
        If there are not as many spacings as axes, or one is not positive.

    References
    ----------
    T. Hirata, "A unified linear-time algorithm for computing distance maps", Inf. Process.
    Lett. 58(3):129-133, 1996. doi:10.1016/0020-0190(96)00049-X
    """
    _require(targets.ndim, spacing)
    if isinstance(targets, np.ndarray):
        return _by_kernels(targets, spacing)
    if targets.is_cuda:
        return distance_in_torch(targets, spacing)
    import torch

    return torch.from_numpy(_by_kernels(targets.numpy(), spacing))


def distance_in_torch(targets: Tensor, spacing: tuple[float, ...]) -> Tensor:
    """Do what `distance_to` does in torch alone, on any device.

    Along one axis after the other, each voxel compares what it has with what lies ever more
    steps away, until steps alone are longer than any distance so far.
    """
    import torch

    _require(targets.ndim, spacing)
    squared = torch.where(targets, 0.0, math.inf).double()
    if not squared.numel():
        return squared
    for axis, step in enumerate(spacing):
        before = squared.clone()
        size = squared.shape[axis]
        for k in range(1, size):
            longer = (k * step) ** 2
            if k % _LOOK_EVERY == 0 and longer >= float(squared.max()):
                break
            for first, second in ((0, k), (k, 0)):
                near = squared.narrow(axis, first, size - k)
                far = before.narrow(axis, second, size - k)
                torch.minimum(near, far + longer, out=near)
    return squared.sqrt_()


def _require(ndim: int, spacing: tuple[float, ...]) -> None:
    if len(spacing) != ndim or not all(0 < step < math.inf for step in spacing):
        raise ValueError(f"distances need {ndim} spacings above 0 mm, got {tuple(spacing)}")


def _by_kernels(targets: NDArray[np.bool_], spacing: tuple[float, ...]) -> NDArray[np.float64]:
    squared = np.empty(targets.shape)
    if not squared.size:
        return squared
    # Importing numba takes a while.
    from medseg.distance import _kernels as kernels

    n = targets.shape[-1]
    rows = np.ascontiguousarray(targets).view(np.uint8).reshape(-1, n)
    out = squared.reshape(-1, n)
    _in_threads(kernels.squared_along_rows, len(rows), rows, spacing[-1], out)
    for axis in reversed(range(targets.ndim - 1)):
        columns = squared.reshape(math.prod(targets.shape[:axis]), targets.shape[axis], -1)
        if targets.shape[axis] > 1:
            groups = len(columns) * -(-columns.shape[2] // kernels.COLUMNS)
            _in_threads(kernels.squared_along_columns, groups, columns, spacing[axis])
    return np.sqrt(squared, out=squared)


def _in_threads(kernel: Callable[..., None], parts: int, array: NDArray, *arguments: Any) -> None:
    """Call a kernel on stretches of so many parts, all at once if there is enough to do."""
    threads = min(computing_threads(), parts)
    if array.size < 50_000 or threads == 1:
        kernel(0, parts, array, *arguments)
        return
    edges = [parts * part // threads for part in range(threads + 1)]
    with ThreadPoolExecutor(threads, "medseg-distance") as pool:
        list(pool.map(lambda ends: kernel(*ends, array, *arguments), pairwise(edges)))
