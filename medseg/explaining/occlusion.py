"""How much a score falls where a block of the image is hidden."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import torch
from torch import Tensor

from medseg.explaining.score import Score, in_groups


def occlusion(
    score: Score,
    volume: Tensor,
    baseline: Tensor,
    block: Sequence[int],
    *,
    channels: Sequence[int] | None = None,
    batch: int = 1,
) -> Tensor:
    """By how much the score falls when the block around each voxel is hidden.

    The blocks lie side by side and cover the volume, those at its end cut off.

    Parameters
    ----------
    score : function of (B, C, ...) -> (B,)
    volume : (C, ...) float tensor
    baseline : (C,) float tensor
        Put in place of what is hidden.
    block : sequence of int
        Sides, in voxels.
    channels : sequence of int, optional
        Those that are hidden; by default all.
    batch : int
        How many go through the network together.

    Returns
    -------
    (...) float tensor
        Below 0 where the score rises.

    References
    ----------
    M. D. Zeiler, R. Fergus, "Visualizing and understanding convolutional networks", ECCV 2014,
    doi:10.1007/978-3-319-10590-1_53
    """
    hidden = list(range(len(volume)) if channels is None else channels)
    starts = [range(0, size, side) for size, side in zip(volume.shape[1:], block, strict=True)]
    corners = torch.tensor(list(product(*starts)))
    fall = volume.new_zeros(volume.shape[1:])
    at_start = baseline[hidden].reshape(-1, *[1] * (volume.ndim - 1))
    with torch.no_grad():
        for group in in_groups(corners, batch):
            places = [
                tuple(slice(a, a + side) for a, side in zip(corner, block, strict=True))
                for corner in group.tolist()
            ]
            # With the volume as it is among them, so that rounding is the same for all.
            copies = volume.repeat(len(places) + 1, *[1] * volume.ndim)
            for copy, place in zip(copies[1:], places, strict=True):
                copy[(hidden, *place)] = at_start
            found = score(copies)
            for place, number in zip(places, found[1:], strict=True):
                fall[place] = found[0] - number
    return fall
