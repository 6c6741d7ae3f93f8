"""Labels of an earlier network, made as wrong as it will be on images that it has never seen.

Borders move and small parts get lost, so that the next network looks at the image too. How often
and how far is as in nnU-Net's cascade, but that no border moves farther than a sixteenth of the
patch.

References
----------
F. Isensee et al., "nnU-Net: a self-configuring method for deep learning-based biomedical image
segmentation", Nature Methods, 2021, doi:10.1038/s41592-020-01008-z
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from medseg.components import components, sizes
from medseg.distance import distance_to

_MOVED, _LOST, _EACH = 0.4, 0.2, 0.5  # chances of a sample, and then of each of its labels
_FARTHEST, _PART = 8.0, 1 / 16  # voxels, and of the shortest side of the patch
_SMALL = 0.15  # of the patch; what is larger does not get lost


def damaged(masks: Tensor, rngs: Sequence[np.random.Generator]) -> Tensor:
    """(B, labels, ...) bool masks with moved borders and lost parts; no two of them overlap.

    Parameters
    ----------
    masks : (B, labels, ...) bool tensor
        Of which no two overlap, either.
    rngs : sequence of numpy.random.Generator
        One a sample.
    """
    return torch.stack([_damaged(one, rng) for one, rng in zip(masks, rngs, strict=True)])


def _damaged(masks: Tensor, rng: np.random.Generator) -> Tensor:
    farthest = min(max(min(masks.shape[1:]) * _PART, 1.0), _FARTHEST)
    moves, loses = rng.random() < _MOVED, rng.random() < _LOST
    masks = masks.clone()
    for number in range(len(masks)):
        if moves and rng.random() < _EACH:
            move = _MOVES[int(rng.integers(len(_MOVES)))]
            mask = move(masks[number], rng.uniform(1, farthest))
            masks &= ~mask  # what it has grown over is no longer another's
            masks[number] = mask
        if loses and rng.random() < _EACH:
            masks[number] &= ~_a_small_part(masks[number], rng)
    return masks


def grown(mask: Tensor, radius: float) -> Tensor:
    """(...) mask of all voxels within so many voxels of it."""
    return distance_to(mask, (1.0,) * mask.ndim) <= radius


def shrunk(mask: Tensor, radius: float) -> Tensor:
    """(...) mask of the voxels that are farther from all outside of it."""
    return distance_to(~mask, (1.0,) * mask.ndim) > radius


_MOVES: tuple[Callable[[Tensor, float], Tensor], ...] = (
    grown,
    shrunk,
    lambda mask, radius: grown(shrunk(mask, radius), radius),
    lambda mask, radius: shrunk(grown(mask, radius), radius),
)


def _a_small_part(mask: Tensor, rng: np.random.Generator) -> Tensor:
    """One of the components that are small, or none."""
    numbered, count = components(mask)
    small = (sizes(numbered, count)[1:] <= _SMALL * mask.numel()).nonzero()[:, 0] + 1
    if not len(small):
        return torch.zeros_like(mask)
    return numbered == small[int(rng.integers(len(small)))]
