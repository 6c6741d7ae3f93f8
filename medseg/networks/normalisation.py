"""Instance normalisation followed by a leaky rectifier, in one.

On the CPU this pair takes as long as the convolutions between which it stands: torch copies
from channels-last to contiguous and back and passes over the activations eight times. The
numba kernels below pass over them twice forward and twice backward, and copy nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

EPSILON = 1e-5
SLOPE = 0.01
_FUSED = torch.float32, torch.bfloat16
# That a network has diverged is seen in its loss; NumPy would say so for every layer.
_silently = np.errstate(over="ignore", invalid="ignore")


class InstanceNormReLU(nn.Module):
    """Give each channel of each sample mean 0 and variance 1, scale, shift, rectify.

    Parameters
    ----------
    channels : int
    slope : float
        Of the rectifier below 0; with 1 there is none.

    References
    ----------
    D. Ulyanov et al., "Instance normalization: the missing ingredient for fast stylization",
    2016, arXiv:1607.08022
    """

    def __init__(self, channels: int, slope: float = SLOPE) -> None:
        super().__init__()
        self.slope = slope
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, channels, ...) to the same shape."""
        # What is compiled or exported must be torch's own, and has no numbers to look at yet.
        ours = x.device.type == "cpu" and x.dtype in _FUSED and not torch.compiler.is_compiling()
        if ours and x[0, 0].numel() > 1:
            fused: Tensor = _Fused.apply(  # type: ignore[no-untyped-call]
                x, self.weight, self.bias, self.slope
            )
            return fused
        normed = functional.instance_norm(x, weight=self.weight, bias=self.bias, eps=EPSILON)
        return functional.leaky_relu(normed, self.slope, inplace=True)


class _Fused(torch.autograd.Function):
    @staticmethod
    @_silently
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, slope: float) -> Tensor:
        x = _channels_last(x)
        values = _rows(x)
        count = values.shape[1]
        kernels = _kernels()
        sums = _split(kernels.sums, values)
        mean = sums[0] / count
        rstd = 1 / np.sqrt(np.maximum(sums[1] / count - mean**2, 0) + EPSILON)
        scale = rstd * weight.detach().numpy()
        line = (_f32(scale), _f32(bias.detach().numpy() - mean * scale), np.float32(slope))
        y = torch.empty_like(x)
        _split(kernels.rectified_line, values, *line, out=_rows(y))
        ctx.save_for_backward(x, weight)
        ctx.facts = mean, rstd, line
        return y

    @staticmethod
    @_silently
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x, weight = ctx.saved_tensors
        mean, rstd, line = ctx.facts
        values, slopes = _rows(x), _rows(_channels_last(gradients[0]))
        count = values.shape[1]
        kernels = _kernels()
        total, moment = _split(kernels.gradient_sums, values, *line, _f32(mean), slopes)
        moment *= rstd
        # d loss / d x is linear in x and in the gradient, with coefficients per channel.
        scale = rstd * weight.detach().numpy()
        of_x = -scale * moment * rstd / count
        constant = -scale * total / count - of_x * mean
        dx = torch.empty_like(x)
        _split(kernels.gradient, values, *line, _f32(of_x), _f32(constant), slopes, out=_rows(dx))
        of_weight, of_bias = (torch.from_numpy(_f32(sums.sum(0))) for sums in (moment, total))
        return dx, of_weight, of_bias, None


def _channels_last(x: Tensor) -> Tensor:
    layout = torch.channels_last if x.ndim == 4 else torch.channels_last_3d
    return x.contiguous(memory_format=layout)


def _rows(x: Tensor) -> NDArray:
    """View of a channels-last tensor as (B, voxels, C); of bfloat16 as uint16."""
    rows = x.detach().movedim(1, -1).view(len(x), -1, x.shape[1])
    return (rows.view(torch.uint16) if x.dtype == torch.bfloat16 else rows).numpy()


def _f32(array: NDArray) -> NDArray[np.float32]:
    return array.astype(np.float32)


def _split(
    kernel: Callable[..., NDArray[np.float64] | None],
    values: NDArray,
    *arguments: NDArray | np.float32,
    out: NDArray | None = None,
) -> Any:
    """Run a kernel on stretches of voxels in as many threads as torch has, and add the sums."""
    count, threads = values.shape[1], torch.get_num_threads()
    whole = (values, *arguments) if out is None else (values, *arguments, out)
    if values.size < 50_000 or threads == 1:
        return kernel(0, count, *whole)
    edges = [count * part // threads for part in range(threads + 1)]
    found = list(_pool(threads).map(lambda ends: kernel(*ends, *whole), pairwise(edges)))
    return None if out is not None else sum(found)


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, "medseg-normalisation")


@cache
def _kernels() -> Any:
    # Compiled when first needed (and kept on disk), as importing numba takes a while.
    from medseg.networks import _normalisation_kernels

    return _normalisation_kernels
