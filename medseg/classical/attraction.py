"""Fields that draw a contour to where an image has edges, or is bright."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from medseg.classical.edges import edge_map, slopes
from medseg.relief import smoothed

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Reach = Literal["gvf", "gradient"]
# Slopes that are no longer than so many medians are noise.
_NOISE = 3.0
# No axis of the coarsest level is shorter.
_COARSEST = 4
# How often neighbours are averaged, at each level and at the coarsest one, and how much of the
# way to their mean a vector goes.
_SWEEPS, _FIRST_SWEEPS, _BOLDNESS = 8, 50, 0.8
# How often what is left to do is done from coarse to fine too.
_CORRECTIONS = 2


@dataclass(frozen=True)
class Attraction:
    """How strongly edges and lines pull, and from where: fields of `Snake`."""

    edge: float
    line: float
    reach: Reach
    scale: float
    contrast: float
    diffusion: float

    def field(
        self, image: Tensor, spacing: tuple[float, ...], mask: Tensor | None
    ) -> NDArray[np.float32] | None:
        """Speed along each axis, (axes, ...), on the CPU; None if nothing pulls."""
        fields = []
        if self.edge:
            edges = edge_map(image, self.scale, self.contrast, spacing, mask)
            field = edge_field(edges, self.reach, self.diffusion, spacing, mask)
            fields.append(self.edge * field)
        if self.line:
            fields.append(self.line * line_field(image, self.scale, spacing, mask))
        return sum(fields[1:], fields[0]).cpu().numpy() if fields else None


def edge_field(
    edges: Tensor,
    reach: Reach,
    diffusion: float,
    spacing: tuple[float, ...],
    mask: Tensor | None,
) -> Tensor:
    """Vectors that lead to edges, of a length of 1 at most.

    Parameters
    ----------
    edges : (...) float tensor
        As `edge_map` has them: the smaller, the steeper.
    reach : "gvf" or "gradient"
        Everywhere in the image, with a length of 1, or only beside edges.
    diffusion : float
        mm², of the gradient vector flow.
    spacing : tuple of float, mm
    mask : (...) bool tensor, optional

    Returns
    -------
    (axes, ...) float tensor
        All 0 if there are no edges.
    """
    slope = _unit_at_most(_slopes_in_mm(-edges, spacing, mask))
    if reach == "gradient":
        return slope
    flow = gradient_vector_flow(_above_noise(slope, mask), diffusion, spacing)
    length = flow.square().sum(dim=0).sqrt_()
    return flow.div_(length.where(length > 0, 1))


def line_field(
    image: Tensor, scale: float, spacing: tuple[float, ...], mask: Tensor | None
) -> Tensor:
    """Vectors that lead to where the sum of the channels is bright, of a length of 1 at most.

    Parameters
    ----------
    image : (C, ...) float tensor
    scale : float
        Standard deviation of the Gaussian under the gradient, mm.
    spacing : tuple of float, mm
    mask : (...) bool tensor, optional
    """
    smooth = smoothed(image, scale, spacing, mask).sum(dim=0)
    return _unit_at_most(_slopes_in_mm(smooth, spacing, mask))


def gradient_vector_flow(slope: Tensor, diffusion: float, spacing: tuple[float, ...]) -> Tensor:
    """Field as smooth as it can be that is `slope` where that is long.

    It minimises the integral of `diffusion` |∇v|² + |s|² |v - s|² for the slope s. Solved from
    coarse to fine, so that it reaches all of the image in a few sweeps.

    Parameters
    ----------
    slope : (axes, ...) float tensor
    diffusion : float
        mm², above 0.
    spacing : tuple of float, mm

    References
    ----------
    C. Xu, J. L. Prince, "Snakes, shapes, and gradient vector flow", IEEE Trans. Image Process.
    7(3):359-369, 1998. doi:10.1109/83.661186
    """
    weight = slope.square().sum(dim=0, keepdim=True)
    pull = weight * slope
    flow = _from_coarse_to_fine(weight, pull, diffusion, spacing)
    for _ in range(_CORRECTIONS):
        neighbours, total = _around(flow, weight, diffusion, spacing)
        flow += _from_coarse_to_fine(weight, pull + neighbours - total * flow, diffusion, spacing)
    return flow


def _from_coarse_to_fine(
    weight: Tensor, pull: Tensor, diffusion: float, spacing: tuple[float, ...]
) -> Tensor:
    """About the flow of a pull, (axes, ...), by sweeps over ever finer images of it."""
    axes = _axes_to_halve(pull, spacing)
    if not axes:
        return _averaged(pull * 0, weight, pull, diffusion, spacing, _FIRST_SWEEPS)
    coarser = tuple(2 * step if axis in axes else step for axis, step in enumerate(spacing))
    start = _from_coarse_to_fine(_halved(weight, axes), _halved(pull, axes), diffusion, coarser)
    return _averaged(_enlarged(start, pull.shape), weight, pull, diffusion, spacing, _SWEEPS)


def _axes_to_halve(pull: Tensor, spacing: tuple[float, ...]) -> list[int]:
    """Axes along which voxels are many, and near each other."""
    finest = min(spacing)
    return [
        axis
        for axis, (size, step) in enumerate(zip(pull.shape[1:], spacing, strict=True))
        if size >= 2 * _COARSEST and step < 2 * finest
    ]


def _slopes_in_mm(values: Tensor, spacing: tuple[float, ...], mask: Tensor | None) -> Tensor:
    steps = values.new_tensor(spacing).reshape(-1, *[1] * values.ndim)
    return slopes(values, mask) / steps


def _above_noise(slope: Tensor, mask: Tensor | None) -> Tensor:
    """Slopes as far as they are longer than most, which are noise, since edges are few.

    Else noise would hold the flow that comes from edges beyond a few voxels.
    """
    squared = slope.square().sum(dim=0)
    lengths = squared if mask is None else squared[mask]
    noise = _NOISE**2 * float(lengths.median())
    return slope * (1 - noise / squared.clamp(min=noise)) if noise else slope


def _unit_at_most(field: Tensor) -> Tensor:
    longest = float(field.square().sum(dim=0).max()) ** 0.5
    return field / longest if longest else field


def _averaged(
    flow: Tensor,
    weight: Tensor,
    pull: Tensor,
    diffusion: float,
    spacing: tuple[float, ...],
    sweeps: int,
) -> Tensor:
    """Draw each vector to the mean of its neighbours and to its pull, some times (Jacobi)."""
    for _ in range(sweeps):
        neighbours, total = _around(flow, weight, diffusion, spacing)
        # An image of a single voxel has no neighbours, and may have no pull.
        total = total.where(total > 0, 1)
        flow = flow.lerp(neighbours.add_(pull).div_(total), _BOLDNESS)
    return flow


def _around(
    flow: Tensor, weight: Tensor, diffusion: float, spacing: tuple[float, ...]
) -> tuple[Tensor, Tensor]:
    """Weighted sums of the neighbours' vectors, and of all weights at a voxel."""
    import torch

    neighbours, total = torch.zeros_like(flow), weight.clone()
    for axis, step in enumerate(spacing, start=1):
        share, size = diffusion / step**2, flow.shape[axis] - 1
        for begin in (0, 1):
            beside = flow.narrow(axis, 1 - begin, size)
            neighbours.narrow(axis, begin, size).add_(beside, alpha=share)
            total.narrow(axis, begin, size).add_(share)
    return neighbours, total


def _halved(values: Tensor, axes: list[int]) -> Tensor:
    """Means of pairs of voxels along some axes; the last of an odd number stays alone."""
    import torch

    for axis in axes:
        along = axis + 1
        size = values.shape[along]
        pairs = values.narrow(along, 0, size - size % 2).unflatten(along, (size // 2, 2))
        single = values.narrow(along, size - size % 2, size % 2)
        values = torch.cat([pairs.mean(dim=along + 1), single], dim=along)
    return values


def _enlarged(values: Tensor, shape: torch.Size) -> Tensor:
    """Each voxel twice along the axes that were halved."""
    for along, size in enumerate(shape):
        if values.shape[along] < size:
            values = values.repeat_interleave(2, dim=along).narrow(along, 0, size)
    return values
