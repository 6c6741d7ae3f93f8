"""Regions with a border that moves by whole voxels: packed on the CPU, tensors on CUDA."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from medseg.classical.edges import differences

if TYPE_CHECKING:
    from torch import Tensor

Offset = tuple[int, ...]


class Region(Protocol):
    """A region that changes in place, a step at a time; `bits` may be combined by & | ^ ~."""

    bits: Any
    allowed: Any

    def inside(self) -> Tensor:
        """The region as a (...) bool tensor."""
        ...

    def pack(self, other: Tensor) -> Any:
        """A (...) bool tensor as `bits` are."""
        ...

    def kept(self) -> Any:
        """The bits as they are now, whatever moves later."""
        ...

    def changed(self, since: Any) -> int:
        """In how many voxels it differs from earlier bits."""
        ...

    def faces(self) -> list[int]:
        """For each axis, how many neighbours along it lie on different sides."""
        ...

    def smooth(self, times: int) -> None:
        """Move every border by its curvature, `times` times, in both orders in turn."""
        ...

    def balloon(self, free: Any, *, outwards: bool) -> None:
        """Move the border by a voxel over faces, edges and corners, where `free` is set."""
        ...

    def attach_to_means(self, terms: NDArray[np.float64]) -> None:
        """Give voxels at the border to inside or outside, whose mean is nearer.

        `terms` are (2, 1 + C), of inside and outside: a weight, and the mean of each channel.
        """
        ...

    def attach_to_edges(self) -> None:
        """Move the border downhill by a voxel, on the edge map whose slopes were given."""
        ...

    def sums(self) -> NDArray[np.float64]:
        """Number of voxels inside, and the sum of each channel over them."""
        ...


def region_of(inside: Tensor, allowed: Tensor, fields: Tensor) -> Region:
    """Region to move on the device of `inside`.

    Parameters
    ----------
    inside, allowed : (...) bool tensors of 1 to 3 axes
    fields : (n, ...) float32 tensor
        Channels of an image for `attach_to_means`; slopes of an edge map, one for each axis,
        for `attach_to_edges`.
    """
    kind: Callable[..., Region] = TensorRegion if inside.is_cuda else PackedRegion
    return kind(inside, allowed, fields)


class PackedRegion:
    """A region of 64 voxels a word, of which only the box around it is worked on."""

    def __init__(self, inside: Tensor, allowed: Tensor, fields: Tensor) -> None:
        self._shape = tuple(inside.shape)
        self._solid = (1,) * (3 - inside.ndim) + self._shape
        self._fields = np.ascontiguousarray(fields.numpy().reshape(len(fields), *self._solid))
        self.bits = self.pack(inside)
        self.allowed = self.pack(allowed)
        self._spare, self._before = np.zeros_like(self.bits), np.zeros_like(self.bits)
        self._box = np.array([end for size in self.bits.shape for end in (1, size - 1)])
        self._reach = [(size, 0) for size in self.bits.shape]
        self._turn = 0
        self._sums = np.zeros(1 + len(self._fields))

    def inside(self) -> Tensor:
        """As `Region` says."""
        import torch

        inner = np.ascontiguousarray(self.bits[1:-1, 1:-1, 1:-1])
        array = np.unpackbits(inner.view(np.uint8), axis=-1, bitorder="little")
        kept = np.ascontiguousarray(array[..., : self._solid[-1]]).view(bool)
        return torch.from_numpy(kept.reshape(self._shape))

    def pack(self, other: Tensor) -> NDArray[np.uint64]:
        """As `Region` says."""
        solid = other.numpy().reshape(self._solid)
        words = -(-solid.shape[-1] // 64)
        packed = np.zeros((*(size + 2 for size in solid.shape[:2]), words + 2), np.uint64)
        rows = np.packbits(solid, axis=-1, bitorder="little")
        rows = np.pad(rows, ((0, 0), (0, 0), (0, 8 * words - rows.shape[-1])))
        packed[1:-1, 1:-1, 1:-1] = rows.view("<u8")
        return packed

    def kept(self) -> NDArray[np.uint64]:
        """As `Region` says."""
        return self.bits.copy()

    def changed(self, since: NDArray[np.uint64]) -> int:
        """As `Region` says."""
        return int(np.bitwise_count(self.bits ^ since).sum())

    def faces(self) -> list[int]:
        """As `Region` says."""
        found = []
        for axis, size in enumerate(self._solid):
            if axis == 2:
                ahead = (self.bits >> np.uint64(1))[..., 1:-1]
                ahead |= self.bits[..., 2:] << np.uint64(63)
                steps = ahead ^ self.bits[..., 1:-1]
                last = np.uint64(1) << np.uint64((size - 1) % 64)
                steps[..., -1] &= last - np.uint64(1)
            else:
                inner = self.bits.swapaxes(0, axis)[1:-1]
                steps = inner[1:] ^ inner[:-1]
            found.append(int(np.bitwise_count(steps).sum()))
        return found[3 - len(self._shape) :]

    def smooth(self, times: int) -> None:
        """As `Region` says."""
        from medseg.classical import _bit_plane_kernels as kernels

        if len(self._shape) == 1:
            return
        for _ in range(times):
            for erodes in (self._turn, 1 - self._turn):
                flip = np.uint64(2**64 - 1) if erodes else np.uint64(0)
                self._apply(kernels.dilated_least, flip)
            self._turn = 1 - self._turn

    def balloon(self, free: NDArray[np.uint64], *, outwards: bool) -> None:
        """As `Region` says."""
        from medseg.classical import _bit_plane_kernels as kernels

        flip = np.uint64(0) if outwards else np.uint64(2**64 - 1)
        self._apply(kernels.ballooned, flip, free)

    def attach_to_means(self, terms: NDArray[np.float64]) -> None:
        """As `Region` says."""
        from medseg.classical import _bit_plane_kernels as kernels

        self._apply(kernels.attached_to_means, self._fields, terms)

    def attach_to_edges(self) -> None:
        """As `Region` says."""
        from medseg.classical import _bit_plane_kernels as kernels

        self._apply(kernels.attached_to_edges, self._fields)

    def sums(self) -> NDArray[np.float64]:
        """As `Region` says."""
        from medseg.classical import _bit_plane_kernels as kernels

        self._enlarge()
        kernels.added(self._before, self.bits, self._box, self._fields, self._sums)
        first, end = self._box[::2], self._box[1::2]
        box = tuple(slice(*ends) for ends in zip(first, end, strict=True))
        self._before[box] = self.bits[box]
        return self._sums.copy()

    def _apply(self, kernel: Callable[..., None], *arguments: Any) -> None:
        self._enlarge()
        kernel(self.bits, self._spare, self.allowed, self._box, *arguments)
        self.bits, self._spare = self._spare, self.bits

    def _enlarge(self) -> None:
        """Make the box reach a word beyond the region; it never shrinks, so no buffer is stale."""
        first, end = self._box[::2], self._box[1::2]
        held = self.bits[tuple(slice(*ends) for ends in zip(first, end, strict=True))] != 0
        for axis in range(3):
            others = tuple(other for other in range(3) if other != axis)
            if len(places := np.flatnonzero(held.any(axis=others))):
                low, high = first[axis] + places[0] - 1, first[axis] + places[-1] + 2
                self._reach[axis] = (
                    min(self._reach[axis][0], max(low, 1)),
                    max(self._reach[axis][1], min(high, self.bits.shape[axis] - 1)),
                )
        self._box[:] = np.ravel(self._reach)


class TensorRegion:
    """A region as a bool tensor, worked on as a whole."""

    def __init__(self, inside: Tensor, allowed: Tensor, fields: Tensor) -> None:
        self.bits, self.allowed, self._fields = inside, allowed, fields
        self._turn = 0

    def inside(self) -> Tensor:
        """As `Region` says."""
        return self.bits

    def pack(self, other: Tensor) -> Tensor:
        """As `Region` says."""
        return other

    def kept(self) -> Tensor:
        """As `Region` says."""
        return self.bits

    def changed(self, since: Tensor) -> int:
        """As `Region` says."""
        return int((self.bits ^ since).sum())

    def faces(self) -> list[int]:
        """As `Region` says."""
        return [int(self.bits.diff(dim=axis).sum()) for axis in range(self.bits.ndim)]

    def smooth(self, times: int) -> None:
        """As `Region` says."""
        planes = _planes(self.bits.ndim)
        for _ in range(times if planes else 0):
            for erodes in (self._turn, 1 - self._turn):
                found = ~self.bits if erodes else self.bits
                found = _dilated_least(found, planes, beyond=bool(erodes))
                self.bits = (~found if erodes else found) & self.allowed
            self._turn = 1 - self._turn

    def balloon(self, free: Tensor, *, outwards: bool) -> None:
        """As `Region` says."""
        import torch

        cube = [list(product((-1, 0, 1), repeat=self.bits.ndim))]
        found = self.bits if outwards else ~self.bits
        found = _dilated_least(found, cube, beyond=not outwards)
        found = found if outwards else ~found
        self.bits = torch.where(free, found, self.bits) & self.allowed

    def attach_to_means(self, terms: NDArray[np.float64]) -> None:
        """As `Region` says."""
        cost = self._fields.new_zeros(self.bits.shape).double()
        for c, channel in enumerate(self._fields.double()):
            for sign, (weight, *means) in zip((1, -1), terms.tolist(), strict=True):
                cost += sign * weight * (channel - means[c]) ** 2
        border = self.bits & False
        for axis in range(self.bits.ndim):
            border |= differences(self.bits.float(), axis) != 0
        border &= self.allowed
        self.bits = (self.bits | border & (cost < 0)) & ~(border & (cost > 0))

    def attach_to_edges(self) -> None:
        """As `Region` says."""
        rise = self._fields.new_zeros(self.bits.shape)
        for axis, slopes in enumerate(self._fields):
            rise += slopes * differences(self.bits.float(), axis)
        self.bits = (self.bits | (rise > 0)) & (rise >= 0) & self.allowed

    def sums(self) -> NDArray[np.float64]:
        """As `Region` says."""
        values = self._fields[:, self.bits].double()
        count = float(values.shape[1])
        return np.array([count, *(float(channel.sum()) for channel in values)])


def _planes(ndim: int) -> list[list[Offset]]:
    """Offsets of the planes (3D) or lines (2D) of 3 voxels across; none in 1D."""
    cube = list(product((-1, 0, 1), repeat=ndim))
    normals = [
        normal
        for normal in cube
        if any(normal) and sum(map(abs, normal)) <= 2 and next(filter(None, normal)) > 0
    ]
    planes = [
        [each for each in cube if sum(map(lambda n, o: n * o, normal, each)) == 0]
        for normal in normals
    ]
    return planes if ndim > 1 else []


def _dilated_least(region: Tensor, planes: list[list[Offset]], *, beyond: bool) -> Tensor:
    """Voxels that all dilations by `planes` reach; `beyond` is what lies beyond the border."""
    from torch.nn.functional import pad

    around = pad(region, (1, 1) * region.ndim, value=beyond)
    views = {}
    for offset in product((-1, 0, 1), repeat=region.ndim):
        view = around
        for axis, step in enumerate(offset):
            view = view.narrow(axis, 1 + step, region.shape[axis])
        views[offset] = view
    found = None
    for plane in planes:
        reached = views[plane[0]].clone()
        for offset in plane[1:]:
            reached |= views[offset]
        found = reached if found is None else found & reached
    if found is None:
        raise ValueError("a dilation needs a structuring element")
    return found
