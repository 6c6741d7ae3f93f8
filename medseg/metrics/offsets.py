"""Steps from a voxel to those around it, nearest first."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from math import pi, prod

import numpy as np
from numpy.typing import NDArray

# Some four voxels in each direction; a larger table is no faster where predictions are good.
_MOST = 300


@dataclass(frozen=True, eq=False)
class Offsets:
    """All steps up to some length, the shortest first, which is that of no voxel.

    Parameters
    ----------
    steps : (n, 3) integer array
        Voxels along each axis.
    ranks : (n,) integer array
        Place of the length of each step in `mm`.
    mm : (ranks,) float array
        The lengths that occur, ascending.
    reach : tuple of int
        Longest step along each axis, in voxels; at least 1 along one that counts.
    """

    steps: NDArray[np.int64]
    ranks: NDArray[np.int64]
    mm: NDArray[np.float64]
    reach: tuple[int, ...]


@lru_cache(maxsize=64)
def offsets(spacing: tuple[float, ...], along: tuple[bool, ...]) -> Offsets:
    """Steps on a grid of that spacing in mm, along those of its three axes that count."""
    zooms = [zoom for zoom, counts in zip(spacing, along, strict=True) if counts]
    # A line, a disc or a ball of twice as many voxels as are kept.
    unit = (1.0, 2.0, pi, 4 / 3 * pi)[len(zooms)]
    radius = (2 * _MOST * prod(zooms) / unit) ** (1 / max(len(zooms), 1))
    ends = [int(radius / zoom) * counts for zoom, counts in zip(spacing, along, strict=True)]
    grid = np.meshgrid(*(np.arange(-end, end + 1) for end in ends), indexing="ij")
    steps = np.stack([axis.ravel() for axis in grid], axis=1)
    lengths = np.sqrt(((steps * np.array(spacing)) ** 2).sum(axis=1))
    order = np.argsort(lengths, kind="stable")
    order = order[lengths[order] <= radius]  # farther away, the box has only some of the steps
    if len(order) > _MOST:  # no length may be cut in two
        order = order[lengths[order] < lengths[order[_MOST]]]
    steps = steps[order]
    mm, ranks = np.unique(lengths[order], return_inverse=True)
    reach = np.maximum(np.abs(steps).max(axis=0), along)
    return Offsets(steps, ranks, mm, tuple(int(end) for end in reach))


@lru_cache(maxsize=64)
def neighbours(along: tuple[bool, ...], connectivity: int) -> NDArray[np.int64]:
    """Steps to the neighbours of a voxel, (n, 3): `connectivity` 1 are faces, 2 edges, 3 corners.

    Of axes that do not count there are none.
    """
    around = np.array([*product(*([-1, 0, 1] if counts else [0] for counts in along))])
    moved = np.abs(around).sum(axis=1)
    return np.asarray(around[(moved > 0) & (moved <= max(connectivity, 1))], np.int64)
