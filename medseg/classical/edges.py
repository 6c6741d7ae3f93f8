"""Maps that are 1 where an image is even and fall towards 0 at its edges."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from medseg.relief import gradient_magnitude
from medseg.relief.gradient import smoothed

if TYPE_CHECKING:
    from torch import Tensor


def edge_map(
    image: Tensor,
    scale: float,
    contrast: float,
    spacing: tuple[float, ...],
    mask: Tensor | None = None,
) -> Tensor:
    """1 / (1 + (s / c)²) of the steepness s, after Perona and Malik.

    Parameters
    ----------
    image : (C, ...) float tensor
    scale : float
        Standard deviation of the Gaussian under the gradient, mm.
    contrast : float
        Steepness at which the map is 1/2, in root mean squares of that of the image inside the
        mask.
    spacing : tuple of float, mm
    mask : (...) bool tensor, optional

    Returns
    -------
    (...) float32 tensor
        In (0, 1]; 1 everywhere if the image is constant.

    References
    ----------
    P. Perona, J. Malik, "Scale-space and edge detection using anisotropic diffusion", IEEE
    Trans. Pattern Anal. Mach. Intell. 12(7):629-639, 1990. doi:10.1109/34.56205
    """
    steepness = gradient_magnitude(image, scale, spacing, mask)
    values = steepness if mask is None else steepness[mask]
    # On the CPU, so that the sum has the same order on all devices.
    mean_square = float(values.cpu().double().square().mean())
    if not mean_square:
        return steepness.fill_(1)
    return 1 / (1 + steepness.square_() / (contrast**2 * mean_square))


def stopping_map(
    image: Tensor,
    scale: float,
    contrast: float,
    spacing: tuple[float, ...],
    mask: Tensor | None = None,
) -> Tensor:
    """exp(-s) of the sum over axes of (steepness / c)²: nothing gets through strong edges.

    Each axis has its own c, as the same edge is less steep where voxels are thick.

    Parameters
    ----------
    image, scale, spacing, mask
        As for `edge_map`.
    contrast : float
        c, as part of the steepness along its axis that 1 % of the image inside the mask exceeds.

    Returns
    -------
    (...) float32 tensor
        In [0, 1]; 1 everywhere if so much of the image is constant.
    """
    import torch

    along = [slopes(channel, mask) for channel in smoothed(image, scale, spacing, mask)]
    squared = torch.stack(along).square_().sum(dim=0)
    total = torch.zeros_like(squared[0])
    for steepness in squared:
        if strong := contrast**2 * percentile(steepness, 99, mask):
            total += steepness / strong
    return total.neg_().exp_()


def gates_at(
    image: Tensor,
    scale: float,
    contrast: float,
    spacing: tuple[float, ...],
    mask: Tensor | None = None,
) -> Tensor:
    """1 - h / c between neighbours, but not below 0, of the height h of an edge there.

    The height is that of a sharp edge across the axis, half-way between both voxels, that would
    show the same difference once smoothed: whatever the spacing, an edge has the same on all
    axes.

    Parameters
    ----------
    image, scale, spacing, mask
        As for `edge_map`.
    contrast : float
        c, as part of the height that 1 % of all neighbours inside the mask exceed.

    Returns
    -------
    (axes, ...) float32 tensor
        Between each voxel and the one after it along each axis. 1 if either lies outside the
        mask, and everywhere if so much of the image is constant.

    References
    ----------
    R. Malladi, J. A. Sethian, B. C. Vemuri, "Shape modeling with front propagation: a level
    set approach", IEEE Trans. Pattern Anal. Mach. Intell. 17(2):158-175, 1995.
    doi:10.1109/34.368173
    """
    import torch

    smooth = smoothed(image, scale, spacing, mask)
    heights = torch.zeros((len(spacing), *image.shape[1:]), device=image.device)
    within = torch.zeros_like(heights, dtype=torch.bool)
    for axis, step in enumerate(spacing):
        size = image.shape[axis + 1]
        shown = math.erf(step / (8**0.5 * scale)) if scale else 1.0
        steps = smooth.diff(dim=axis + 1).square_().sum(dim=0).sqrt_() / shown
        both = torch.ones_like(steps, dtype=torch.bool)
        if mask is not None:
            both = mask.narrow(axis, 0, size - 1) & mask.narrow(axis, 1, size - 1)
        heights[axis].narrow(axis, 0, size - 1).copy_(steps.where(both, 0))
        within[axis].narrow(axis, 0, size - 1).copy_(both)
    strong = contrast * percentile(heights, 99, within) if within.any() else 0.0
    return (1 - heights / strong).clamp_(min=0) if strong else torch.ones_like(heights)


def percentile(values: Tensor, percent: float, mask: Tensor | None = None) -> float:
    """What `percent` % of the values inside a mask do not exceed; one of them."""
    inside = values.flatten() if mask is None else values[mask]
    return float(inside.kthvalue(max(1, math.ceil(len(inside) * percent / 100))).values)


def slopes(values: Tensor, mask: Tensor | None = None) -> Tensor:
    """Change of `values` by voxel along each axis, (axes, ...).

    Central; one-sided at the ends of an axis. What lies outside the mask counts as if it were
    equal.
    """
    import torch

    if mask is None:
        return torch.stack([differences(values, axis) for axis in range(values.ndim)])
    found = torch.zeros_like(values).repeat(values.ndim, *[1] * values.ndim)
    for axis in range(values.ndim):
        size = values.shape[axis]
        steps = values.diff(dim=axis)
        steps *= mask.narrow(axis, 0, size - 1) & mask.narrow(axis, 1, size - 1)
        for begin in (0, 1):
            found[axis].narrow(axis, begin, size - 1).add_(steps, alpha=0.5)
    return found


def differences(values: Tensor, axis: int) -> Tensor:
    """Half the difference of the neighbours along an axis; one-sided, and whole, at its ends."""
    import torch

    size = values.shape[axis]
    if size == 1:
        return torch.zeros_like(values)
    steps = values.diff(dim=axis)
    inner = (values.narrow(axis, 2, size - 2) - values.narrow(axis, 0, size - 2)) / 2
    return torch.cat([steps.narrow(axis, 0, 1), inner, steps.narrow(axis, size - 2, 1)], dim=axis)


def balloon_speed(edges: Tensor, balloon: str) -> Tensor:
    """Speed outwards of a contour that grows, shrinks or does neither, slowed by edges."""
    return edges * {"grow": 1.0, "shrink": -1.0, "none": 0.0}[balloon]


def steepest(edges: Tensor, spacing: tuple[float, ...]) -> float:
    """Largest sum over axes of the slope of a map, 1/mm, over the spacing."""
    import torch

    along = slopes(edges).abs_().movedim(0, -1)
    return float((along @ torch.tensor(spacing, device=edges.device) ** -2).max())
