"""Batch normalisation with the statistics of the last batches, as DeepMedic has it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

# The original has nearly 0, and gives NaN for a channel that is constant. With 1e-5 a whole
# network is further from it than 1e-5 in probability.
_TINY = 1e-6


class RollingBatchNorm(nn.Module):
    """Batch normalisation that remembers the statistics of so many batches.

    In evaluation mode it takes the plain mean of what it remembers: of means and of variances,
    which are those of the batch itself, divided by its number of voxels. What was not seen yet
    counts as mean 0 and variance 1.

    Parameters
    ----------
    channels : int
    batches : int
        How many are remembered.
    """

    means: Tensor
    variances: Tensor
    position: Tensor

    def __init__(self, channels: int, batches: int = 60) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("means", torch.zeros(batches, channels))
        self.register_buffer("variances", torch.ones(batches, channels))
        self.register_buffer("position", torch.zeros(1, dtype=torch.int64))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise each channel of (B, C, ...)."""
        if not self.training:
            mean, variance = self.means.mean(0), self.variances.mean(0)
            return functional.batch_norm(x, mean, variance, self.weight, self.bias, eps=_TINY)
        mean, variance = torch.zeros_like(self.means[0]), torch.ones_like(self.means[0])
        # With a momentum of 1, what comes back is the statistics of this batch alone.
        y = functional.batch_norm(
            x, mean, variance, self.weight, self.bias, training=True, momentum=1.0, eps=_TINY
        )
        count = x.numel() // x.shape[1]
        self.means.index_copy_(0, self.position, mean[None])
        # PyTorch's is divided by one less.
        self.variances.index_copy_(0, self.position, variance[None] * ((count - 1) / count))
        self.position.add_(1).remainder_(len(self.means))
        return y
