"""Regions of an interval of intensities that hang together with a seed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from medseg.classical.demands import one_channel, some_seeds
from medseg.classical.growing import Rule, spread
from medseg.parameter import parameter, require_legal
from medseg.segmenter import segment_with
from medseg.volume import BACKGROUND, Image, Labels

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class ConnectedThreshold:
    """Keep what touches a seed and lies in an interval of intensities.

    For structures that an interval separates from all they touch: air and bone in CT, contrast
    in vessels. It is the fastest of its kind, but one voxel that bridges to a neighbour of the
    same intensity is enough to leak: `neighbourhood-connected` does not cross thin bridges, and
    `confidence-connected` finds the interval itself. Without seeds, use `threshold`.

    A voxel that several labels reach gets the one with the fewest steps to it, over faces; of
    equals, the lower one, and background last. Seeds keep their label.

    Parameters
    ----------
    lower, upper : float
        Ends of the interval, which both belong to it; at least one is needed.
    device : str
        auto, cpu, cuda or cuda:N.

    References
    ----------
    R. M. Haralick, L. G. Shapiro, "Image segmentation techniques", Comput. Vis. Graph. Image
    Process. 29(1):100-132, 1985. doi:10.1016/S0734-189X(85)90153-7
    """

    lower: float | None = parameter(None, unit="intensity")
    upper: float | None = parameter(None, unit="intensity")
    device: str = "auto"

    def __post_init__(self) -> None:
        require_legal(self)
        _require_interval("connected-threshold", self.lower, self.upper)

    def segment(
        self, image: Image, seeds: Labels | None = None, mask: Labels | None = None
    ) -> Labels:
        """Grow each label of `seeds`; `image` has one channel."""
        return segment_with(self.run, image, seeds, mask, self.device)

    def run(
        self, image: Tensor, spacing: tuple[float, ...], seeds: Tensor | None, mask: Tensor | None
    ) -> Tensor:
        """Grown labels of a (1, ...) tensor."""
        one_channel(image, "connected-threshold")
        known = some_seeds(seeds, mask, "connected-threshold")
        rule = Rule.within(*_ends(self.lower, self.upper))
        return spread(image, known, rule, mask)[0].clamp_(min=BACKGROUND)


@dataclass(frozen=True)
class NeighbourhoodConnected:
    """Keep what touches a seed and lies in an interval with all that is around it.

    A voxel joins if all voxels of the box about it lie in the interval. So regions do not pass
    bridges that are thinner than the box, and single noisy voxels keep their surroundings out;
    the region ends by the radius before the border of what `connected-threshold` would find,
    which `dilate` as a clean-up gives back. Labels compete as there.

    Parameters
    ----------
    lower, upper : float
        Ends of the interval, which both belong to it; at least one is needed.
    radius : float
        How far the box reaches each way, mm; along an axis whose spacing is larger, it is one
        voxel thin.
    device : str
        auto, cpu, cuda or cuda:N.

    References
    ----------
    L. Ibáñez et al., "The ITK Software Guide", Kitware 2005, section 9.1.3.
    """

    lower: float | None = parameter(None, unit="intensity")
    upper: float | None = parameter(None, unit="intensity")
    radius: float = parameter(1.0, "(0, inf)", usual=(0.5, 5), unit="mm")
    device: str = "auto"

    def __post_init__(self) -> None:
        require_legal(self)
        _require_interval("neighbourhood-connected", self.lower, self.upper)

    def segment(
        self, image: Image, seeds: Labels | None = None, mask: Labels | None = None
    ) -> Labels:
        """Grow each label of `seeds`; `image` has one channel."""
        return segment_with(self.run, image, seeds, mask, self.device)

    def run(
        self, image: Tensor, spacing: tuple[float, ...], seeds: Tensor | None, mask: Tensor | None
    ) -> Tensor:
        """Grown labels of a (1, ...) tensor."""
        one_channel(image, "neighbourhood-connected")
        known = some_seeds(seeds, mask, "neighbourhood-connected")
        rule = Rule.within(*_ends(self.lower, self.upper), voxels_within(self.radius, spacing))
        return spread(image, known, rule, mask)[0].clamp_(min=BACKGROUND)


def voxels_within(radius: float, spacing: tuple[float, ...]) -> tuple[int, ...]:
    """How many voxels fit into a length in mm along each axis."""
    # A spacing of 0.3333 mm goes three times into a millimetre, whatever the rounding says.
    return tuple(math.floor(radius / step + 1e-3) for step in spacing)


def _require_interval(method: str, lower: float | None, upper: float | None) -> None:
    if lower is None and upper is None:
        raise ValueError(f"{method} takes a lower end, an upper end, or both; got neither")
    low, high = _ends(lower, upper)
    if low > high:
        raise ValueError(f"{method} takes lower <= upper, got lower={lower}, upper={upper}")


def _ends(lower: float | None, upper: float | None) -> tuple[float, float]:
    return -math.inf if lower is None else lower, math.inf if upper is None else upper
