"""How fast intensities change, at a scale."""

from __future__ import annotations

from typing import TYPE_CHECKING

from medseg.smoothing import gaussian

if TYPE_CHECKING:
    from torch import Tensor


def gradient_magnitude(
    image: Tensor, scale_mm: float, spacing: tuple[float, ...], mask: Tensor | None = None
) -> Tensor:
    """Length of the gradient of the image smoothed by a Gaussian, in intensity per mm.

    Of several channels, it is the Euclidean norm of their lengths. Differences are central;
    at the border, and beside voxels outside the mask, they are one-sided. What lies outside
    the mask has no influence: smoothing is the weighted mean of what is inside.

    Parameters
    ----------
    image : (C, ...) float tensor
    scale_mm : float
        Standard deviation of the Gaussian, 0 or more.
    spacing : tuple of float, mm
    mask : (...) bool tensor, optional

    Returns
    -------
    (...) float tensor
        0 outside the mask.
    """
    smooth = smoothed(image, scale_mm, spacing, mask)
    squared = image.new_zeros(image.shape[1:])
    for axis, step in enumerate(spacing):
        if squared.shape[axis] > 1:
            squared += (_slopes(smooth, axis, mask) / step).square_().sum(dim=0)
    return squared.sqrt_()


def smoothed(
    image: Tensor, scale_mm: float, spacing: tuple[float, ...], mask: Tensor | None = None
) -> Tensor:
    """Image smoothed by a Gaussian, as the weighted mean of what is inside the mask."""
    if mask is None:
        return gaussian(image, scale_mm, spacing)
    inside = mask.to(image.dtype)
    weight = gaussian(inside, scale_mm, spacing)
    # Where no weight comes to, nothing is inside either.
    return gaussian(image.where(mask, 0), scale_mm, spacing) / weight.where(weight > 0, 1)


def _slopes(values: Tensor, axis: int, mask: Tensor | None) -> Tensor:
    """Mean of the differences to the voxel before and the voxel after, (C, ...)."""
    import torch

    size = values.shape[axis + 1]
    steps = values.diff(dim=axis + 1)
    if mask is None:
        first, last = (steps.narrow(axis + 1, at, 1) for at in (0, size - 2))
        steps = torch.cat([first, steps, last], dim=axis + 1)
        return (steps.narrow(axis + 1, 0, size) + steps.narrow(axis + 1, 1, size)) / 2
    inside = mask.narrow(axis, 1, size - 1) & mask.narrow(axis, 0, size - 1)
    total, sides = torch.zeros_like(values), torch.zeros_like(values[0])
    for begin in (0, 1):
        total.narrow(axis + 1, begin, size - 1).add_(steps * inside)
        sides.narrow(axis, begin, size - 1).add_(inside)
    return total / sides.clamp_(min=1)
