"""Cubic interpolation of volumes, with the thick slices of a stack left unmixed.

Splines on a grid are separable and linear: along each axis they are one matrix, whose rows
SciPy's own interpolation of unit vectors gives.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

_THICK = 3


def thick_axis(now: Sequence[float], then: Sequence[float]) -> int | None:
    """Axis along which voxels are much thicker than along others; None where there is none.

    Parameters
    ----------
    now, then : sequence of float, mm
        Spacing before and after resampling; the first that has voxels more than 3 times as thick
        as wide decides.

    References
    ----------
    F. Isensee et al., "nnU-Net: a self-configuring method for deep learning-based biomedical
    image segmentation", Nature Methods, 2021. doi:10.1038/s41592-020-01008-z
    """
    for spacing in (now, then):
        if max(spacing) / min(spacing) > _THICK:
            thickest = [axis for axis, mm in enumerate(spacing) if mm == max(spacing)]
            return thickest[0] if len(thickest) == 1 else None
    return None


def resized_cubic(array: Tensor, shape: tuple[int, ...], thick: int | None = None) -> Tensor:
    """(C, ...) tensor at another size, the corners of its box staying put.

    Intensities stay within the range of the channel or, where there is a thick axis, of the
    slice; along this axis, slices are those nearest.
    """
    kept = () if thick is None else (thick + 1,)
    mixed = [axis for axis in range(1, array.ndim) if axis not in kept]
    low, high = array.amin(mixed, keepdim=True), array.amax(mixed, keepdim=True)
    result = array
    for axis in mixed:
        size = shape[axis - 1]
        if size != array.shape[axis]:
            matrix = _matrix(array.shape[axis], size).to(array)
            result = torch.tensordot(result, matrix, dims=([axis], [1])).movedim(-1, axis)
    result = result.clamp(low, high)
    for axis in kept:
        near = nearest(array.shape[axis], shape[axis - 1]).to(array.device)
        result = result.index_select(axis, near)
    return result.contiguous()


def nearest(now: int, then: int) -> Tensor:
    """Voxel that is nearest to each of `then` voxels in the place of `now`."""
    at = (torch.arange(then, dtype=torch.float64) + 0.5) * now / then
    return at.floor().long().clamp_max(now - 1)


@lru_cache(maxsize=32)
def _matrix(now: int, then: int) -> Tensor:
    """(then, now) weights of cubic interpolation, that continues the border value."""
    from scipy import ndimage

    weights = ndimage.zoom(np.eye(now), (then / now, 1), order=3, mode="nearest", grid_mode=True)
    return torch.from_numpy(weights)
