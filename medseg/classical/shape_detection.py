"""Shape detection: a front that edges stop."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from medseg.classical.deforming import Deforming, Look, Start
from medseg.classical.edges import balloon_speed, gates_at
from medseg.classical.forces import Forces, fixed
from medseg.classical.level_set import relaxed
from medseg.parameter import parameter

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class ShapeDetection(Deforming):
    """Let a contour grow, or shrink, as fast as edges allow, and stay smooth.

    For regions with a sharp border all around, whose inside need not be even. Each edge slows
    the contour between the two voxels where it lies, and a strong one holds it for good, however
    long it runs. Nothing pulls the contour to an edge, nor back once it is past one, and it
    stops before the strongest place of a blurred one, by about as much as that is blurred;
    through gaps, and slowly through weak edges, it leaks: there prefer `geodesic-contour`.

    The contour starts at the seeds, which may be a rough segmentation, and may leave them;
    background seeds it never takes in, and where several labels have seeds, it stops at the
    contour of another one.

    Parameters
    ----------
    scale : float
        Standard deviation of the Gaussian that edges are measured under, mm: as small as noise
        allows.
    contrast : float
        How high an edge is that holds a contour, as part of the height that 1 % of all
        differences between neighbours exceed.
    balloon : "grow" or "shrink"
        Whether the contour moves outwards or inwards.
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
    R. Malladi, J. A. Sethian, B. C. Vemuri, "Shape modeling with front propagation: a level
    set approach", IEEE Trans. Pattern Anal. Mach. Intell. 17(2):158-175, 1995.
    doi:10.1109/34.368173
    """

    scale: float = parameter(0.5, "[0, inf)", usual=(0.2, 2), log=True, unit="mm")
    contrast: float = parameter(0.4, "(0, inf)", usual=(0.1, 2), log=True)
    balloon: Literal["grow", "shrink"] = "grow"
    curvature: float = parameter(0.2, "[0, inf)", usual=(0.1, 5), log=True, unit="mm")
    radius: float = parameter(0.0, "[0, inf)", unit="mm")
    iterations: int = parameter(1000, "[1, inf)")
    tolerance: float = parameter(0.01, "[0, inf)", unit="mm")
    device: str = "auto"

    def evolve(
        self, image: Tensor, spacing: tuple[float, ...], seeds: Tensor | None, mask: Tensor | None
    ) -> Iterator[Look]:
        """States of a (C, ...) tensor, each as a function that gives its labels."""
        import torch

        start = Start.of(seeds, mask, spacing, self.radius, "shape-detection")
        gates = gates_at(image, self.scale, self.contrast, spacing, mask)
        speed = balloon_speed(torch.ones_like(gates[0]), self.balloon)
        given = Forces(fixed(speed), 1.0, self.curvature, gates=gates)
        yield from relaxed(
            start, lambda label, turned: given, spacing, self.iterations, self.tolerance
        )
