"""Smooth by a Gaussian whose width is a length in mm."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

# The kernel ends after so many standard deviations, as SciPy's does.
_REACH = 4.0


def gaussian(values: Tensor, sigma_mm: float, spacing: tuple[float, ...]) -> Tensor:
    """Weighted mean of the surroundings of each voxel, equally wide in mm along all axes.

    Beyond the border lies what lies on it.

    Parameters
    ----------
    values : (..., *spatial) float tensor
        Its last axes are those of `spacing`.
    sigma_mm : float
        Standard deviation, 0 or more.
    spacing : tuple of float, mm

    Raises
    ------
    ValueError
        If `sigma_mm` is negative or no number.
    """
    import torch

    if not 0 <= sigma_mm < math.inf:
        raise ValueError(f"a Gaussian has a width of 0 mm or more, got {sigma_mm}")
    first = values.ndim - len(spacing)
    for axis, step in enumerate(spacing, start=first):
        sigma, size = sigma_mm / step, values.shape[axis]
        reach = int(_REACH * sigma + 0.5)
        if not reach or not size:
            continue
        weights = [math.exp(-((k / sigma) ** 2) / 2) for k in range(reach + 1)]
        total = weights[0] + 2 * sum(weights[1:])
        places = torch.arange(-reach, size + reach, device=values.device).clamp_(0, size - 1)
        around = values.index_select(axis, places)
        values = around.narrow(axis, reach, size) * (weights[0] / total)
        for k in range(1, reach + 1):
            for begin in (reach - k, reach + k):
                values.add_(around.narrow(axis, begin, size), alpha=weights[k] / total)
    return values
