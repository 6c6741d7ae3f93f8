"""A level set that grows through an interval of intensities."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from medseg.classical.deforming import Deforming, Look, Start
from medseg.classical.demands import one_channel
from medseg.classical.forces import Forces, fixed
from medseg.classical.level_set import relaxed
from medseg.parameter import INTENSITY, parameter

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class ThresholdLevelSet(Deforming):
    """Let a contour grow where intensities lie in an interval, shrink elsewhere, and stay smooth.

    Region growing with a border that can't leak through gaps narrower than its curvature
    allows. The contour starts at the seeds, which may be a rough segmentation, and may leave
    them; background seeds it never takes in, and where several labels have seeds, it stops at
    the contour of another one.

    The interval has to be known, or the seeds have to be typical of their region; where only
    the contrast is, `chan-vese` finds both means itself, and `region-growing` is far faster
    where nothing leaks.

    Parameters
    ----------
    lower, upper : float, optional
        Ends of the interval; by default, `width` standard deviations of the seeds from their mean.
    width : float
        Used where an end is not given.
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
    R. Whitaker, "A level-set approach to 3D reconstruction from range data", Int. J. Comput.
    Vis. 29(3):203-231, 1998. doi:10.1023/A:1008036829907

    A. E. Lefohn, J. E. Cates, R. T. Whitaker, "Interactive, GPU-based level sets for 3D
    segmentation", MICCAI 2003. doi:10.1007/978-3-540-39899-8_70
    """

    lower: float | None = parameter(None, unit=INTENSITY)
    upper: float | None = parameter(None, unit=INTENSITY)
    width: float = parameter(3.0, "(0, inf)", usual=(1, 10), log=True, unit="standard deviations")
    curvature: float = parameter(0.5, "[0, inf)", usual=(0.1, 5), log=True, unit="mm")
    radius: float = parameter(0.0, "[0, inf)", unit="mm")
    iterations: int = parameter(1000, "[1, inf)")
    tolerance: float = parameter(0.01, "[0, inf)", unit="mm")
    device: str = "auto"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.lower is not None and self.upper is not None and self.lower >= self.upper:
            raise ValueError(
                "threshold-level-set takes a lower end below the upper one, "
                f"got lower={self.lower}, upper={self.upper}"
            )

    def evolve(
        self, image: Tensor, spacing: tuple[float, ...], seeds: Tensor | None, mask: Tensor | None
    ) -> Iterator[Look]:
        """States of a (1, ...) tensor, each as a function that gives its labels."""
        start = Start.of(seeds, mask, spacing, self.radius, "threshold-level-set")
        values = one_channel(image, "threshold-level-set")
        given = {
            label: Forces(fixed(self._speed(values, inside)), 1.0, self.curvature)
            for label, inside in start.regions.items()
        }
        yield from relaxed(
            start, lambda label, turned: given[label], spacing, self.iterations, self.tolerance
        )

    def _speed(self, values: Tensor, inside: Tensor) -> Tensor:
        """1 at the mean of the seeds and further inside, 0 at the ends, -1 as far outside."""
        own = values[inside].cpu().double()
        mean, reach = float(own.mean()), self.width * float(own.std(correction=0))
        lower = mean - reach if self.lower is None else self.lower
        upper = mean + reach if self.upper is None else self.upper
        if lower >= upper:
            raise ValueError(
                f"threshold-level-set finds no interval between {lower:g} and {upper:g}: the seeds "
                "are constant or beyond the end that was given; give lower and upper"
            )
        typical = mean if lower < mean < upper else (lower + upper) / 2
        full = min(typical - lower, upper - typical)
        return ((values - lower).minimum(upper - values) / full).clamp(-1, 1)
