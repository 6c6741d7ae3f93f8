"""A level set that is known near its contour, computed there by compiled loops."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from medseg.classical.forces import DRIFT, SLIGHT, Forces, Ground, farthest
from medseg.device import computing_threads

if TYPE_CHECKING:
    from torch import Tensor

    from medseg.classical._level_set_kernels import Lattice

# Voxels for which another thread is worth its start.
_STRETCH = 4096


class BandSurface:
    """A function that is known near its zeros.

    Fronts pass through the voxels of a first layer; what is beyond follows them, until they are
    gone so far that the band is built anew.
    """

    def __init__(self, label: int, ground: Ground, spacing: tuple[float, ...]) -> None:
        import torch

        self._label, self._far, self._least = label, farthest(spacing), min(spacing)
        inside = ground.owners.numpy() == label
        missing = 3 - inside.ndim
        solid = (1,) * missing + inside.shape
        self._lattice = _lattice_of(solid, (max(spacing),) * missing + spacing)
        self._allowed = ground.allowed.numpy().reshape(-1)
        self._owners = ground.owners.numpy().reshape(-1)
        self._phi = np.where(inside.reshape(-1), -self._far, self._far)
        self.phi = torch.from_numpy(self._phi.reshape(inside.shape))
        self._ndim = inside.ndim
        self._place = np.zeros(inside.size, np.int32)
        self._threads = ThreadPoolExecutor(computing_threads(), "medseg-level-set")
        self._band, self._counts = _beside(inside.reshape(solid)), np.zeros(4, np.int64)
        self._renew()

    def step(self, forces: Forces, time: float) -> Tensor:
        """As `Surface` says."""
        import torch

        from medseg.classical import _level_set_kernels as kernels

        if self._drifted():
            self._renew()
        count = int(self._counts[1])
        contour = self._band[:count]
        found = np.empty(count)
        speed = forces.speed(torch.from_numpy(contour)).numpy() * self._allowed[contour]
        edges, gates = np.empty(0, np.float32), np.empty((0, 0), np.float32)
        if forces.edges is not None:
            edges = forces.edges.numpy().reshape(-1)
        if forces.gates is not None:
            gates = forces.gates.numpy().reshape(self._ndim, -1)
        weights = kernels.Weights(time, float(forces.curvature), float(forces.advection))
        common = (self._phi, contour, self._lattice, speed, edges, gates, weights, found)
        self._in_threads(count, lambda ends: kernels.moved(ends, *common))
        turned = kernels.written(
            *(self._phi, self._band, found, self._parents),
            *(self._allowed, self._owners, self._label, SLIGHT * self._least),
        )
        self._travelled += time * forces.fastest(self._least)
        return torch.from_numpy(turned)

    def faces(self) -> list[int]:
        """As `Surface` says."""
        from medseg.classical import _level_set_kernels as kernels

        counts = kernels.faces(self._phi, self._band, self._lattice)
        return [int(count) for count in counts[-self._ndim :]]

    def _drifted(self) -> bool:
        from medseg.classical import _level_set_kernels as kernels

        limit = DRIFT * self._least
        contour = self._band[: self._counts[0]]
        return self._travelled > limit and kernels.drift(self._phi, contour, self._was) > limit

    def _renew(self) -> None:
        """Find the band again, and distances in it."""
        from medseg.classical import _band_kernels as kernels

        phi, old, lattice, place = self._phi, self._band, self._lattice, self._place
        away, beside = np.empty(len(old)), np.empty(len(old), bool)
        known = int(self._counts[1])
        self._in_threads(
            len(old),
            lambda ends: kernels.sloped(ends, phi, old, known, lattice, away, beside),
        )
        place[old] = 0
        self._band, self._counts = kernels.layered(old[beside], lattice, place)
        unknown = kernels.restored(phi, old, away, self._band, self._far, place)
        found = np.empty(len(unknown))
        for _ in range(3):
            self._in_threads(
                len(unknown),
                lambda ends: kernels.carried(ends, phi, unknown, self._far, lattice, found),
            )
            phi[unknown] = found
        first = int(self._counts[1])
        parents = np.empty(len(self._band) - first, np.int64)
        given = (phi, self._band, self._counts, lattice, place, parents)
        self._in_threads(len(parents), lambda ends: kernels.followed(ends, *given))
        later = parents >= first
        parents[later] = parents[parents[later] - first]
        self._parents, self._travelled = parents, 0.0
        self._was = phi[self._band[: self._counts[0]]]

    def _in_threads(self, count: int, work: Callable[[tuple[int, int]], None]) -> None:
        parts = min(computing_threads(), count // _STRETCH + 1)
        edges = [count * part // parts for part in range(parts + 1)]
        if parts == 1:
            work((0, count))
        else:
            list(self._threads.map(work, pairwise(edges)))


def _lattice_of(shape: tuple[int, ...], spacing: tuple[float, ...]) -> Lattice:
    from medseg.classical._level_set_kernels import Lattice

    sides = np.zeros(shape, np.uint8)
    for axis in range(3):
        along = np.moveaxis(sides, axis, 0)
        along[0] |= 1 << 2 * axis
        along[-1] |= 2 << 2 * axis
    strides = np.array([shape[1] * shape[2], shape[2], 1])
    return Lattice(sides.reshape(-1), strides, np.array(spacing))


def _beside(inside: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Places of the voxels with a neighbour on the other side of the border of a region."""
    edge = np.zeros(inside.shape, bool)
    for axis in range(inside.ndim):
        region, found = np.moveaxis(inside, axis, 0), np.moveaxis(edge, axis, 0)
        crossed = region[1:] != region[:-1]
        found[1:] |= crossed
        found[:-1] |= crossed
    return np.flatnonzero(edge)
