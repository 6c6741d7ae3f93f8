"""Distance along paths that avoid changes of intensity."""

from __future__ import annotations

import math
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor


def geodesic_distance(
    image: Tensor,
    targets: Tensor,
    spacing: tuple[float, ...],
    weight: float = 1.0,
    mask: Tensor | None = None,
) -> Tensor:
    """Length of the shortest path from each voxel to a target, where contrast makes it longer.

    A path goes from voxel to voxel, over faces, edges and corners. A step of length s mm
    between intensities that differ by d has the length √(s² + (weight · d)²) mm: it is a
    step on the graph of the image as a surface. Of several channels, d is the Euclidean
    norm of their differences. The result is the exact minimum over such paths; since they
    only go in 8 (2D) or 26 (3D) directions, in a constant image it is up to 8 % (2D) or 13 %
    (3D) longer than the Euclidean distance if spacing is the same along all axes.

    Parameters
    ----------
    image : (C, ...) float tensor of 1 to 3 spatial axes
    targets : (...) bool tensor
    spacing : tuple of float, mm
    weight : float
        Millimetres that a difference of 1 in intensity counts for, 0 or more.
    mask : (...) bool tensor, optional
        Paths stay inside, and targets outside count for nothing.

    Returns
    -------
    (...) float64 tensor
        In mm; 0 on the targets, infinite where no path leads to one.

    Raises
    ------
    ValueError
        If the shapes, the spacing or the weight make no sense.

    References
    ----------
    A. Criminisi, T. Sharp, A. Blake, "GeoS: geodesic image segmentation", ECCV 2008.
    doi:10.1007/978-3-540-88682-2_9
    """
    _require(image, targets, spacing, weight)
    if image.is_cuda:
        return geodesic_in_torch(image, targets, spacing, weight, mask)
    import torch

    from medseg.distance import _kernels as kernels

    values, distances, passable = _in_3d(image, targets, mask)
    offsets = np.array([o for o in product((-1, 0, 1), repeat=3) if o < (0, 0, 0)])
    steps = np.array([*[1.0] * (3 - len(spacing)), *spacing])
    lengths = ((offsets * steps) ** 2).sum(axis=1)
    rows, columns = distances.shape[:2]
    changed = np.zeros((rows + 2, columns + 2), np.int64)
    arrays = (values.contiguous().numpy(), passable.numpy().view(np.uint8))
    out = distances.numpy()
    sweep = quiet = 0
    while quiet < 2 and out.size:
        way = 1 if sweep % 2 == 0 else -1
        moved = kernels.relaxed(
            way, sweep, *arrays, way * offsets, lengths, weight**2, changed, out
        )
        quiet = 0 if moved else quiet + 1
        sweep += 1
    return torch.from_numpy(out).view(targets.shape)


def geodesic_in_torch(
    image: Tensor,
    targets: Tensor,
    spacing: tuple[float, ...],
    weight: float = 1.0,
    mask: Tensor | None = None,
) -> Tensor:
    """Do what `geodesic_distance` does in torch alone, on any device.

    Sweeps carry distances from one plane to the next, both ways along each axis, until
    nothing changes. Any step changes the plane of some axis, so no path is left out.
    """
    import torch

    _require(image, targets, spacing, weight)
    values, distances, passable = _in_3d(image, targets, mask)
    values = values.double() * weight
    steps = (*[1.0] * (3 - len(spacing)), *spacing)
    before = None
    while before is None or not torch.equal(before, distances):
        before = distances.clone()
        for axis in range(3):
            order = [axis, *(other for other in range(3) if other != axis)]
            views = (
                values.permute(0, *(1 + other for other in order)),
                distances.permute(order),
                passable.permute(order),
            )
            lengths = tuple(steps[other] for other in order)
            size = len(views[1])
            for i in range(1, size):
                _carry(*views, lengths, (i - 1, i))
            for i in range(size - 1, 0, -1):
                _carry(*views, lengths, (i, i - 1))
    return distances.view(targets.shape)


def _carry(
    values: Tensor,
    distances: Tensor,
    passable: Tensor,
    lengths: tuple[float, ...],
    planes: tuple[int, int],
) -> None:
    """Let the second plane have what it can reach by one step from the first, in place."""
    import torch
    from torch.nn import functional

    first, second = planes
    there = functional.pad(distances[first], (1, 1, 1, 1), value=math.inf)
    tones = functional.pad(values[:, first], (1, 1, 1, 1))
    found = distances[second]
    high, wide = found.shape
    for y, x in product((-1, 0, 1), repeat=2):
        part = (slice(1 + y, 1 + y + high), slice(1 + x, 1 + x + wide))
        square = lengths[0] ** 2 + (y * lengths[1]) ** 2 + (x * lengths[2]) ** 2
        contrast = (values[:, second] - tones[(slice(None), *part)]).square().sum(0)
        found = torch.minimum(found, there[part] + (square + contrast).sqrt())
    distances[second] = torch.where(passable[second], found, distances[second])


def _require(image: Tensor, targets: Tensor, spacing: tuple[float, ...], weight: float) -> None:
    if image.shape[1:] != targets.shape or not 1 <= targets.ndim <= 3:
        raise ValueError(
            "geodesic distances need an image (C, ...) and targets (...) of 1 to 3 axes, got "
            f"{tuple(image.shape)} and {tuple(targets.shape)}"
        )
    if len(spacing) != targets.ndim or not all(0 < step < math.inf for step in spacing):
        raise ValueError(f"distances need {targets.ndim} spacings above 0 mm, got {tuple(spacing)}")
    if not 0 <= weight < math.inf:
        raise ValueError(f"the weight of contrast is 0 or more (mm a unit), got {weight}")


def _in_3d(image: Tensor, targets: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Image, distances known at first and where paths may go, all with three axes."""
    import torch

    shape = (1,) * (3 - targets.ndim) + tuple(targets.shape)
    passable = torch.ones_like(targets) if mask is None else mask
    distances = torch.where(targets & passable, 0.0, math.inf).double()
    return (
        image.reshape(len(image), *shape),
        distances.view(shape),
        passable.contiguous().view(shape),
    )
