"""Fast marching: fronts that start at the seeds and slow down at edges."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from medseg.classical.demands import some_seeds
from medseg.classical.marching import arrival_times, labels_by_arrival
from medseg.parameter import parameter, require_legal
from medseg.relief import gradient_magnitude
from medseg.segmenter import segment_with
from medseg.volume import BACKGROUND, Image, Labels

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class FastMarching:
    """Send a front out from the seeds of each label; a voxel gets the label that arrives first.

    A front moves at 1 mm in a unit of time where the image is flat, and slower the steeper it
    is: at half of that where the gradient, of all channels together, is `edge` times its mean.
    So distance counts as well as edges: gaps in a border do not leak far, and what no edge
    parts is parted half-way. For compact structures with weak borders, marked inside and
    outside; one label alone needs `stop`. `watershed` minds edges only, however far the way;
    `region-growing` minds intensities.

    Fronts go over faces; each voxel gets the label of its earliest neighbour, and of equally
    early ones, of the first in storage. Background seeds send a front out like any label.

    Parameters
    ----------
    scale : float
        Standard deviation of the Gaussian under the gradient, mm.
    edge : float
        Gradient at which a front has half its speed, in means over the image or the mask.
    stop : float, optional
        Time at which fronts end: as many millimetres as one goes where the image is flat. What
        they did not reach is background. Without it, they go on to the end.
    device : str
        auto, cpu, cuda or cuda:N.

    References
    ----------
    R. Malladi, J. A. Sethian, B. C. Vemuri, "Shape modeling with front propagation: a level set
    approach", IEEE Trans. Pattern Anal. Mach. Intell. 17(2):158-175, 1995. doi:10.1109/34.368173

    J. A. Sethian, "A fast marching level set method for monotonically advancing fronts", Proc.
    Natl. Acad. Sci. USA 93(4):1591-1595, 1996. doi:10.1073/pnas.93.4.1591
    """

    scale: float = parameter(1.0, "[0, inf)", usual=(0.5, 4), unit="mm")
    edge: float = parameter(1.0, "(0, inf)", usual=(0.1, 10), log=True, unit="mean gradients")
    stop: float | None = parameter(None, "(0, inf)", unit="mm where the image is flat")
    device: str = "auto"

    def __post_init__(self) -> None:
        require_legal(self)

    def segment(
        self, image: Image, seeds: Labels | None = None, mask: Labels | None = None
    ) -> Labels:
        """Let the labels of `seeds` compete for the image."""
        return segment_with(self.run, image, seeds, mask, self.device)

    def run(
        self, image: Tensor, spacing: tuple[float, ...], seeds: Tensor | None, mask: Tensor | None
    ) -> Tensor:
        """Labels of a (C, ...) tensor."""
        known = some_seeds(seeds, mask, "fast-marching")
        speed = speed_of(image, self.scale, self.edge, spacing, mask)
        stop = math.inf if self.stop is None else self.stop
        times = arrival_times(speed, known != 0, spacing, stop)
        return labels_by_arrival(times, known).clamp_(min=BACKGROUND)


def speed_of(
    image: Tensor, scale: float, edge: float, spacing: tuple[float, ...], mask: Tensor | None
) -> Tensor:
    """Speed of a front in a (C, ...) image, (...) float32 in [0, 1]; 0 outside the mask.

    1 / (1 + (g / (edge · mean of g))²), of the length g of the gradient at a scale in mm.
    """
    steepness = gradient_magnitude(image, scale, spacing, mask)
    counted = steepness.flatten() if mask is None else steepness[mask]
    mean = float(counted.double().mean())
    slowed = steepness / (edge * mean) if mean else steepness
    # So much that no front stands still, and float32 does not end.
    speed = 1 / (1 + slowed.clamp(max=1e6).square())
    return speed if mask is None else speed * mask
