"""What voxels weigh in a loss."""

from __future__ import annotations

import torch
from torch import Tensor


def class_indices(target: Tensor, weights: Tensor | None) -> Tensor:
    """(B, ...) int64 class indices; 0 in place of what stands at ignored voxels."""
    index = target.long()
    return index if weights is None else index.where(weights > 0, 0)


def mean(values: Tensor, weights: Tensor | None) -> Tensor:
    """Weighted mean of (B, ...) values; 0 if all voxels are ignored."""
    if weights is None:
        return values.mean()
    weights = weights.to(values.dtype)
    return (weights * values).sum() / weights.sum().clamp_min(torch.finfo(values.dtype).tiny)


def total(values: Tensor, weights: Tensor | None, dim: tuple[int, ...] | None = None) -> Tensor:
    """Weighted sum of (B, ...) or (B, classes, ...) values over `dim`, by default all."""
    if weights is None:
        return values.sum(dim)
    return (values * (weights if values.ndim == weights.ndim else weights[:, None])).sum(dim)
