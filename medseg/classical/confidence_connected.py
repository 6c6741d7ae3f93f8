"""Regions that find by themselves which intensities belong to them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from medseg.classical.connected_threshold import voxels_within
from medseg.classical.demands import one_channel, some_seeds
from medseg.classical.growing import Rule, deviations, spread
from medseg.parameter import parameter, require_legal
from medseg.segmenter import segment_with
from medseg.volume import BACKGROUND, Image, Labels

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class ConfidenceConnected:
    """Grow over intensities near the mean of the region, and learn the mean from the region.

    At first, mean and standard deviation are those of boxes about the seeds. What touches a
    seed and lies within `multiplier` deviations of the mean is the region, from which both are
    learned anew, `iterations` times. For homogeneous structures with Gaussian noise, of which
    one has a click: lesions, organs, ventricles. It leaks where a neighbour is as bright, and
    through bias fields; the multiplier is what to change. `region-growing` does not learn, and
    so keeps to what is marked; `vector-confidence-connected` takes several channels.

    The region of one label is that of SimpleITK's ConfidenceConnected if `radius` is as many
    millimetres as its radius has voxels; seeds always belong to it, which SimpleITK's can lose.
    Regions do not cross seeds of another label; of several labels that reach a voxel, it joins
    the one from whose mean it is the fewest deviations away; of equals, the lower one, and
    background last.

    Parameters
    ----------
    multiplier : float
        In standard deviations of the region.
    iterations : int
        How often mean and deviation are learned from the region.
    radius : float
        How far the boxes about the seeds reach each way, mm.
    device : str
        auto, cpu, cuda or cuda:N.

    References
    ----------
    L. Ibáñez et al., "The ITK Software Guide", Kitware 2005, section 9.1.4.
    """

    multiplier: float = parameter(
        2.5, "(0, inf)", usual=(0.5, 6), log=True, unit="standard deviations"
    )
    iterations: int = parameter(4, "[0, 1000]", usual=(0, 10))
    radius: float = parameter(1.0, "[0, inf)", usual=(0, 5), unit="mm")
    device: str = "auto"

    def __post_init__(self) -> None:
        require_legal(self)

    def segment(
        self, image: Image, seeds: Labels | None = None, mask: Labels | None = None
    ) -> Labels:
        """Grow each label of `seeds`; `image` has one channel."""
        return segment_with(self.run, image, seeds, mask, self.device)

    def run(
        self, image: Tensor, spacing: tuple[float, ...], seeds: Tensor | None, mask: Tensor | None
    ) -> Tensor:
        """Grown labels of a (1, ...) tensor."""
        one_channel(image, "confidence-connected")
        known = some_seeds(seeds, mask, "confidence-connected")
        growing = _Growing(image, known, mask, voxels_within(self.radius, spacing), self.iterations)
        return _competing(growing, _Interval(self.multiplier))


@dataclass(frozen=True)
class VectorConfidenceConnected:
    """Grow over values near the mean of the region in all channels together.

    As `confidence-connected`, with the Mahalanobis distance from the mean in the place of the
    deviations from it, so that channels that vary together count once. For structures that show
    only in several sequences. Where the channels of a region do not vary at all in some
    combination, only voxels join that do not either. If a seed lies farther from the mean of
    the boxes than `multiplier`, that distance counts for its label in the place of the multiplier.

    The region of one label is that of SimpleITK's VectorConfidenceConnected if `radius` is as
    many millimetres as its radius has voxels. Labels compete as in `confidence-connected`.

    Parameters
    ----------
    multiplier : float
        Mahalanobis distance, in standard deviations of the region.
    iterations : int
        How often mean and covariance are learned from the region.
    radius : float
        How far the boxes about the seeds reach each way, mm.
    device : str
        auto, cpu, cuda or cuda:N.

    References
    ----------
    P. C. Mahalanobis, "On the generalized distance in statistics", Proc. Natl. Inst. Sci. India
    2(1):49-55, 1936; L. Ibáñez et al., "The ITK Software Guide", Kitware 2005, section 9.1.6.
    """

    multiplier: float = parameter(
        2.5, "(0, inf)", usual=(0.5, 6), log=True, unit="standard deviations"
    )
    iterations: int = parameter(4, "[0, 1000]", usual=(0, 10))
    radius: float = parameter(1.0, "[0, inf)", usual=(0, 5), unit="mm")
    device: str = "auto"

    def __post_init__(self) -> None:
        require_legal(self)

    def segment(
        self, image: Image, seeds: Labels | None = None, mask: Labels | None = None
    ) -> Labels:
        """Grow each label of `seeds`."""
        return segment_with(self.run, image, seeds, mask, self.device)

    def run(
        self, image: Tensor, spacing: tuple[float, ...], seeds: Tensor | None, mask: Tensor | None
    ) -> Tensor:
        """Grown labels of a (C, ...) tensor."""
        known = some_seeds(seeds, mask, "vector-confidence-connected")
        growing = _Growing(image, known, mask, voxels_within(self.radius, spacing), self.iterations)
        return _competing(growing, _Ellipsoid(self.multiplier))


@dataclass(frozen=True, eq=False)
class _Growing:
    """What the regions of all labels grow in, as `run` got it."""

    image: Tensor
    seeds: Tensor
    mask: Tensor | None
    reach: tuple[int, ...]
    iterations: int


class _Knowledge(NamedTuple):
    """Mean (C,) and covariance (C, C) of a region."""

    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]

    def rule(self, away: float) -> Rule:
        """What lies at most so many deviations away from the mean."""
        variances, rows = np.linalg.eigh(self.covariance)
        # Of no variance is what rounding alone would make.
        least = max(1e-12 * variances[-1], (1e-6 * np.abs(self.mean).max()) ** 2, 1e-30)
        return Rule.near(self.mean, (rows / np.sqrt(np.maximum(variances, least))).T.copy(), away)


class _Kind(Protocol):
    """How a region is learned."""

    def first(self, boxes: Tensor, inside: Tensor) -> _Knowledge:
        """From boxes about the seeds, (C, n, voxels), of which some voxels count."""

    def again(self, values: Tensor) -> _Knowledge:
        """From a region, (C, n)."""

    def rule(self, known: _Knowledge, seeds: Tensor, before: Rule | None) -> Rule:
        """What joins; `seeds` are the values there, `before` is the rule that came before."""


@dataclass(frozen=True)
class _Interval:
    """Learns intervals of a single channel, and lets them hold the seeds."""

    multiplier: float

    def first(self, boxes: Tensor, inside: Tensor) -> _Knowledge:
        return self.again(boxes[:, inside])

    def again(self, values: Tensor) -> _Knowledge:
        variance = values.var(correction=1) if values.shape[1] > 1 else values.new_zeros(())
        return _Knowledge(values.mean(dim=1).cpu().numpy(), variance.cpu().numpy().reshape(1, 1))

    def rule(self, known: _Knowledge, seeds: Tensor, before: Rule | None) -> Rule:
        away = self.multiplier * math.sqrt(known.covariance[0, 0])
        low, high = known.mean[0] - away, known.mean[0] + away
        return Rule.within(min(low, float(seeds.min())), max(high, float(seeds.max())))


@dataclass(frozen=True)
class _Ellipsoid:
    """Learns ellipsoids of several channels, the first of which holds the seeds."""

    multiplier: float

    def first(self, boxes: Tensor, inside: Tensor) -> _Knowledge:
        weights = (inside / inside.sum(dim=1, keepdim=True)).to(boxes.dtype)
        means = (boxes * weights).sum(dim=2)  # (C, n)
        apart = (boxes - means[:, :, None]).permute(1, 0, 2)  # (n, C, voxels)
        covariance = (apart * weights[:, None]) @ apart.mT
        return _Knowledge(means.mean(dim=1).cpu().numpy(), covariance.mean(dim=0).cpu().numpy())

    def again(self, values: Tensor) -> _Knowledge:
        mean = values.mean(dim=1)
        apart = values - mean[:, None]
        return _Knowledge(mean.cpu().numpy(), (apart @ apart.T / values.shape[1]).cpu().numpy())

    def rule(self, known: _Knowledge, seeds: Tensor, before: Rule | None) -> Rule:
        if before is not None:
            return known.rule(math.sqrt(before.limit))
        farthest = float(deviations(seeds, known.rule(0)).max())
        return known.rule(max(self.multiplier, math.sqrt(farthest)))


def _competing(growing: _Growing, kind: _Kind) -> Tensor:
    """Labels of the regions of all labels; a voxel in several gets the likest one."""
    import torch

    seeds, values = growing.seeds, growing.image.flatten(1)
    labels = seeds[seeds != 0].unique().tolist()
    grown = torch.zeros_like(seeds).flatten()
    nearest = torch.full_like(grown, math.inf, dtype=torch.float64)
    for label in sorted(labels, key=lambda label: (label < 0, label)):
        members, known = _region(growing, label, kind)
        if len(labels) == 1:
            grown[members] = label
            break
        away = deviations(values[:, members], known.rule(0))
        away[seeds.flatten()[members] == label] = -1.0
        nearer = away < nearest[members]
        nearest[members[nearer]] = away[nearer]
        grown[members[nearer]] = label
    return grown.view(seeds.shape).clamp_(min=BACKGROUND)


def _region(growing: _Growing, label: int, kind: _Kind) -> tuple[Tensor, _Knowledge]:
    """Flat places of a region, and what it was grown by."""
    image, seeds, mask = growing.image, growing.seeds, growing.mask
    seed = seeds == label
    if bool(((seeds != 0) & ~seed).any()):
        others = (seeds == 0) | seed
        mask = others if mask is None else mask & others
    own = image[:, seed].double()
    known = kind.first(*_boxes(image, seed, growing.reach, growing.mask))
    rule = kind.rule(known, own, None)
    members = spread(image, seed.int(), rule, mask)[1]
    for _ in range(growing.iterations):
        learned = kind.again(image.flatten(1)[:, members].double())
        if not learned.covariance.any():
            break
        known, before = learned, rule
        rule = kind.rule(known, own, before)
        members = spread(image, seed.int(), rule, mask)[1]
    return members, known


def _boxes(
    image: Tensor, seed: Tensor, reach: tuple[int, ...], mask: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Values (C, n, voxels) of the box about each seed, and which lie inside the mask.

    Beyond the border lies what lies on it. Boxes of one voxel are taken together as one.
    """
    import torch

    if not any(reach):
        together = image[:, seed].double()[:, None]
        return together, torch.ones_like(together[0], dtype=torch.bool)
    ranges = product(*(range(-n, n + 1) for n in reach))
    offsets = torch.tensor(list(ranges), device=seed.device)
    last = torch.tensor(seed.shape, device=seed.device) - 1
    places = (seed.nonzero()[:, None] + offsets).clamp_(min=0)  # (n, voxels, axes)
    at: tuple[Any, ...] = torch.minimum(places, last).unbind(-1)
    boxes = image[(slice(None), *at)].double()
    inside = torch.ones_like(boxes[0], dtype=torch.bool) if mask is None else mask[at]
    return boxes, inside
