"""Contours as the zeros of a function, moved by partial differential equations.

The function is a distance in mm, negative inside. It is computed in a narrow band around the
contour on the CPU, and everywhere on CUDA.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Protocol

import numpy as np

from medseg.classical.deforming import STRIDE, Look, Start, moved
from medseg.device import computing_threads

if TYPE_CHECKING:
    from torch import Tensor

# Part of a voxel by which the contour may move before distances are computed again.
_DRIFT = 0.6
# Distances that differ by less, in mm, are equal: rounding shall not choose.
_TIE = 1e-6
# Share of the longest time step that is stable.
_CAUTION = 0.9


@dataclass(frozen=True, eq=False)
class Forces:
    """What moves a contour: phi changes by -speed |∇phi| + weighted curvature |∇phi| + pull.

    Parameters
    ----------
    speed : (...) float32 tensor
        Outwards.
    bound : float
        What no speed exceeds, in either direction.
    curvature : float
        Weight of the curvature, in mm; bends inwards pull the contour in.
    edges : (...) float32 tensor, optional
        In [0, 1]; scales the curvature, and its slope pulls the contour to where it is low.
    advection : float
        Weight of that slope, in mm.
    """

    speed: Tensor
    bound: float
    curvature: float = 0.0
    edges: Tensor | None = None
    advection: float = 0.0

    def time_step(self, spacing: tuple[float, ...]) -> float:
        """Longest stable step; infinite where nothing moves."""
        rate = self.bound * math.sqrt(sum(step**-2 for step in spacing))
        rate += 2 * self.curvature * sum(step**-2 for step in spacing)
        # Half the difference of two values in [0, 1] is no more than a half.
        rate += self.advection * sum(step**-2 for step in spacing) / 2
        return _CAUTION / rate if rate else math.inf


class Surface(Protocol):
    """A function whose zeros are a contour."""

    phi: Tensor

    def step(self, forces: Forces, time: float, allowed: Tensor) -> None:
        """Move the contour; it does not go where it is not allowed."""
        ...


def surface_of(inside: Tensor, spacing: tuple[float, ...]) -> Surface:
    """Contour around a (...) bool tensor, half-way between voxels, on its device."""
    kind: Callable[..., Surface] = TensorSurface if inside.is_cuda else BandSurface
    return kind(inside, spacing)


def relaxed(
    start: Start,
    forces: Callable[[int, Tensor, Tensor], Forces],
    spacing: tuple[float, ...],
    iterations: int,
    tolerance: float,
) -> Iterator[Look]:
    """States until no contour moves by more than `tolerance` mm in `STRIDE` steps.

    Parameters
    ----------
    start : Start
    forces : function of (label, its phi, where it is allowed)
    spacing : tuple of float, mm
    iterations : int
        How many steps at most.
    tolerance : float
        In mm, on average over the area of a contour.
    """
    surfaces = {label: surface_of(inside, spacing) for label, inside in start.regions.items()}
    earlier = dict(start.regions)
    yield lambda: _labels(surfaces)
    for number in range(1, iterations + 1):
        for label, surface in surfaces.items():
            allowed = start.allowed
            for other in surfaces.values():
                if other is not surface:
                    allowed = allowed & (other.phi >= 0)
            given = forces(label, surface.phi, allowed)
            time = given.time_step(spacing)
            if time < math.inf:
                surface.step(given, time, allowed)
        yield lambda: _labels(surfaces)
        if number % STRIDE == 0:
            now = {label: surface.phi < 0 for label, surface in surfaces.items()}
            if max(_way(earlier[label], now[label], spacing) for label in now) <= tolerance:
                return
            earlier = now


def _way(earlier: Tensor, now: Tensor, spacing: tuple[float, ...]) -> float:
    changed = int((earlier ^ now).sum())
    if not changed:
        return 0.0
    faces = [int(now.diff(dim=axis).sum()) for axis in range(now.ndim)]
    # A contour that has gone has moved too.
    return moved(changed, faces, spacing) if any(faces) else math.inf


def _labels(surfaces: dict[int, Surface]) -> Tensor:
    import torch

    label, surface = next(iter(surfaces.items()))
    found = torch.zeros_like(surface.phi, dtype=torch.int32)
    for label, surface in surfaces.items():
        found[surface.phi < 0] = label
    return found


class BandSurface:
    """A function that is known near its zeros, computed there by compiled loops."""

    def __init__(self, inside: Tensor, spacing: tuple[float, ...]) -> None:
        import torch

        missing = 3 - inside.ndim
        self._steps = np.array([1.0] * missing + list(spacing))
        self._far = _far(spacing)
        self._least = min(spacing)
        self._solid = (1,) * missing + tuple(inside.shape)
        self._phi = np.where(inside.numpy(), -self._far, self._far).reshape(self._solid)
        self.phi = torch.from_numpy(self._phi.reshape(inside.shape))
        self._place = np.zeros(self._solid, np.int32)
        edge = np.zeros(self._solid, bool)
        solid = inside.numpy().reshape(self._solid)
        for axis in range(3):
            steps = np.diff(solid, axis=axis)
            for first in (0, 1):
                window = [slice(None)] * 3
                window[axis] = slice(first, first + steps.shape[axis])
                edge[tuple(window)] |= steps
        self._band = np.argwhere(edge).astype(np.int32)
        self._counts = np.zeros(4, np.int64)
        self._drift, self._was = 0.0, np.empty(0)
        self._renew()

    def step(self, forces: Forces, time: float, allowed: Tensor) -> None:
        """As `Surface` says."""
        from medseg.classical import _level_set_kernels as kernels

        if self._drift > _DRIFT * self._least:
            self._renew()
        # The last two layers do not have all neighbours, over corners, that curvature needs.
        count = int(self._counts[1])
        found = np.empty(count)
        edges = np.empty((0, 0, 0), np.float32)
        if forces.edges is not None:
            edges = forces.edges.numpy().reshape(self._solid)
        speed = forces.speed.numpy().reshape(self._solid)
        weights = (time, float(forces.curvature), float(forces.advection))
        common = (self._phi, self._band, speed, edges, self._steps, weights, found)
        _in_threads(count, lambda ends: kernels.moved(ends, *common))
        kernels.written(
            *(self._phi, self._band, found, self._parents),
            *(allowed.numpy().reshape(self._solid), 1e-3 * self._least),
        )
        contour = int(self._counts[0])
        if contour:
            self._drift += float(np.abs(found[:contour] - self._was[:contour]).max())
        self._was = found

    def _renew(self) -> None:
        from medseg.classical import _level_set_kernels as kernels

        self._band, self._counts, self._parents = kernels.banded(
            *(self._phi, self._band, int(self._counts[1])),
            *(self._far, self._steps, self._place),
        )
        self._was = self._phi[tuple(self._band.T)]
        self._drift = 0.0


class TensorSurface:
    """A function that is computed everywhere, in torch."""

    def __init__(self, inside: Tensor, spacing: tuple[float, ...]) -> None:
        import torch

        self._spacing, self._far, self._least = spacing, _far(spacing), min(spacing)
        self.phi = torch.where(inside, -self._far, self._far).double()
        self._active = torch.zeros_like(inside)
        self._drift = 0.0
        self._renew()

    def step(self, forces: Forces, time: float, allowed: Tensor) -> None:
        """As `Surface` says."""
        import torch

        if self._drift > _DRIFT * self._least:
            self._renew()
        low, high = zip(*(self._differences(axis) for axis in range(self.phi.ndim)), strict=True)
        speed = forces.speed.double()
        forwards = sum(
            a.clamp(min=0) ** 2 + b.clamp(max=0) ** 2 for a, b in zip(low, high, strict=True)
        )
        backwards = sum(
            a.clamp(max=0) ** 2 + b.clamp(min=0) ** 2 for a, b in zip(low, high, strict=True)
        )
        rate = -speed * torch.where(speed > 0, forwards, backwards).sqrt()
        scale: Tensor | float = 1.0
        if forces.edges is not None:
            scale = forces.edges.double()
            if forces.advection:
                rate += forces.advection * self._pulled(scale, low, high)
        if forces.curvature:
            rate += forces.curvature * scale * self._bent(low, high)
        found = torch.where(self._active, self.phi + time * rate, self.phi)
        shut = self._active & ~allowed
        found = torch.where(shut, found.clamp(min=1e-3 * self._least), found)
        changed = (found - self.phi).abs()[self._contour]
        if len(changed):
            self._drift += float(changed.max())
        for layer, parents in self._outer:
            found.view(-1)[layer] += (found - self.phi).flatten()[parents]
        self.phi = found

    def _differences(self, axis: int) -> tuple[Tensor, Tensor]:
        """Slopes to the voxel before and to the voxel after, per mm."""
        import torch

        steps = self.phi.diff(dim=axis) / self._spacing[axis]
        none = torch.zeros_like(self.phi.narrow(axis, 0, 1))
        return torch.cat([none, steps], dim=axis), torch.cat([steps, none], dim=axis)

    def _pulled(self, edges: Tensor, low: tuple[Tensor, ...], high: tuple[Tensor, ...]) -> Tensor:
        import torch

        total = torch.zeros_like(self.phi)
        for axis, step in enumerate(self._spacing):
            pull = _central(edges, axis) / (2 * step)
            total += pull * torch.where(pull > 0, high[axis], low[axis])
        return total

    def _bent(self, low: tuple[Tensor, ...], high: tuple[Tensor, ...]) -> Tensor:
        import torch

        slopes = [(a + b) / 2 for a, b in zip(low, high, strict=True)]
        square = sum((slope**2 for slope in slopes), torch.zeros_like(self.phi))
        total = torch.zeros_like(self.phi)
        for axis, step in enumerate(self._spacing):
            total += (high[axis] - low[axis]) / step * (square - slopes[axis] ** 2)
            for other in range(axis):
                mixed = _central(_central(self.phi, axis), other)
                mixed /= 4 * step * self._spacing[other]
                total -= 2 * slopes[axis] * slopes[other] * mixed
        return torch.where(square < 1e-12, 0.0, total / square.clamp(min=1e-12))

    def _renew(self) -> None:
        """Make phi the distance to the contour again, as far as the band goes."""
        import torch

        outside = self.phi >= 0
        away, self._contour = self._by_slope(outside)
        away = away.where(self._contour | self._active, self._far).clamp(max=self._far)
        self._active = _spread(self._contour)
        inner = _spread(self._active)
        band = _spread(inner)
        away = away.where(band, self._far)
        known = away < self._far
        for _ in range(3):
            further = torch.minimum(away, self._solved(away))
            away = torch.where(band & ~known, further, away)
        self.phi = torch.where(outside, away, -away)
        self._outer = []
        for before, now in ((self._active, inner), (inner, band)):
            layer = (now & ~before).flatten().nonzero()[:, 0]
            self._outer.append((layer, _nearest(away.where(before, math.inf))[layer]))
        self._drift = 0.0

    def _by_slope(self, outside: Tensor) -> tuple[Tensor, Tensor]:
        """Distance to the contour, from phi and its slope, and whether a neighbour is beyond."""
        import torch

        square, contour = torch.zeros_like(self.phi), torch.zeros_like(outside)
        for axis, step in enumerate(self._spacing):
            slopes, size = self.phi.diff(dim=axis) / step, self.phi.shape[axis]
            crossed = outside.diff(dim=axis)
            steepest = torch.zeros_like(self.phi)
            for first in (0, 1):
                contour.narrow(axis, first, size - 1).logical_or_(crossed)
                part = steepest.narrow(axis, first, size - 1)
                part.copy_(torch.maximum(part, slopes.abs() * crossed))
            low, high = self._differences(axis)
            square += torch.maximum(steepest, ((low + high) / 2).abs()) ** 2
        sure = contour | (square >= 0.25)
        return (self.phi.abs() * square.rsqrt()).where(sure, math.inf), contour

    def _solved(self, away: Tensor) -> Tensor:
        """Distance whose gradient has the length 1, from that of neighbours along the axes."""
        import torch

        least = []
        for axis in range(away.ndim):
            near = torch.full_like(away, math.inf)
            size = away.shape[axis]
            for first, second in ((0, 1), (1, 0)):
                part = near.narrow(axis, first, size - 1)
                torch.minimum(part, away.narrow(axis, second, size - 1), out=part)
            least.append(near.where(near < self._far, math.inf))
        near, order = torch.stack(least).sort(dim=0)
        inverse = torch.tensor(self._spacing, device=away.device).double() ** -2
        a, b = torch.zeros_like(away), torch.zeros_like(away)
        c, found = torch.full_like(away, -1.0), torch.full_like(away, math.inf)
        for axis in range(away.ndim):
            used = (near[axis] < math.inf) & (found > near[axis])
            weight = torch.where(used, inverse[order[axis]], 0.0)
            at = near[axis].where(used, 0.0)
            a, b, c = a + weight, b + at * weight, c + at**2 * weight
            now = (b + (b * b - a * c).clamp(min=0).sqrt()) / a
            found = torch.where(used, now, found)
        return found


def _central(values: Tensor, axis: int) -> Tensor:
    """Voxel after minus voxel before; at the ends, the voxel itself is the missing one."""
    import torch

    size = values.shape[axis]
    ends = values.narrow(axis, 0, 1), values.narrow(axis, size - 1, 1)
    around = torch.cat([ends[0], values, ends[1]], dim=axis)
    return around.narrow(axis, 2, size) - around.narrow(axis, 0, size)


def _nearest(away: Tensor) -> Tensor:
    """Where the neighbour of each voxel is that is nearest to the contour."""
    import torch

    best = torch.full_like(away, math.inf)
    places = torch.arange(away.numel(), device=away.device).view(away.shape)
    found = places.clone()
    for axis, size in enumerate(away.shape):
        for first, second in ((1, 0), (0, 1)):
            ours = (axis, first, size - 1)
            theirs = (axis, second, size - 1)
            nearer = away.narrow(*theirs) < best.narrow(*ours) - _TIE
            found.narrow(*ours)[nearer] = places.narrow(*theirs)[nearer]
            best.narrow(*ours)[nearer] = away.narrow(*theirs)[nearer]
    return found.flatten()


def _spread(region: Tensor) -> Tensor:
    """A region with its neighbours over faces."""
    found = region.clone()
    for axis, size in enumerate(region.shape):
        for first, second in ((0, 1), (1, 0)):
            part = region.narrow(axis, second, size - 1)
            found.narrow(axis, first, size - 1).logical_or_(part)
    return found


def _far(spacing: tuple[float, ...]) -> float:
    """Longer than any distance in the band."""
    return 8 * max(spacing)


def _in_threads(count: int, work: Callable[[tuple[int, int]], None]) -> None:
    threads = min(computing_threads(), count // 4096 + 1)
    if threads == 1:
        work((0, count))
        return
    edges = [count * part // threads for part in range(threads + 1)]
    with ThreadPoolExecutor(threads, "medseg-level-set") as pool:
        list(pool.map(work, pairwise(edges)))
