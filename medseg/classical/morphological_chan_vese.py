"""Chan and Vese's active contour without edges, by morphology."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from medseg.classical.bit_planes import Region, region_of
from medseg.classical.deforming import Deforming, Look, Start
from medseg.classical.whole_steps import settled
from medseg.parameter import parameter

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class MorphologicalChanVese(Deforming):
    """Move a contour, voxel by voxel, until inside and outside are each as even as they can be.

    For regions that differ from their surroundings by their mean intensity, with or without
    visible borders; of several channels, all count alike, so bring them to one scale before
    (`normalise`). The contour starts at the seeds, which may be a rough segmentation, and may
    leave them; background seeds it never takes in. Where several labels have seeds, a contour
    stops at another one, and the outside is what no contour holds.

    By far the fastest of the deformable models. It leaks where the surroundings are as bright
    as the region further away, because both means are of the whole mask: give a mask, or
    prefer `threshold-level-set`. Its steps and its smoothing are in voxels; where spacing
    differs between axes, prefer `chan-vese`, or resample before. Regions without contrast but
    with borders are for `morphological-gac`.

    Parameters
    ----------
    smoothing : int
        How often each step smooths the contour; with 0, single voxels are kept.
    weight_inside, weight_outside : float
        What a deviation from the mean costs inside and outside; the larger one makes its side
        the more even one.
    radius : float
        The contour starts as balls of so many mm around the seeds; 0 takes the seeds alone.
    iterations : int
        Steps at most; each moves the contour by one voxel at most.
    tolerance : float
        Ends when ten steps move the contour by no more mm, on average over its area.
    device : str
        auto, cpu, cuda or cuda:N.

    References
    ----------
    P. Márquez-Neila, L. Baumela, L. Álvarez, "A morphological approach to curvature-based
    evolution of curves and surfaces", IEEE Trans. Pattern Anal. Mach. Intell. 36(1):2-17,
    2014. doi:10.1109/TPAMI.2013.106

    T. F. Chan, L. A. Vese, "Active contours without edges", IEEE Trans. Image Process.
    10(2):266-277, 2001. doi:10.1109/83.902291
    """

    smoothing: int = parameter(1, "[0, 100]", usual=(0, 4))
    weight_inside: float = parameter(1.0, "(0, inf)", usual=(0.2, 5), log=True)
    weight_outside: float = parameter(1.0, "(0, inf)", usual=(0.2, 5), log=True)
    radius: float = parameter(0.0, "[0, inf)", unit="mm")
    iterations: int = parameter(200, "[1, inf)")
    tolerance: float = parameter(0.01, "[0, inf)", unit="mm")
    device: str = "auto"

    def evolve(
        self, image: Tensor, spacing: tuple[float, ...], seeds: Tensor | None, mask: Tensor | None
    ) -> Iterator[Look]:
        """States of a (C, ...) tensor, each as a function that gives its labels."""
        start = Start.of(seeds, mask, spacing, self.radius, "morphological-chan-vese")
        regions = {
            label: region_of(inside, start.allowed, image)
            for label, inside in start.regions.items()
        }
        values = image.flatten(1) if mask is None else image[:, mask]
        whole = np.array([values.shape[1], *(float(channel.double().sum()) for channel in values)])
        weights = self.weight_inside, self.weight_outside

        def step(region: Region, others: list[Region]) -> None:
            sums = region.sums()
            outside = whole - sums - sum(other.sums() for other in others)
            # So little is added to the count that it only matters where there is nothing.
            means = (total[1:] / (total[0] + 1e-8) for total in (sums, outside))
            terms = [(weight, *mean) for weight, mean in zip(weights, means, strict=True)]
            region.attach_to_means(np.array(terms))
            region.smooth(self.smoothing)

        yield from settled(regions, step, spacing, self.iterations, self.tolerance)
