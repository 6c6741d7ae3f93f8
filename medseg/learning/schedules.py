"""How the learning rate changes; `medseg.learning.SCHEDULES` lists the ways.

A schedule takes the share of the budget, in [0, 1), and the settings, and gives a factor.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

from medseg.learning import SCHEDULES

if TYPE_CHECKING:
    from medseg.learning.settings import Training


def rate(training: Training, share: float) -> float:
    """Factor of the learning rate: up in a line over the warm-up, then as the schedule says."""
    warm_up = training.warm_up
    if share < warm_up:
        return (share + 1e-3) / (warm_up + 1e-3)
    factor: float = SCHEDULES[training.schedule](share, training)
    return factor


def poly(share: float, training: Training) -> float:
    """Down to 0 as (1 - share) ** 0.9, from the end of the warm-up on."""
    return float((1 - (share - training.warm_up) / (1 - training.warm_up)) ** 0.9)


def halving(share: float, training: Training) -> float:
    """Half of what it was at each of the shares that the settings name."""
    return float(0.5 ** bisect_right(training.halvings, share))


def constant(share: float, training: Training) -> float:
    """Return 1."""
    return 1.0
