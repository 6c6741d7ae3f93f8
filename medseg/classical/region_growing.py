"""Seeded region growing by intensity."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

from medseg.classical.demands import one_channel, some_seeds
from medseg.components import components
from medseg.parameter import parameter, require_legal
from medseg.segmenter import segment_with
from medseg.volume import BACKGROUND, Image, Labels

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class RegionGrowing:
    """Keep what touches a seed and looks like it.

    A voxel may join label L if a path of face neighbours leads from it to a seed of L
    through voxels whose intensity lies within `tolerance` standard deviations of the mean
    of the seeds of L. Paths neither leave the mask nor cross seeds of another label. Of
    several labels that a voxel may join, it joins the one from whose mean it is the fewest
    standard deviations away; of equals, the lower one. Background seeds grow like those of
    any label, come last among equals, and come out as 0.

    Seeds of one intensity, such as a single voxel, say nothing about how much their region
    varies: the standard deviation is then that of the seeds together with the voxels around
    them (3 x 3 x 3 about each). If that is 0 too, only the same intensity joins.

    Parameters
    ----------
    tolerance : float
        In standard deviations of the seeds of a label.
    device : str
        auto, cpu, cuda or cuda:N.

    References
    ----------
    R. Adams, L. Bischof, "Seeded region growing", IEEE Trans. Pattern Anal. Mach. Intell.
    16(6):641-647, 1994. doi:10.1109/34.295913
    """

    tolerance: float = parameter(
        2.5, "(0, inf)", usual=(0.5, 10), log=True, unit="standard deviations"
    )
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
        import torch

        values = one_channel(image, "region-growing")
        known = some_seeds(seeds, mask, "region-growing")
        grown = torch.zeros_like(known)
        nearest = torch.full_like(values, math.inf)
        labels = known[known != BACKGROUND].unique().tolist()
        for label in sorted(labels, key=lambda label: (label < 0, label)):
            seed = known == label
            free = (known == BACKGROUND) | seed
            if mask is not None:
                free &= mask
            mean, spread = _look(values, seed, free)
            away = (values - mean).abs()
            region = reachable(seed, (away <= self.tolerance * spread) & free | seed)
            away *= 1 / spread if spread else 1.0
            region &= away < nearest
            grown[region] = label
            nearest = torch.where(region, away, nearest)
        return grown.clamp_(min=BACKGROUND)


def reachable(seeds: Tensor, passable: Tensor) -> Tensor:
    """Voxels of `passable` that a path of face neighbours in it joins to one of `seeds`.

    Parameters
    ----------
    seeds, passable : (...) bool tensors on one device
    """
    if seeds.is_cuda:
        return flooded(seeds, passable)
    numbered, count = components(passable)
    touched = passable.new_zeros(count + 1)
    touched[numbered[seeds]] = True
    touched[0] = False  # what is not passable
    return touched[numbered]


def flooded(seeds: Tensor, passable: Tensor) -> Tensor:
    """Do what `reachable` does in torch alone, on any device.

    Whole lines are filled at a time, so it takes as many rounds as the longest of the
    shortest paths has turns.
    """
    reached = seeds & passable
    count = -1
    while (now := int(reached.sum())) > count:
        count = now
        for axis in range(reached.ndim):
            _fill_lines(reached, passable, axis)
    return reached


def _fill_lines(reached: Tensor, passable: Tensor, axis: int) -> None:
    """Carry `reached` along the lines of `axis`, both ways, until something is in the way.

    After the step of 2^k, what lies up to 2^(k+1) - 1 voxels ahead is reached, and `clear`
    says whether the last 2^(k+1) voxels of a line are all passable.
    """
    size = reached.shape[axis]
    for forwards in (True, False):
        clear = passable.clone()
        step = 1
        while step < size:
            first, last = (0, step) if forwards else (step, 0)
            behind = clear.narrow(axis, first, size - step).clone()
            ahead = clear.narrow(axis, last, size - step)
            arrived = ahead & reached.narrow(axis, first, size - step)
            reached.narrow(axis, last, size - step).logical_or_(arrived)
            ahead.logical_and_(behind)
            step *= 2


def _look(values: Tensor, seed: Tensor, free: Tensor) -> tuple[float, float]:
    """Mean and standard deviation of the seeds; of the voxels around them if they are alike."""
    own = values[seed].double().cpu()
    mean, spread = float(own.mean()), float(own.std(correction=0))
    if spread == 0:
        spread = float(values[_around(seed) & free].double().cpu().std(correction=0))
    return mean, spread


def _around(seed: Tensor) -> Tensor:
    """Voxels of `seed` and all their neighbours, over corners too."""
    import torch

    offsets = torch.tensor(list(product((-1, 0, 1), repeat=seed.ndim)), device=seed.device)
    places = (seed.nonzero()[:, None] + offsets).flatten(0, 1)  # (seeds * 3^d, d)
    last = torch.tensor(seed.shape, device=seed.device) - 1
    # Beyond the border, clamping names a voxel inside the same neighbourhood.
    places = torch.minimum(places.clamp_(min=0), last)
    around = torch.zeros_like(seed)
    around[tuple(places.T)] = True
    return around
