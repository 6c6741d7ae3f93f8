"""One number for what a network says of a region: what all questions about it are asked of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Score = Callable[[Tensor], Tensor]
"""A function of (B, C, ...) volumes that gives (B,) numbers."""


@dataclass(frozen=True, eq=False)
class RegionScore:
    """Mean probability of a class over a region.

    Parameters
    ----------
    logits : function of (B, C, ...) -> (B, outputs, *tile)
    region : (*tile) bool tensor
    output : int
        Which of the outputs is the class.
    overlapping : bool
        Whether each output stands for a region of its own, which others may overlap; else they
        are classes, of which each voxel has one.
    """

    logits: Callable[[Tensor], Tensor]
    region: Tensor
    output: int
    overlapping: bool = False

    def __post_init__(self) -> None:
        if not self.region.any():
            raise ValueError("a region has at least one voxel, got none; choose another label")

    def __call__(self, volumes: Tensor) -> Tensor:
        """(B,) mean probabilities, in [0, 1]."""
        logits = self._inside(volumes)
        soft = logits.sigmoid() if self.overlapping else logits.softmax(1)
        return soft[:, self.output].mean(1)

    def logit(self, volumes: Tensor) -> Tensor:
        """(B,) means of the logit of the class."""
        return self._inside(volumes)[:, self.output].mean(1)

    def found(self, volumes: Tensor) -> Tensor:
        """(B, *tile) where the class is found: bool."""
        logits = self.logits(volumes)
        if self.overlapping:
            return logits[:, self.output] > 0
        return logits.argmax(1) == self.output

    def _inside(self, volumes: Tensor) -> Tensor:
        """(B, outputs, voxels) logits in the region."""
        return self.logits(volumes)[:, :, self.region]


def in_groups(volumes: Tensor, most: int) -> tuple[Tensor, ...]:
    """Split (B, ...) into groups of so many at most."""
    return torch.split(volumes, max(most, 1))
