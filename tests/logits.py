"""Logits, targets and weights that several tests of losses score."""

import torch
from torch import Tensor

CLASSES = 3


def some_target(ndim: int = 2, samples: int = 2) -> Tensor:
    return torch.randint(0, CLASSES, (samples, *(6,) * ndim), generator=torch.manual_seed(0))


def some_logits(ndim: int = 2, samples: int = 2) -> Tensor:
    shape = (samples, CLASSES, *(6,) * ndim)
    return torch.randn(shape, generator=torch.manual_seed(1), dtype=torch.float64)


def certain(target: Tensor) -> Tensor:
    """Logits that leave no doubt."""
    one_hot = torch.nn.functional.one_hot(target.long(), CLASSES)
    return 50.0 * one_hot.movedim(-1, 1)


def some_weights() -> Tensor:
    return torch.randint(0, 3, (2, 6, 6), generator=torch.manual_seed(2)).double()


def logits_of(*probabilities: list[float]) -> Tensor:
    """(1, classes, voxels, 1) logits of probabilities, voxel by voxel."""
    return torch.tensor(probabilities, dtype=torch.float64).log().T[None, ..., None]
