"""Cut patches from volumes, turned, scaled and bent on the way.

One interpolation does it all: the voxels of the patch are traced back into the volume, so
nothing larger than the patch is ever cut, and what lies beyond the volume is 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from medseg.tiling import most_likely

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
        Voxels along these axes.
    mirror : tuple of int
        Of these axes, those along which mirroring is allowed.
    matrix : (n, n) array
        Maps mm from the middle of the patch to mm from the centre in the volume.
    bend : (n, ...) array, optional
        Displacement in mm at knots spread evenly over the patch.
    """

    spacing: tuple[float, ...]
    patch: tuple[int, ...]
    mirror: tuple[int, ...] = ()
    matrix: NDArray[np.float64] = field(default_factory=lambda: np.eye(0))
    bend: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        if not self.matrix.size:
            object.__setattr__(self, "matrix", np.eye(len(self.patch)))

    @property
    def still(self) -> bool:
        """Whether it changes nothing."""
        return self.bend is None and np.array_equal(self.matrix, np.eye(len(self.patch)))

    def then(self, matrix: NDArray[np.float64]) -> Warp:
        """Return the warp with another matrix applied after it."""
        return replace(self, matrix=matrix @ self.matrix)


Placing = Callable[[Warp, np.random.Generator], Warp]


def rotation(warp: Warp, rng: np.random.Generator) -> Warp:
    """Turn about each axis by up to 20 degrees."""
    n = len(warp.patch)
    for a in range(n):
        for b in range(a + 1, n):
            angle = np.deg2rad(rng.uniform(-_MOST_DEGREES, _MOST_DEGREES))
            turn = np.eye(n)
            turn[[a, a, b, b], [a, b, a, b]] = (
                np.cos(angle),
                -np.sin(angle),
                np.sin(angle),
                np.cos(angle),
            )
            warp = warp.then(turn)
    return warp


def scaling(warp: Warp, rng: np.random.Generator) -> Warp:
    """Make the content larger or smaller."""
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
    extent = np.array(warp.patch) * warp.spacing
    knots = np.maximum(np.ceil(extent / _ELASTIC_KNOT_MM), 2).astype(int)
    return replace(warp, bend=rng.normal(scale=_ELASTIC_MM, size=(len(knots), *knots)))


def cut(
    image: Tensor, classes: Tensor, centre: Sequence[int], patch: Sequence[int], warp: Warp
) -> tuple[Tensor, Tensor]:
    """Cut a patch whose middle voxel is `centre`; beyond the volume there are zeros.

    Parameters
    ----------
    image : (C, ...) float tensor
    classes : (...) integer tensor
    centre, patch : sequence of int
        Voxels. Axes along which the patch has 1 are left out of the result.
    warp : Warp

    Returns
    -------
    (C, *patch) float tensor, (*patch) int64 tensor
    """
    for axis in reversed(range(len(patch))):
        if patch[axis] == 1:
            image = image.select(axis + 1, centre[axis])
            classes = classes.select(axis, centre[axis])
    middle = [c for c, side in zip(centre, patch, strict=True) if side > 1]
    if warp.still:
        target = _window(classes[None], middle, warp.patch)[0]
        return _window(image, middle, warp.patch), target.long()
    voxels = _sources(middle, warp)
    image, classes, first = _around(voxels, image, classes)
    grid = _grid(voxels - first, tuple(classes.shape)).to(image.device)[None]
    present = torch.bincount(classes.reshape(-1).long())[1:].nonzero()[:, 0] + 1
    masks = classes == present.reshape(-1, *[1] * classes.ndim)
    # Interpolated like the image, masks keep smooth borders where the nearest voxel gives steps.
    sampled = functional.grid_sample(
        torch.cat([image.float(), masks.float()])[None], grid, align_corners=False
    )[0]
    shares = sampled[len(image) :]
    background = 1 - shares.sum(0, keepdim=True)
    values = functional.pad(present, (1, 0))
    target = values[most_likely(torch.cat([background, shares])).long()]
    return sampled[: len(image)], target


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


def _window(volume: Tensor, centre: Sequence[int], patch: Sequence[int]) -> Tensor:
    """(C, *patch) voxels of (C, ...), 0 where there is no volume."""
    first = [c - p // 2 for c, p in zip(centre, patch, strict=True)]
    inside = volume
    pads: list[int] = []
    for axis, (start, side) in enumerate(zip(first, patch, strict=True), start=1):
        size = volume.shape[axis]
        low, high = max(start, 0), min(start + side, size)
        inside = inside.narrow(axis, low, high - low)
        pads = [low - start, start + side - high, *pads]
    return functional.pad(inside, pads) if any(pads) else inside


def _sources(centre: Sequence[int], warp: Warp) -> Tensor:
    """(*patch, n) coordinates, in voxels of the volume, from which the patch is read."""
    sides = warp.patch
    offsets = torch.meshgrid(*(torch.arange(p) - p // 2 for p in sides), indexing="ij")
    spacing = np.array(warp.spacing)
    # Voxels of the patch -> mm -> mm in the volume -> voxels of the volume.
    matrix = torch.tensor(warp.matrix * spacing / spacing[:, None], dtype=torch.float32)
    voxels = torch.stack(offsets, dim=-1).float() @ matrix.T
    if warp.bend is not None:
        bend = torch.tensor(warp.bend / spacing.reshape(-1, *[1] * len(sides))).float()
        mode = {2: "bicubic", 3: "trilinear"}[len(sides)]
        smooth = functional.interpolate(bend[None], sides, mode=mode, align_corners=True)[0]
        voxels += smooth.movedim(0, -1)
    return voxels + torch.tensor(centre, dtype=torch.float32)


def _grid(voxels: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Coordinates as `grid_sample` wants them: last axis first, in [-1, 1]."""
    # From edge to edge of the volume, not from centre to centre, between which a volume of one
    # slice has no extent to be measured in.
    return ((2 * voxels + 1) / torch.tensor(shape) - 1).flip(-1)
