"""A level set that is known everywhere, moved in torch."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from medseg.classical.forces import DRIFT, FLAT, SLIGHT, TIE, Forces, Ground, farthest

if TYPE_CHECKING:
    from torch import Tensor


class TensorSurface:
    """A function that is computed everywhere, in torch."""

    def __init__(self, label: int, ground: Ground, spacing: tuple[float, ...]) -> None:
        import torch

        self._label, self._ground, self._spacing = label, ground, spacing
        self._far, self._least = farthest(spacing), min(spacing)
        inside = ground.owners == label
        self.phi = torch.where(inside, -self._far, self._far).double()
        self._active = torch.zeros_like(inside)
        self._renew()

    def step(self, forces: Forces, time: float) -> Tensor:
        """As `Surface` says."""
        import torch

        if self._drifted():
            self._renew()
        least = SLIGHT * self._least
        # Where speeds part the voxels on both sides, phi would become ever steeper; but what a
        # gate holds shall not shrink until rounding lets it through.
        now = self.phi + time * self._rate(forces)
        change = now / self._steepest().minimum(now.abs() / least).clamp(min=1) - self.phi
        ours = (self._ground.owners == 0) | (self._ground.owners == self._label)
        shut = self._active & ~(ours & self._ground.allowed)
        found = torch.where(self._active, self.phi + change, self.phi)
        found = torch.where(shut, found.clamp(min=least), found)
        change = (found - self.phi).flatten()
        before = self.phi.flatten()[self._followers]
        after = before + change[self._leaders]
        after = torch.where(before < 0, after.clamp(max=-least), after.clamp(min=least))
        found.view(-1)[self._followers] = after
        inside = found < 0
        turned = (inside != (self.phi < 0)).flatten().nonzero()[:, 0]
        self._ground.owners.view(-1)[turned] = self._label * inside.flatten()[turned].int()
        self.phi = found
        self._travelled += time * forces.fastest(self._least)
        return turned

    def faces(self) -> list[int]:
        """As `Surface` says."""
        inside = self.phi < 0
        return [int(inside.diff(dim=axis).sum()) for axis in range(inside.ndim)]

    def _drifted(self) -> bool:
        limit = DRIFT * self._least
        if self._travelled <= limit:
            return False
        gone = (self.phi - self._was).abs()[self._contour]
        return len(gone) > 0 and float(gone.max()) > limit

    def _steepest(self) -> Tensor:
        """Largest slope across the contour, 1 at least."""
        import torch

        found, outside = torch.ones_like(self.phi), self.phi >= 0
        for axis, step in enumerate(self._spacing):
            slopes = self.phi.diff(dim=axis).abs() / step * outside.diff(dim=axis)
            for first in (0, 1):
                part = found.narrow(axis, first, found.shape[axis] - 1)
                part.copy_(torch.maximum(part, slopes))
        return found

    def _rate(self, forces: Forces) -> Tensor:
        """Change of phi by time."""
        import torch

        low, high = zip(*(self._differences(axis) for axis in range(self.phi.ndim)), strict=True)
        speed = forces.speed(slice(None)).view(self.phi.shape) * self._ground.allowed.double()
        bent = torch.zeros_like(self.phi)
        if forces.curvature:
            bent = forces.curvature * self._bent(low, high)
        if forces.gates is not None:
            # No bend is tighter than a voxel: with steeper ones, phi could jump over a gate.
            most = forces.curvature / self._least
            speed, bent = speed - bent.clamp(-most, most), torch.zeros_like(bent)
            low, high = _gated(forces.gates.double(), low, high)
        rate = -_upwind(speed, low, high)
        if forces.edges is not None:
            edges = forces.edges.double()
            bent = bent * edges
            if forces.advection:
                rate += forces.advection * self._pulled(edges, low, high)
        return rate + bent

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
        return torch.where(square < FLAT, 0.0, total / square.clamp(min=FLAT))

    def _renew(self) -> None:
        """Make phi the distance to the contour again, three voxels about those beside it.

        Fronts pass through the first two layers of these; the others follow.
        """
        import torch

        outside = self.phi >= 0
        away, self._contour = self._by_slope(outside)
        away = away.where(self._contour | self._active, self._far)
        away = away.clamp(SLIGHT * self._least, self._far)
        self._active = _spread(self._contour)
        inner = _spread(self._active)
        band = _spread(inner)
        away = away.where(band, self._far)
        known = away < self._far
        for _ in range(3):
            further = torch.minimum(away, self._solved(away))
            away = torch.where(band & ~known, further, away)
        self.phi = self._was = torch.where(outside, away, -away)
        leaders = torch.arange(away.numel(), device=away.device)
        for before, now in ((self._active, inner), (inner, band)):
            layer = (now & ~before).flatten().nonzero()[:, 0]
            leaders[layer] = leaders[_nearest(away.where(before, math.inf))[layer]]
        self._followers = (band & ~self._active).flatten().nonzero()[:, 0]
        self._leaders = leaders[self._followers]
        self._travelled = 0.0

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


def _gated(
    gates: Tensor, low: tuple[Tensor, ...], high: tuple[Tensor, ...]
) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Slopes scaled by the gates between voxels and their neighbours."""
    # What comes round from the other end meets a slope of 0.
    before = tuple(gates[axis].roll(1, axis) * slope for axis, slope in enumerate(low))
    after = tuple(gate * slope for gate, slope in zip(gates, high, strict=True))
    return before, after


def _upwind(speed: Tensor, low: tuple[Tensor, ...], high: tuple[Tensor, ...]) -> Tensor:
    """Speed times the length of the gradient, from where the contour comes."""
    import torch

    forwards, backwards = torch.zeros_like(speed), torch.zeros_like(speed)
    for before, after in zip(low, high, strict=True):
        forwards += torch.maximum(before, -after).clamp(min=0) ** 2
        backwards += torch.maximum(-before, after).clamp(min=0) ** 2
    return speed * torch.where(speed > 0, forwards, backwards).sqrt()


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
            nearer = away.narrow(*theirs) < best.narrow(*ours) - TIE
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
