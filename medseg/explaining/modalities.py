"""How much each channel of an image counts."""

from __future__ import annotations

from dataclasses import dataclass
from math import nan

import torch
from torch import Tensor

from medseg.explaining.score import RegionScore


@dataclass(frozen=True)
class Importance:
    """What happens without a channel.

    Parameters
    ----------
    channel : str
    how : str
        "mean": each of its voxels has its mean; "permuted": its voxels change places at random.
    score : float
        Mean probability over the region then.
    change : float
        From the score of the image as it is: below 0 if the channel speaks for the region.
    dice : float
        Of what is found then with what is found in the image as it is; nan if both are empty.
    """

    channel: str
    how: str
    score: float
    change: float
    dice: float


def importances(
    score: RegionScore, volume: Tensor, names: tuple[str, ...], *, seed: int = 0
) -> list[Importance]:
    """What happens without each channel of a (C, ...) volume, in two ways."""
    drawn = torch.Generator().manual_seed(seed)
    rows = []
    with torch.no_grad():
        before, found = float(score(volume[None])), score.found(volume[None])
        for index, name in enumerate(names):
            values = volume[index]
            order = torch.randperm(values.numel(), generator=drawn).to(volume.device)
            without = {
                "mean": values.mean().expand_as(values),
                "permuted": values.flatten()[order].reshape(values.shape),
            }
            for how, instead in without.items():
                changed = volume.clone()
                changed[index] = instead
                after = float(score(changed[None]))
                dice = _dice(found, score.found(changed[None]))
                rows.append(Importance(name, how, after, after - before, dice))
    return rows


def _dice(one: Tensor, other: Tensor) -> float:
    total = int(one.sum()) + int(other.sum())
    return 2 * int((one & other).sum()) / total if total else nan
