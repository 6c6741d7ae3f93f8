"""Images that a network is most excited by."""

from __future__ import annotations

import torch
from torch import Tensor

from medseg.explaining.score import Score


def maximised(
    excitement: Score,
    start: Tensor,
    bounds: tuple[Tensor, Tensor],
    *,
    steps: int = 64,
    rate: float = 0.1,
    seed: int = 0,
) -> Tensor:
    """Images like `start` that excite more: each climbs its own gradient.

    What is not needed for it is smoothed away and fades, so that patterns are left and no noise;
    the image is shifted about by a voxel or two, so that none hangs on the grid of a network.

    Parameters
    ----------
    excitement : function of (B, C, ...) -> (B,)
    start : (B, C, ...) float tensor
    bounds : two (C,) float tensors
        Lowest and highest intensity of each channel.
    steps : int
    rate : float
        Of a step, as a share of what lies between the bounds.
    seed : int
        Of the shifts.

    Returns
    -------
    (B, C, ...) float tensor

    References
    ----------
    D. Erhan et al., "Visualizing higher-layer features of a deep network", University of
    Montreal, 2009; J. Yosinski et al., "Understanding neural networks through deep
    visualization", 2015, arXiv:1506.06579
    """
    drawn = torch.Generator().manual_seed(seed)
    axes = tuple(range(2, start.ndim))
    low, high = (bound.reshape(-1, *[1] * len(axes)) for bound in bounds)
    rest = start.mean(axes, keepdim=True)
    images = start.clone()
    for _ in range(steps):
        shift = torch.randint(-2, 3, (len(axes),), generator=drawn).tolist()
        shifted = images.roll(shift, axes).requires_grad_()
        (slopes,) = torch.autograd.grad(excitement(shifted).sum(), shifted)
        slopes = slopes.roll([-k for k in shift], axes)
        size = slopes.square().mean((1, *axes), keepdim=True).sqrt()
        # A feature that is silent everywhere has no slope to follow.
        images = images + rate * (high - low) * slopes / size.clamp_min(1e-20)
        images = rest + 0.98 * (_smoothed(images, axes) - rest)
        images = images.clamp(low, high)
    return images


def _smoothed(images: Tensor, axes: tuple[int, ...]) -> Tensor:
    """A little of the neighbours along each axis; the border continues."""
    for axis in axes:
        size = images.shape[axis]
        at = torch.arange(size, device=images.device)
        around = images.index_select(axis, (at - 1).clamp_min(0))
        around = around + images.index_select(axis, (at + 1).clamp_max(size - 1))
        images = 0.8 * images + 0.1 * around
    return images
