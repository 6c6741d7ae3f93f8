"""Chan and Vese's active contour without edges, as a partial differential equation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from medseg.classical.deforming import Deforming, Look, Start
from medseg.classical.level_set import Forces, relaxed
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
        values = image.double()

        def forces(label: int, phi: Tensor, allowed: Tensor) -> Forces:
            inside = phi < 0
            return Forces(self._speed(values, inside, allowed & ~inside), 1.0, self.curvature)

        yield from relaxed(start, forces, spacing, self.iterations, self.tolerance)

    def _speed(self, values: Tensor, inside: Tensor, outside: Tensor) -> Tensor:
        """How much nearer values are to the mean inside than to the other one, in [-1, 1]."""
        import torch

        cost, scale = torch.zeros_like(values[0]), 0.0
        if not inside.any() or not outside.any():
            return cost.float()
        for channel in values:
            within, beyond = (float(channel[side].mean()) for side in (inside, outside))
            cost += self.weight_outside * (channel - beyond) ** 2
            cost -= self.weight_inside * (channel - within) ** 2
            scale += (within - beyond) ** 2
        return (cost / scale).clamp_(-1, 1).float() if scale else torch.zeros_like(cost).float()
