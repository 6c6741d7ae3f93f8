"""Cut patches from volumes, turned, scaled and bent on the way.

One interpolation does it all: the voxels of the patch are traced back into the volume, so
nothing larger than the patch is ever cut. What lies beyond the volume is 0; for a network with a
margin, it is the volume mirrored, and so are its labels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from medseg.device import computing_threads
from medseg.tiling import folded, most_likely, reflected

_MOST_DEGREES = 20.0
_SCALES = 0.8, 1.25
_ELASTIC_MM, _ELASTIC_KNOT_MM = 2.0, 12.0


@dataclass(frozen=True, eq=False)
class Warp:
    """Where the voxels of a patch come from.

    Parameters
    ----------
    spacing : tuple of float
        Mm, of the axes that the network sees.
    patch : tuple of int
        Voxels along these axes for which the network gives logits.
    mirror : tuple of int
        Of these axes, those along which mirroring is allowed.
    matrix : (n, n) array
        Maps mm from the middle of the patch to mm from the centre in the volume.
    bend : (n, ...) array, optional
        Displacement in mm at knots spread evenly over all that is seen.
    margin : tuple of int
        Voxels that the network sees beyond each end of the patch.
    """

    spacing: tuple[float, ...]
    patch: tuple[int, ...]
    mirror: tuple[int, ...] = ()
    matrix: NDArray[np.float64] = field(default_factory=lambda: np.eye(0))
    bend: NDArray[np.float64] | None = None
    margin: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "margin", self.margin or (0,) * len(self.patch))
        if not self.matrix.size:
            object.__setattr__(self, "matrix", np.eye(len(self.patch)))

    @property
    def seen(self) -> tuple[int, ...]:
        """Voxels that the network sees: the patch and its margin."""
        return tuple(p + 2 * m for p, m in zip(self.patch, self.margin, strict=True))

    @property
    def upright(self) -> bool:
        """Whether it changes nothing, or mirrors at most."""
        return self.bend is None and np.array_equal(np.abs(self.matrix), np.eye(len(self.patch)))

    def then(self, matrix: NDArray[np.float64]) -> Warp:
        """Return the warp with another matrix applied after it."""
        return replace(self, matrix=matrix @ self.matrix)


Placing = Callable[[Warp, np.random.Generator], Warp]


def rotation(warp: Warp, rng: np.random.Generator, *, chance: float = 1.0) -> Warp:
    """Turn about each axis by up to 20 degrees, always or by a chance."""
    n = len(warp.patch)
    if rng.random() >= chance:
        return warp
    for a in range(n):
        for b in range(a + 1, n):
            warp = warp.then(turn(n, (a, b), rng.uniform(-_MOST_DEGREES, _MOST_DEGREES)))
    return warp


def turn(n: int, plane: tuple[int, int], degrees: float) -> NDArray[np.float64]:
    """(n, n) matrix that turns two axes into each other."""
    angle, (a, b) = np.deg2rad(degrees), plane
    matrix = np.eye(n)
    matrix[[a, a, b, b], [a, b, a, b]] = (
        np.cos(angle),
        -np.sin(angle),
        np.sin(angle),
        np.cos(angle),
    )
    return matrix


def scaling(warp: Warp, rng: np.random.Generator, *, chance: float = 1.0) -> Warp:
    """Make the content larger or smaller, always or by a chance."""
    if rng.random() >= chance:
        return warp
    factor = np.exp(rng.uniform(*np.log(_SCALES)))
    return warp.then(np.eye(len(warp.patch)) / factor)


def mirroring(warp: Warp, rng: np.random.Generator) -> Warp:
    """Mirror along each axis that allows it, with an even chance."""
    signs = np.ones(len(warp.patch))
    for axis in warp.mirror:
        signs[axis] = rng.choice((-1, 1))
    return warp.then(np.diag(signs))


def elastic(warp: Warp, rng: np.random.Generator) -> Warp:
    """Bend smoothly, in a fifth of the patches, by about 2 mm at knots 12 mm apart."""
    if rng.random() >= 0.2:
        return warp
    extent = np.array(warp.seen) * warp.spacing
    knots = np.maximum(np.ceil(extent / _ELASTIC_KNOT_MM), 2).astype(int)
    return replace(warp, bend=rng.normal(scale=_ELASTIC_MM, size=(len(knots), *knots)))


def cut(
    image: Tensor, classes: Tensor, centre: Sequence[int], patch: Sequence[int], warp: Warp
) -> tuple[Tensor, Tensor]:
    """Cut a patch whose middle voxel is `centre`, the image with its margin.

    Parameters
    ----------
    image : (C, ...) float tensor
    classes : (...) integer tensor
    centre, patch : sequence of int
        Voxels. Axes along which the patch has 1 are left out of the result.
    warp : Warp

    Returns
    -------
    (C, *(patch + 2 * margin)) float tensor, (*patch) int64 tensor
    """
    for axis in reversed(range(len(patch))):
        if patch[axis] == 1:
            image = image.select(axis + 1, centre[axis])
            classes = classes.select(axis, centre[axis])
    middle = [c for c, side in zip(centre, patch, strict=True) if side > 1]
    if not warp.upright:
        compiled = image.device.type == "cpu" and not any(warp.margin)
        return (_compiled if compiled else _warped)(image, classes, middle, warp)
    window = reflected if any(warp.margin) else _zero_padded
    turned = [axis for axis, sign in enumerate(np.diag(warp.matrix)) if sign < 0]
    # Mirrored, a patch of an even side reaches as far to the right as it would to the left.
    first = [
        c - (p - 1) // 2 if axis in turned else c - p // 2
        for axis, (c, p) in enumerate(zip(middle, warp.patch, strict=True))
    ]
    seen_from = [f - m for f, m in zip(first, warp.margin, strict=True)]
    target = window(classes[None], first, warp.patch)[0].flip(turned)
    seen = window(image, seen_from, warp.seen).flip([axis + 1 for axis in turned])
    return seen, target.long()


def _warped(
    image: Tensor, classes: Tensor, centre: Sequence[int], warp: Warp
) -> tuple[Tensor, Tensor]:
    voxels = _sources(centre, warp)
    if any(warp.margin):
        along = zip(voxels.unbind(-1), classes.shape, strict=True)
        voxels = torch.stack([folded(one, size) for one, size in along], dim=-1)
    image, classes, first = _around(voxels, image, classes)
    grid = _grid(voxels - first, tuple(classes.shape)).to(image.device)
    inner = grid[tuple(slice(m, m + p) for m, p in zip(warp.margin, warp.patch, strict=True))]
    present = torch.bincount(classes.reshape(-1).long())[1:].nonzero()[:, 0] + 1
    masks = classes == present.reshape(-1, *[1] * classes.ndim)
    # Interpolated like the image, masks keep smooth borders where the nearest voxel gives steps.
    shares = _interpolated(masks, inner)
    background = 1 - shares.sum(0, keepdim=True)
    values = functional.pad(present, (1, 0))
    target = values[most_likely(torch.cat([background, shares])).long()]
    return _interpolated(image, grid), target


def _compiled(
    image: Tensor, classes: Tensor, centre: Sequence[int], warp: Warp
) -> tuple[Tensor, Tensor]:
    """As `_warped`, on the CPU and without a margin."""
    from medseg.learning import _placing_kernels

    flat = 3 - len(warp.patch)  # axes of one voxel, which a picture has in front
    values = np.ascontiguousarray(image.float().numpy()[(slice(None), *(None,) * flat)])
    labels = np.ascontiguousarray(classes.numpy()[(None,) * flat])
    patch = (*(1,) * flat, *warp.patch)
    affine = np.eye(3, 4, dtype=np.float32)
    affine[flat:, flat:3] = _in_voxels(warp)
    affine[flat:, 3] = centre - _in_voxels(warp) @ [side // 2 for side in warp.patch]
    out = np.empty((patch[0], len(values), *patch[1:]), np.float32)
    target = np.empty(patch, np.int64)
    bend = np.zeros((patch[0], 3, *patch[1:]) if warp.bend is not None else (0,) * 4, np.float32)
    if warp.bend is not None:
        bend[:, flat:] = _bend(warp.bend, warp).reshape(-1, *patch).movedim(0, 1).numpy()
    threads = min(computing_threads(), patch[0])

    def fill(first: int, last: int) -> None:
        moved = affine.copy()
        moved[:, 3] += affine[:, 0] * first
        slab = slice(first, last)
        _placing_kernels.warp(values, labels, moved, bend[slab], out[slab], target[slab])

    ends = [patch[0] * n // threads for n in range(threads + 1)]
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(fill, ends[:-1], ends[1:]))
    found = torch.from_numpy(out).movedim(1, 0).reshape(-1, *warp.patch)
    return found, torch.from_numpy(target).reshape(warp.patch)


def _interpolated(volume: Tensor, grid: Tensor) -> Tensor:
    """(C, *patch) linearly interpolated values of (C, ...)."""
    return functional.grid_sample(volume.float()[None], grid[None], align_corners=False)[0]


def _around(voxels: Tensor, image: Tensor, classes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Crop a volume to the voxels that interpolation will touch; also where the crop begins."""
    n = classes.ndim
    low, high = voxels.reshape(-1, n).amin(0).floor(), voxels.reshape(-1, n).amax(0).ceil()
    first = torch.zeros(n)
    for axis, size in enumerate(classes.shape):
        # One voxel at least, where the patch lies wholly outside.
        start = min(max(int(low[axis]), 0), size - 1)
        stop = max(min(int(high[axis]) + 1, size), start + 1)
        image = image.narrow(axis + 1, start, stop - start)
        classes = classes.narrow(axis, start, stop - start)
        first[axis] = start
    return image, classes, first


def _zero_padded(volume: Tensor, first: Sequence[int], sides: Sequence[int]) -> Tensor:
    """(C, *sides) voxels of (C, ...) from `first` on, 0 where there is no volume."""
    inside = volume
    pads: list[int] = []
    for axis, (start, side) in enumerate(zip(first, sides, strict=True), start=1):
        size = volume.shape[axis]
        low, high = max(start, 0), min(start + side, size)
        inside = inside.narrow(axis, low, high - low)
        pads = [low - start, start + side - high, *pads]
    return functional.pad(inside, pads) if any(pads) else inside


def _sources(centre: Sequence[int], warp: Warp) -> Tensor:
    """(*seen, n) coordinates, in voxels of the volume, from which all that is seen is read."""
    sides = warp.seen
    offsets = torch.meshgrid(*(torch.arange(n) - n // 2 for n in sides), indexing="ij")
    voxels = torch.stack(offsets, dim=-1).float() @ torch.from_numpy(_in_voxels(warp)).float().T
    if warp.bend is not None:
        voxels += _bend(warp.bend, warp).movedim(0, -1)
    return voxels + torch.tensor(centre, dtype=torch.float32)


def _in_voxels(warp: Warp) -> NDArray[np.float64]:
    """Matrix of voxels of the patch -> mm -> mm in the volume -> voxels of the volume."""
    spacing = np.array(warp.spacing)
    return np.asarray(warp.matrix * spacing / spacing[:, None])


def _bend(knots: NDArray[np.float64], warp: Warp) -> Tensor:
    """(n, *seen) displacements in voxels."""
    sides = warp.seen
    voxels = torch.tensor(knots / np.reshape(warp.spacing, (-1, *[1] * len(sides)))).float()
    mode = {2: "bicubic", 3: "trilinear"}[len(sides)]
    return functional.interpolate(voxels[None], sides, mode=mode, align_corners=True)[0]


def _grid(voxels: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Coordinates as `grid_sample` wants them: last axis first, in [-1, 1]."""
    # From edge to edge of the volume, not from centre to centre, between which a volume of one
    # slice has no extent to be measured in.
    return ((2 * voxels + 1) / torch.tensor(shape) - 1).flip(-1)
