"""Average what a network says of a tile and of its mirror images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain, combinations

from torch import Tensor


def mirrored(
    network: Callable[[Tensor], Tensor], axes: Sequence[int]
) -> Callable[[Tensor], Tensor]:
    """Return the mean of a network over all choices of axes along which its tiles are mirrored.

    Parameters
    ----------
    network : function of (B, C, ...) -> (B, classes, ...)
    axes : sequence of int
        Of those behind the first two; n of them take 2^n passes.
    """
    dims = [axis + 2 for axis in axes]
    choices = list(chain.from_iterable(combinations(dims, n) for n in range(1, len(dims) + 1)))

    def mean(tiles: Tensor) -> Tensor:
        total = network(tiles)
        for flips in choices:
            total = total + network(tiles.flip(flips)).flip(flips)
        return total / (len(choices) + 1)

    return mean if choices else network
