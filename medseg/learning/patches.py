"""The patch that medseg's own networks see: what a step of a second can take."""

from __future__ import annotations

from math import prod

import numpy as np

from medseg.device import free_memory, resolve
from medseg.networks import NetworkConfig
from medseg.networks.topology import topology

PATCH_VOXELS = 2**18
"""A patch of so many takes a laptop's CPU under a second a step, and 1 GB of memory."""

LEVELS = 5
_MOST_VOXELS = 2**21


def voxels_in(memory: float) -> int:
    """Most voxels of a patch for so many GB."""
    return min(max(int(memory * PATCH_VOXELS), 2), _MOST_VOXELS)


def memory_at_hand() -> float:
    """GB for a step: half of what is free on the GPU, or 1 on a CPU, where time is scarcer."""
    device = resolve("auto")
    free = free_memory(device) / 2e9
    return free if device.type == "cuda" else min(free, 1.0)


def patch_of(
    spacing: tuple[float, ...],
    median: tuple[float, ...],
    slice_axis: int | None,
    voxels: int = PATCH_VOXELS,
) -> tuple[int, ...]:
    """Median size, shrunk along its relatively longest axis until it has so few voxels."""
    axes = [axis for axis in range(len(median)) if axis != slice_axis]
    zooms = tuple(spacing[axis] for axis in axes)
    size = np.maximum(np.rint([median[axis] for axis in axes]), 2).astype(int)
    full = size.copy()

    patch, multiple = _rounded(zooms, tuple(size.tolist()))
    while prod(patch) > voxels:
        axis = int(np.argmax(np.array(patch) / full))
        size = np.array(patch)
        size[axis] -= multiple[axis]
        patch, multiple = _rounded(zooms, tuple(size.tolist()))
    if slice_axis is None:
        return patch
    return (*patch[:slice_axis], 1, *patch[slice_axis:])


def fitted(
    patch: tuple[int, ...],
    axes: tuple[int, ...],
    network: NetworkConfig,
    voxels: int = PATCH_VOXELS,
) -> tuple[int, ...]:
    """Patch that a network asks for, or the largest legal one that keeps to the budget."""
    sides, multiple = tuple(patch[axis] for axis in axes), network.multiple
    legal = network.segment or sides
    if network.segment is None and any(network.margin):
        legal = network.fitted(sides)
        # As many voxels are seen as networks without a margin see; of them, fewer are scored.
        while _seen(legal, network) > voxels and legal != network.smallest:
            spare = [
                (n - low) / m for n, low, m in zip(legal, network.smallest, multiple, strict=True)
            ]
            axis = int(np.argmax(spare))
            legal = tuple(n - multiple[k] * (k == axis) for k, n in enumerate(legal))
    found = dict(zip(axes, legal, strict=True))
    return tuple(found.get(axis, side) for axis, side in enumerate(patch))


def _seen(sides: tuple[int, ...], network: NetworkConfig) -> int:
    return prod(side + 2 * margin for side, margin in zip(sides, network.margin, strict=True))


def _rounded(
    zooms: tuple[float, ...], sides: tuple[int, ...]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Sides that the strides of their own network divide, and the product of these strides."""
    multiple = topology(zooms, sides, width=1, levels=LEVELS).multiple
    # To the nearest multiple: rounding up would train on a third more voxels, all padding.
    pairs = list(zip(sides, multiple, strict=True))
    rounded = tuple(max((side + (m - 1) // 2) // m, 1) * m for side, m in pairs)
    # A shorter side may let another axis be halved once more.
    return (sides, multiple) if rounded == sides else _rounded(zooms, rounded)
