"""Clean-ups that go by distances in mm: open, close, smooth."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from medseg.cleanup.boxes import boxes_of
from medseg.cleanup.cleaning import clean_with
from medseg.distance import distance_to
from medseg.parameter import parameter
from medseg.smoothing import gaussian
from medseg.volume import BACKGROUND, Labels

if TYPE_CHECKING:
    from torch import Tensor

# Three steps of 0.1 mm reach 0.3 mm, whatever the rounding says.
_SLACK_MM = 1e-6
# What a voxel's own label has ahead of others, so that rounding does not decide between equals.
_AHEAD = 1e-4


@dataclass(frozen=True)
class Open:
    """Keep of each label what balls cover that fit into it; the rest becomes background.

    Takes away thin bridges and spurs, and whatever is smaller than the ball. Beyond the border
    of the volume, labels are taken to go on, so that nothing that touches it gets thinner.

    Parameters
    ----------
    radius : float
        Of the ball, mm; measured between the centres of voxels.
    device : str
        auto, cpu, cuda or cuda:N.
    """

    radius: float = parameter(2.0, "(0, inf)", usual=(0.5, 10), log=True, unit="mm")
    device: str = "auto"

    def __post_init__(self) -> None:
        _require_length(self.radius, "open", "radius")

    def __call__(self, labels: Labels) -> Labels:
        """Labels without thin parts."""
        return clean_with(self.run, labels, self.device)

    def run(self, labels: Tensor, spacing: tuple[float, ...]) -> Tensor:
        """Opened (...) tensor."""
        import torch

        opened = torch.zeros_like(labels)
        reach = self.radius + _SLACK_MM
        for label, box in boxes_of(labels, (1,) * labels.ndim).items():
            inside = labels[box] == label
            core = distance_to(~inside, spacing) > reach
            kept = distance_to(core, spacing) <= reach
            opened[box] = torch.where(kept, label, opened[box])
        return opened


@dataclass(frozen=True)
class Close:
    """Give each label the background around it that no ball outside of it can enter.

    Fills gaps, dents and small holes. Other labels stay as they are; what two labels would
    take goes to the nearer one, of equally near ones to the lower. Balls do not come from
    beyond the border of the volume.

    Parameters
    ----------
    radius : float
        Of the ball, mm; measured between the centres of voxels.
    device : str
        auto, cpu, cuda or cuda:N.
    """

    radius: float = parameter(2.0, "(0, inf)", usual=(0.5, 10), log=True, unit="mm")
    device: str = "auto"

    def __post_init__(self) -> None:
        _require_length(self.radius, "close", "radius")

    def __call__(self, labels: Labels) -> Labels:
        """Labels without small gaps."""
        return clean_with(self.run, labels, self.device)

    def run(self, labels: Tensor, spacing: tuple[float, ...]) -> Tensor:
        """Closed (...) tensor."""
        import torch

        closed = labels.clone()
        nearest = torch.full_like(labels, math.inf, dtype=torch.float64)
        reach = self.radius + _SLACK_MM
        margin = tuple(2 * math.ceil(self.radius / step) + 1 for step in spacing)
        for label, box in boxes_of(labels, margin).items():
            away = distance_to(labels[box] == label, spacing)
            taken = (distance_to(away > reach, spacing) > reach) & (labels[box] == BACKGROUND)
            # By more than rounding, so that the lower of equally near labels wins everywhere.
            taken &= away < nearest[box] - _SLACK_MM
            closed[box] = torch.where(taken, label, closed[box])
            nearest[box] = torch.where(taken, away, nearest[box])
        return closed


@dataclass(frozen=True)
class Smooth:
    """Smooth the borders between labels, and between labels and background.

    Each label and the background is blurred by a Gaussian, and each voxel gets what is
    strongest there: no gap opens between labels, and none overlap. What is thinner than the
    Gaussian is wide goes to its surroundings. Beyond the border of the volume lies what lies
    on it.

    Parameters
    ----------
    sigma : float
        Standard deviation of the Gaussian, mm.
    device : str
        auto, cpu, cuda or cuda:N.
    """

    sigma: float = parameter(1.0, "(0, inf)", usual=(0.5, 4), log=True, unit="mm")
    device: str = "auto"

    def __post_init__(self) -> None:
        _require_length(self.sigma, "smooth", "sigma")

    def __call__(self, labels: Labels) -> Labels:
        """Labels with smooth borders."""
        return clean_with(self.run, labels, self.device)

    def run(self, labels: Tensor, spacing: tuple[float, ...]) -> Tensor:
        """Smoothed (...) tensor."""
        import torch

        smooth = labels.clone()
        strongest = torch.full_like(labels, -1, dtype=torch.float32)
        # Further than the Gaussian reaches, so that what is cut off has no part in it.
        margin = tuple(math.ceil(5 * self.sigma / step) for step in spacing)
        everywhere = (slice(None),) * labels.ndim
        for label, box in [(BACKGROUND, everywhere), *boxes_of(labels, margin).items()]:
            own = (labels[box] == label).float()
            # In steps, so that the lower of equally strong labels wins on any device.
            strength = (gaussian(own, self.sigma, spacing) / _AHEAD).round() + own / 2
            better = strength > strongest[box]
            smooth[box] = torch.where(better, label, smooth[box])
            strongest[box] = torch.where(better, strength, strongest[box])
        return smooth


def _require_length(length: float, cleanup: str, name: str) -> None:
    if not 0 < length < math.inf:
        raise ValueError(f"{cleanup} takes a length above 0 mm, got {name}={length}")
