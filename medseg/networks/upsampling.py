"""The ways back to a finer grid, as functions with names: `UPSAMPLINGS`.

Each maps (B, C, n) to a grid `stride` times as fine, in 2D and 3D. Two need more than that:
max-unpooling what its pooling stored, transposed convolution its kernel.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

_UNPOOL: dict[int, Any] = {2: functional.max_unpool2d, 3: functional.max_unpool3d}
_TRANSPOSED: dict[int, Any] = {2: functional.conv_transpose2d, 3: functional.conv_transpose3d}


def nearest(x: Tensor, stride: int = 2) -> Tensor:
    """Each voxel repeated over its block."""
    return functional.interpolate(x, scale_factor=stride, mode="nearest")


def bed_of_nails(x: Tensor, stride: int = 2) -> Tensor:
    """Each voxel in the first corner of its block, and 0 in the rest of it."""
    finer = x.new_zeros(*x.shape[:2], *(n * stride for n in x.shape[2:]))
    heads: tuple[Any, ...] = (..., *[slice(None, None, stride)] * (x.ndim - 2))
    finer[heads] = x
    return finer


def max_unpooling(
    x: Tensor, stride: int = 2, *, positions: Tensor, size: tuple[int, ...]
) -> Tensor:
    """Each voxel where the maximum of its block was, and 0 in the rest of it.

    Parameters
    ----------
    x : (B, C, ...) tensor
    stride : int
    positions : (B, C, ...) int tensor
        The indices that max-pooling with a kernel and stride of `stride` gave.
    size : tuple of int
        Of what was pooled: an odd one can't be told from `x`.

    References
    ----------
    M. D. Zeiler, G. W. Taylor, R. Fergus, "Adaptive deconvolutional networks for mid and high
    level feature learning", ICCV 2011. doi:10.1109/ICCV.2011.6126474
    """
    finer: Tensor = _UNPOOL[x.ndim - 2](x, positions, stride, output_size=size)
    return finer


def transposed_convolution(x: Tensor, stride: int = 2, *, kernel: Tensor) -> Tensor:
    """Each voxel times the kernel, added up where they overlap; strided convolution's adjoint.

    Parameters
    ----------
    x : (B, C, ...) tensor
    stride : int
    kernel : (C, features, k, ...) tensor
        As wide as the stride, or wider by an even number, which is cut off at the border.
    """
    padding = [(k - stride) // 2 for k in kernel.shape[2:]]
    finer: Tensor = _TRANSPOSED[x.ndim - 2](x, kernel, stride=stride, padding=padding)
    return finer


def bilinear(x: Tensor, stride: int = 2) -> Tensor:
    """Linear interpolation along each axis; beyond the border everything is 0.

    The transposed convolution of each channel with `tent`, as in FCN. But for the border it is
    torch's own interpolation.
    """
    # Odd strides have a middle voxel, even ones don't: so the kernel is centred.
    kernel = tent(x.ndim - 2, 2 * stride - stride % 2).to(x)
    each = x.flatten(0, 1)[:, None]  # (B C, 1, ...)
    return transposed_convolution(each, stride, kernel=kernel[None, None]).reshape(
        *x.shape[:2], *(n * stride for n in x.shape[2:])
    )


def tent(ndim: int, size: int) -> Tensor:
    """Kernel of `size` along each axis that falls linearly from its middle, where it is 1.

    Where `size` is even, the middle lies between two voxels.

    References
    ----------
    J. Long, E. Shelhamer, T. Darrell, "Fully convolutional networks for semantic segmentation",
    CVPR 2015. doi:10.1109/CVPR.2015.7298965
    """
    half = (size + 1) // 2
    middle = half - 1 if size % 2 else half - 0.5
    along = 1 - (torch.arange(size) - middle).abs() / half
    kernel = along
    for _ in range(ndim - 1):
        kernel = kernel[..., None] * along
    return kernel


def interpolating(channels: int, stride: int) -> nn.ConvTranspose2d:
    """Transposed convolution in 2D that begins as bilinear interpolation, mixing no channels."""
    convolution = nn.ConvTranspose2d(channels, channels, 2 * stride, stride=stride, bias=False)
    kernel = tent(2, 2 * stride)
    with torch.no_grad():
        convolution.weight.zero_()
        for channel in range(channels):
            convolution.weight[channel, channel] = kernel
    return convolution


UPSAMPLINGS: dict[str, Callable[..., Tensor]] = {
    "nearest": nearest,
    "bed-of-nails": bed_of_nails,
    "max-unpooling": max_unpooling,
    "transposed-convolution": transposed_convolution,
    "bilinear": bilinear,
}
