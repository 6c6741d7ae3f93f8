"""Average what a network says of a tile and of its mirror images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain, combinations

import torch
from torch import Tensor


def mirrored(
    network: Callable[[Tensor], Tensor], axes: Sequence[int], most: int = 1
) -> Callable[[Tensor], Tensor]:
    """Return the mean of a network over all choices of axes along which its tiles are mirrored.

    Parameters
    ----------
    network : function of (B, C, ...) -> (B, classes, ...)
    axes : sequence of int
        Of those behind the first two; n of them take 2^n passes.
    most : int
        Tiles that the network sees at once: as many mirror images of a batch as are no more.
    """
    dims = [axis + 2 for axis in axes]
    choices = list(chain.from_iterable(combinations(dims, n) for n in range(len(dims) + 1)))

    def mean(tiles: Tensor) -> Tensor:
        total: Tensor | None = None
        at_once = max(most // len(tiles), 1)
        for k in range(0, len(choices), at_once):
            some = choices[k : k + at_once]
            logits = network(torch.cat([tiles.flip(flips) for flips in some]))
            for flips, of_flip in zip(some, logits.split(len(tiles)), strict=True):
                back = of_flip.flip(flips).float()  # the mean is finer than what it is of
                total = back if total is None else total.add_(back)
            del logits, of_flip, back  # a class may take as much memory as the volume
        assert total is not None
        return total.div_(len(choices))

    return mean if dims else network
