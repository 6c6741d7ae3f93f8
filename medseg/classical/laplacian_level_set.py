"""A level set that comes to rest where the Laplacian of the image changes its sign."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from medseg.classical.deforming import Deforming, Look, Start
from medseg.classical.demands import one_channel
from medseg.classical.edges import balloon_speed, differences, percentile, slopes, stopping_map
from medseg.classical.forces import Forces, fixed
from medseg.classical.level_set import relaxed
from medseg.distance import distance_to
from medseg.parameter import parameter
from medseg.relief.gradient import smoothed

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class LaplacianLevelSet(Deforming):
    """Let a contour grow, or shrink, to where the Laplacian of the image changes its sign.

    That is where edges are steepest, so that it ends between voxels on the border itself, from
    both sides; whether the region is brighter or darker than what is around, even differently
    on its sides, is read from the image, on the way away from the seeds. Good at drawing a
    rough segmentation exactly; noise has edges everywhere, so `scale` should be as large as the
    region allows.

    The contour starts at the seeds, and may leave them; background seeds it never takes in, and
    where several labels have seeds, it stops at the contour of another one.

    Parameters
    ----------
    scale : float
        Standard deviation of the Gaussian under the derivatives, mm.
    contrast : float
        How strong a Laplacian moves the contour at full speed, and how steep an edge is at which
        the balloon has 1/e of its speed, as parts of what 1 % of the image exceeds.
    balloon : "grow", "shrink" or "none"
        Whether the contour moves outwards, inwards or not where there are no edges.
    curvature : float
        Weight of the curvature, mm: bends much tighter than that are drawn straight.
    radius : float
        The contour starts as balls of so many mm around the seeds; 0 takes the seeds alone.
    iterations : int
        Steps at most; each moves the contour by less than a voxel.
    tolerance : float
        Ends when ten steps move the contour by no more mm, on average over its area.
    device : str
        auto, cpu, cuda or cuda:N.

    References
    ----------
    D. Marr, E. Hildreth, "Theory of edge detection", Proc. R. Soc. Lond. B 207(1167):187-217,
    1980. doi:10.1098/rspb.1980.0020

    R. Kimmel, A. M. Bruckstein, "Regularized Laplacian zero crossings as optimal edge
    integrators", Int. J. Comput. Vis. 53(3):225-243, 2003. doi:10.1023/A:1023030907417
    """

    scale: float = parameter(1.0, "[0, inf)", usual=(0.5, 4), log=True, unit="mm")
    contrast: float = parameter(0.5, "(0, inf)", usual=(0.1, 2), log=True)
    balloon: Literal["grow", "shrink", "none"] = "grow"
    curvature: float = parameter(0.2, "[0, inf)", usual=(0.1, 5), log=True, unit="mm")
    radius: float = parameter(0.0, "[0, inf)", unit="mm")
    iterations: int = parameter(1000, "[1, inf)")
    tolerance: float = parameter(0.01, "[0, inf)", unit="mm")
    device: str = "auto"

    def evolve(
        self, image: Tensor, spacing: tuple[float, ...], seeds: Tensor | None, mask: Tensor | None
    ) -> Iterator[Look]:
        """States of a (1, ...) tensor, each as a function that gives its labels."""
        start = Start.of(seeds, mask, spacing, self.radius, "laplacian-level-set")
        one_channel(image, "laplacian-level-set")
        smooth = smoothed(image, self.scale, spacing, mask)[0]
        edges = stopping_map(image, self.scale, self.contrast, spacing, mask)
        balloon = balloon_speed(edges, self.balloon)
        bends = self._strength(laplacian(smooth, spacing, mask), mask)
        given = {}
        for label, region in start.regions.items():
            speed = balloon + bends * rise_from(region, smooth, spacing, mask).sign()
            given[label] = Forces(fixed(speed.clamp_(-1, 1)), 1.0, self.curvature)
        yield from relaxed(
            start, lambda label, turned: given[label], spacing, self.iterations, self.tolerance
        )

    def _strength(self, bends: Tensor, mask: Tensor | None) -> Tensor:
        full = self.contrast * percentile(bends.abs(), 99, mask)
        return (bends / full).clamp_(-1, 1) if full else bends.fill_(0)


def laplacian(values: Tensor, spacing: tuple[float, ...], mask: Tensor | None = None) -> Tensor:
    """Sum of the second derivatives of a (...) tensor, 1/mm²; what lies outside is as inside."""
    import torch

    total = torch.zeros_like(values)
    for axis, step in enumerate(spacing):
        size = values.shape[axis]
        steps = values.diff(dim=axis) / step**2
        if mask is not None:
            steps *= mask.narrow(axis, 0, size - 1) & mask.narrow(axis, 1, size - 1)
        total.narrow(axis, 0, size - 1).add_(steps)
        total.narrow(axis, 1, size - 1).sub_(steps)
    return total


def rise_from(
    region: Tensor, values: Tensor, spacing: tuple[float, ...], mask: Tensor | None = None
) -> Tensor:
    """How much values rise on the way away from a region, or inside it, to its border."""
    import torch

    away = distance_to(region, spacing) - distance_to(~region, spacing)
    slope = slopes(values, mask)
    total = torch.zeros_like(values)
    for axis, step in enumerate(spacing):
        total += slope[axis] * differences(away, axis) / step**2
    return total
