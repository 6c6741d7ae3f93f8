"""How a network of levels fits a patch: kernels and strides from spacing and size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np


@dataclass(frozen=True)
class Topology:
    """Levels of an encoder, finest first.

    Parameters
    ----------
    kernels, strides : tuple of tuple of int
        One entry a level and axis; the stride of the first level is 1.
    features : tuple of int
        Width of each level.
    """

    kernels: tuple[tuple[int, ...], ...]
    strides: tuple[tuple[int, ...], ...]
    features: tuple[int, ...]

    @property
    def ndim(self) -> int:
        """Number of spatial axes."""
        return len(self.strides[0])

    @property
    def multiple(self) -> tuple[int, ...]:
        """Product of the strides along each axis."""
        return tuple(int(n) for n in np.prod(self.strides, axis=0))

    def turned(self, order: Sequence[int]) -> Topology:
        """Return the same with its axes in another order."""
        kernels, strides = (
            tuple(tuple(level[axis] for axis in order) for level in levels)
            for levels in (self.kernels, self.strides)
        )
        return Topology(kernels, strides, self.features)


def topology(
    spacing: tuple[float, ...],
    patch: tuple[int, ...],
    *,
    width: int,
    levels: int,
    widest: int = 320,
) -> Topology:
    """Halve each axis while it is long enough and its voxels are not much coarser than others.

    The rule of nnU-Net: an axis is halved while it has at least 8 voxels (12, where it is the
    only one) and its spacing is less than twice the finest; its kernel is 3 as soon as its
    spacing is less than twice the finest, 1 before.

    Parameters
    ----------
    spacing : tuple of float, mm
    patch : tuple of int
        Voxels.
    width : int
        Features of the finest level; each level has twice as many as the one above.
    levels : int
        At most so many.
    widest : int
        No level has more features.

    References
    ----------
    F. Isensee et al., "nnU-Net: a self-configuring method for deep learning-based biomedical
    image segmentation", Nature Methods, 2021. doi:10.1038/s41592-020-01008-z
    """
    zooms, sizes = np.array(spacing, dtype=float), np.array(patch)
    kernel = np.ones(len(patch), dtype=int)
    kernels, strides = [], [(1,) * len(patch)]
    while True:
        kernel[zooms / zooms.min() < 2] = 3
        kernels.append(tuple(kernel.tolist()))
        long_enough = sizes >= 8
        if not long_enough.any() or len(kernels) == levels:
            break
        halved = long_enough & (zooms / zooms[long_enough].min() < 2)
        if halved.sum() == 1 and sizes[halved][0] < 12:
            break
        stride = np.where(halved, 2, 1)
        zooms, sizes = zooms * stride, -(-sizes // stride)
        strides.append(tuple(stride.tolist()))
    features = tuple(min(width * 2**level, widest) for level in range(len(kernels)))
    return Topology(tuple(kernels), tuple(strides), features)


def feature_maps(
    levels: Topology, patch: Sequence[int], classes: int, encoder: Sequence[int], decoder: int
) -> int:
    """Count the numbers that the layers of a U-Net give for a patch, nnU-Net's measure of memory.

    Parameters
    ----------
    levels : Topology
    patch : sequence of int
        Voxels; multiples of those of the topology.
    classes : int
        Logits, which count at full resolution alone.
    encoder : sequence of int
        How many layers each level of the encoder has, finest first.
    decoder : int
        How many each level of the decoder has, the one that comes up from below among them.
    """
    sizes = np.array(patch) // np.cumprod(levels.strides, axis=0)
    voxels: list[int] = [prod(size) for size in sizes.tolist()]
    layers = [n + decoder for n in encoder[: len(voxels)]]
    layers[-1] -= decoder  # the coarsest level has no decoder
    maps = zip(layers, levels.features, voxels, strict=True)
    return sum(n * width * many for n, width, many in maps) + classes * voxels[0]
