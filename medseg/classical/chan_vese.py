"""Chan and Vese's active contour without edges, as a partial differential equation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from medseg.classical.deforming import Deforming, Look, Start
from medseg.classical.forces import Forces, Speed, picked
from medseg.classical.level_set import relaxed
from medseg.parameter import parameter

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class ChanVese(Deforming):
    """Move a contour until inside and outside are even and the contour is short.

    For regions that differ from their surroundings by their mean intensity, with or without
    visible borders; of several channels, all count alike, so bring them to one scale before
    (`normalise`). The contour starts at the seeds, which may be a rough segmentation, and may
    leave them; background seeds it never takes in, and where several labels have seeds, it
    stops at the contour of another one.

    Lengths are in mm, whatever the spacing, and the contour lies between voxels while it moves;
    `morphological-chan-vese` is many times as fast, in whole voxels. Both means are of the
    whole mask, so that it leaks where something near is as bright as the region: give a mask,
    or prefer `threshold-level-set`.

    Parameters
    ----------
    curvature : float
        Weight of the length of the contour, mm: bends much tighter than that are drawn straight.
    weight_inside, weight_outside : float
        What a deviation from the mean costs inside and outside.
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
    T. F. Chan, L. A. Vese, "Active contours without edges", IEEE Trans. Image Process.
    10(2):266-277, 2001. doi:10.1109/83.902291

    T. F. Chan, B. Y. Sandberg, L. A. Vese, "Active contours without edges for vector-valued
    images", J. Vis. Commun. Image Represent. 11(2):130-141, 2000. doi:10.1006/jvci.1999.0442
    """

    curvature: float = parameter(0.5, "[0, inf)", usual=(0.1, 5), log=True, unit="mm")
    weight_inside: float = parameter(1.0, "(0, inf)", usual=(0.2, 5), log=True)
    weight_outside: float = parameter(1.0, "(0, inf)", usual=(0.2, 5), log=True)
    radius: float = parameter(0.0, "[0, inf)", unit="mm")
    iterations: int = parameter(1000, "[1, inf)")
    tolerance: float = parameter(0.01, "[0, inf)", unit="mm")
    device: str = "auto"

    def evolve(
        self, image: Tensor, spacing: tuple[float, ...], seeds: Tensor | None, mask: Tensor | None
    ) -> Iterator[Look]:
        """States of a (C, ...) tensor, each as a function that gives its labels."""
        start = Start.of(seeds, mask, spacing, self.radius, "chan-vese")
        means = _Means(image.flatten(1), start)

        def forces(label: int, turned: Tensor) -> Forces:
            means.turn(label, turned)
            return Forces(self._speed(means, label), 1.0, self.curvature)

        yield from relaxed(start, forces, spacing, self.iterations, self.tolerance)

    def _speed(self, means: _Means, label: int) -> Speed:
        """How much nearer values are to the mean inside than to the other one, in [-1, 1]."""
        import torch

        within, beyond = means.of(label)
        scale = float((within - beyond).square().sum())

        def speed(places: Tensor | slice) -> Tensor:
            values = picked(means.values, places).double()
            if not scale:
                return torch.zeros_like(values[0])
            cost = self.weight_outside * (values - beyond[:, None]).square_().sum(0)
            cost -= self.weight_inside * (values - within[:, None]).square_().sum(0)
            return (cost / scale).clamp_(-1, 1)

        return speed


class _Means:
    """Mean values inside each contour and outside all of them, kept up while contours move."""

    def __init__(self, values: Tensor, start: Start) -> None:
        import torch

        self.values = values
        allowed = start.allowed.flatten()
        self._inside = {label: torch.zeros_like(allowed) for label in start.regions}
        self._sums = dict.fromkeys(start.regions, values.new_zeros(len(values)).double())
        self._counts = dict.fromkeys(start.regions, 0)
        self._sum, self._count = values[:, allowed].double().sum(1), int(allowed.sum())

    def turn(self, label: int, places: Tensor) -> None:
        """Take places into the contour of a label, or out of it if they are inside."""
        inside = self._inside[label]
        inside[places] = ~inside[places]
        signs = 2 * inside[places].long() - 1
        self._sums[label] = self._sums[label] + (signs * self.values[:, places].double()).sum(1)
        self._counts[label] += int(signs.sum())

    def of(self, label: int) -> tuple[Tensor, Tensor]:
        """Mean of each channel inside the contour of a label, and outside all of them.

        They are equal where either is empty.
        """
        outside = self._sum - sum(self._sums.values())
        count = self._count - sum(self._counts.values())
        if not self._counts[label] or not count:
            return outside, outside
        return self._sums[label] / self._counts[label], outside / count
