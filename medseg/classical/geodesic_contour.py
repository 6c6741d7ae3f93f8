"""The geodesic active contour, as a partial differential equation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from medseg.classical.deforming import Deforming, Look, Start
from medseg.classical.edges import balloon_speed, edge_map, steepest
from medseg.classical.forces import Forces, fixed
from medseg.classical.level_set import relaxed
from medseg.parameter import parameter

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class GeodesicContour(Deforming):
    """Let a contour grow, or shrink, until edges hold it, and pull it to where they are strongest.

    For regions with visible borders whose inside need not be even. The contour starts at the
    seeds, which may be a rough segmentation, and may leave them; background seeds it never
    takes in, and where several labels have seeds, it stops at the contour of another one.

    Small gaps in a border are closed by `curvature`; through wide ones it leaks. It stops at
    edges inside the region, so `scale` should be that of the border. Lengths are in mm,
    whatever the spacing; `morphological-gac` is much faster, in whole voxels. Where borders are
    faint but intensities differ, prefer `chan-vese`.

    Parameters
    ----------
    scale : float
        Standard deviation of the Gaussian under the gradient, mm.
    contrast : float
        How steep an edge is at which a contour is half as fast, in root mean squares of the
        gradient of the image.
    balloon : "grow", "shrink" or "none"
        Whether the contour moves outwards, inwards or not where there are no edges.
    curvature : float
        Weight of the curvature, mm: bends much tighter than that are drawn straight.
    advection : float
        How strongly edges pull the contour that is beside them, mm.
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
    V. Caselles, R. Kimmel, G. Sapiro, "Geodesic active contours", Int. J. Comput. Vis.
    22(1):61-79, 1997. doi:10.1023/A:1007979827043
    """

    scale: float = parameter(1.0, "[0, inf)", usual=(0.5, 4), log=True, unit="mm")
    contrast: float = parameter(1.0, "(0, inf)", usual=(0.2, 5), log=True, unit="root mean squares")
    balloon: Literal["grow", "shrink", "none"] = "grow"
    curvature: float = parameter(0.5, "[0, inf)", usual=(0.1, 5), log=True, unit="mm")
    advection: float = parameter(2.0, "[0, inf)", usual=(0.5, 10), log=True, unit="mm")
    radius: float = parameter(0.0, "[0, inf)", unit="mm")
    iterations: int = parameter(1000, "[1, inf)")
    tolerance: float = parameter(0.01, "[0, inf)", unit="mm")
    device: str = "auto"

    def evolve(
        self, image: Tensor, spacing: tuple[float, ...], seeds: Tensor | None, mask: Tensor | None
    ) -> Iterator[Look]:
        """States of a (C, ...) tensor, each as a function that gives its labels."""
        start = Start.of(seeds, mask, spacing, self.radius, "geodesic-contour")
        edges = edge_map(image, self.scale, self.contrast, spacing, mask)
        given = Forces(
            fixed(balloon_speed(edges, self.balloon)),
            *(1.0, self.curvature, edges, self.advection, steepest(edges, spacing)),
        )
        yield from relaxed(
            start, lambda label, turned: given, spacing, self.iterations, self.tolerance
        )
