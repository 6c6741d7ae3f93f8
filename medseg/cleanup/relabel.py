"""Say which class of a method is which label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from medseg.volume import BACKGROUND, Labels, smallest_integers

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Relabel:
    """Give labels other numbers, and turn those that are not named into background.

    For methods that number what they find by brightness or size: of Otsu's three classes, the
    brightest is bone with `relabel.pairs=[[2,1]]`. `medseg tune` finds the pairs.

    Parameters
    ----------
    pairs : tuple of (int, int)
        What each label becomes, (from, to); several may become one. Without any, all labels
        stay as they are.
    device : str
        auto, cpu, cuda or cuda:N.
    """

    pairs: tuple[tuple[int, int], ...] = ()
    device: str = "auto"

    def __post_init__(self) -> None:
        pairs = tuple(tuple(pair) for pair in self.pairs)
        if not all(len(pair) == 2 for pair in pairs):
            raise ValueError(f"relabel takes pairs of a label and its new one, got {pairs}")
        named = [before for before, _ in pairs]
        if len(set(named)) < len(named) or not all(n > BACKGROUND for pair in pairs for n in pair):
            raise ValueError(
                f"relabel takes each label once, and labels above 0 alone, got {pairs}"
            )
        object.__setattr__(self, "pairs", pairs)

    def __call__(self, labels: Labels) -> Labels:
        """Labels by their new numbers."""
        if not self.pairs:
            return labels
        found = np.zeros(labels.array.shape, np.int64)
        for before, after in self.pairs:
            found[labels.array == before] = after
        # The names were those of the old numbers.
        return Labels(smallest_integers(found), labels.grid)

    def run(self, labels: Tensor, spacing: tuple[float, ...]) -> Tensor:
        """Renumbered (...) tensor."""
        import torch

        if not self.pairs:
            return labels
        found = torch.zeros_like(labels)
        for before, after in self.pairs:
            found[labels == before] = after
        return found
