"""The geodesic active contour, by morphology."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from medseg.classical.bit_planes import Region, region_of
from medseg.classical.deforming import Deforming, Look, Start
from medseg.classical.edges import edge_map, slopes
from medseg.classical.whole_steps import settled
from medseg.parameter import parameter

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class MorphologicalGAC(Deforming):
    """Let a contour grow, or shrink, voxel by voxel, until edges hold it.

    For regions with visible borders whose inside need not be even, or that are like something
    elsewhere in the image. The contour starts at the seeds, which may be a rough segmentation;
    background seeds it never takes in, and where several labels have seeds, it stops at the
    contour of another one.

    It leaks through gaps in a border that `smoothing` does not close, and stops at edges inside
    the region, so `scale` should be that of the border. Its steps and its smoothing are in
    voxels; where spacing differs between axes, prefer `geodesic-contour`, or resample before.
    Regions without borders are for `morphological-chan-vese`.

    Parameters
    ----------
    scale : float
        Standard deviation of the Gaussian under the gradient, mm.
    contrast : float
        How steep an edge is at which a contour is half as fast, in root mean squares of the
        gradient of the image.
    threshold : float
        The balloon works where the speed, between 0 and 1, is above it.
    balloon : "grow", "shrink" or "none"
        Whether the contour moves outwards, inwards or not where there are no edges.
    smoothing, radius, iterations, tolerance, device
        As for `morphological-chan-vese`.

    References
    ----------
    P. Márquez-Neila, L. Baumela, L. Álvarez, "A morphological approach to curvature-based
    evolution of curves and surfaces", IEEE Trans. Pattern Anal. Mach. Intell. 36(1):2-17,
    2014. doi:10.1109/TPAMI.2013.106
    """

    scale: float = parameter(1.0, "[0, inf)", usual=(0.5, 4), log=True, unit="mm")
    contrast: float = parameter(1.0, "(0, inf)", usual=(0.2, 5), log=True, unit="root mean squares")
    threshold: float = parameter(0.5, "[0, 1]", usual=(0.1, 0.9))
    balloon: Literal["grow", "shrink", "none"] = "grow"
    smoothing: int = parameter(1, "[0, 100]", usual=(0, 4))
    radius: float = parameter(0.0, "[0, inf)", unit="mm")
    iterations: int = parameter(200, "[1, inf)")
    tolerance: float = parameter(0.01, "[0, inf)", unit="mm")
    device: str = "auto"

    def evolve(
        self, image: Tensor, spacing: tuple[float, ...], seeds: Tensor | None, mask: Tensor | None
    ) -> Iterator[Look]:
        """States of a (C, ...) tensor, each as a function that gives its labels."""
        start = Start.of(seeds, mask, spacing, self.radius, "morphological-gac")
        speed = edge_map(image, self.scale, self.contrast, spacing, mask)
        yield from self.on(speed, start, spacing, mask)

    def on(
        self, speed: Tensor, start: Start, spacing: tuple[float, ...], mask: Tensor | None = None
    ) -> Iterator[Look]:
        """States on a map (...) of how fast the contour is, such as `edge_map` gives."""
        downhill = slopes(speed, mask)
        for axis, size in enumerate(spacing):
            # Once for the slope of the map in mm, once for that of the region.
            downhill[axis] /= size**2
        regions = {
            label: region_of(inside, start.allowed, downhill)
            for label, inside in start.regions.items()
        }
        fast = speed > self.threshold

        def step(region: Region, others: list[Region]) -> None:
            if self.balloon != "none":
                region.balloon(free[region], outwards=self.balloon == "grow")
            region.attach_to_edges()
            region.smooth(self.smoothing)

        free = {region: region.pack(fast) for region in regions.values()}
        yield from settled(regions, step, spacing, self.iterations, self.tolerance)
