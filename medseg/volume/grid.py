"""Where the voxels of a volume sit in the world."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Unit = Literal["mm", "um", "m", "unknown"]
# Mm. What lies beyond is no place of a voxel but a damaged header, and would overflow.
_FARTHEST, _SMALLEST = 1e12, 1e-6


@dataclass(frozen=True, eq=False)
class Grid:
    """Shape and position of voxels.

    Parameters
    ----------
    shape : tuple of int
        Voxels along each of the n = 2 or 3 spatial axes.
    affine : (n + 1, n + 1) float array
        Maps homogeneous voxel indices to millimetres, RAS+; made read-only.
    code : int
        What world the affine speaks of, as in NIfTI: 0 unknown, 1 scanner, 2 aligned,
        3 Talairach, 4 MNI.
    unit : str
        Unit of length in the file that the grid came from. In memory it is always mm; an
        output is written in the unit of its input.

    Raises
    ------
    ValueError
        If the shape is not 2D or 3D, or the affine does not fit it or is singular.
    """

    shape: tuple[int, ...]
    affine: NDArray[np.float64]
    code: int = 1
    unit: Unit = "mm"

    def __post_init__(self) -> None:
        n = len(self.shape)
        if n not in (2, 3):
            raise ValueError(f"a grid has 2 or 3 spatial axes, got shape {self.shape}")
        if min(self.shape) < 1:
            raise ValueError(f"a grid has at least one voxel along each axis, got {self.shape}")
        affine = np.array(self.affine, dtype=np.float64)
        if affine.shape != (n + 1, n + 1):
            raise ValueError(
                f"a {n}D grid needs a {n + 1}x{n + 1} affine, got shape {affine.shape}"
            )
        if not np.isfinite(affine).all():
            raise ValueError(f"the affine has entries that are no numbers: {affine.tolist()}")
        if np.abs(affine).max() > _FARTHEST:
            raise ValueError(f"the affine leads farther than {_FARTHEST:g} mm: {affine.tolist()}")
        _require_axes(affine[:n, :n])
        affine.flags.writeable = False
        object.__setattr__(self, "shape", tuple(int(size) for size in self.shape))
        object.__setattr__(self, "affine", affine)

    @classmethod
    def from_spacing(cls, shape: tuple[int, ...], spacing: ArrayLike = 1.0) -> Grid:
        """Axis-aligned grid with its first voxel at the origin; `spacing` in mm."""
        zooms = np.asarray(spacing, dtype=float)
        if zooms.ndim and len(zooms) != len(shape):
            raise ValueError(f"spacing needs {len(shape)} values (mm), got {zooms.tolist()}")
        return cls(shape, np.diag([*np.broadcast_to(zooms, len(shape)), 1.0]))

    @property
    def ndim(self) -> int:
        """Number of spatial axes, 2 or 3."""
        return len(self.shape)

    @property
    def spacing(self) -> tuple[float, ...]:
        """Distance in mm between neighbouring voxel centres along each axis."""
        zooms = np.linalg.norm(self.affine[:-1, :-1], axis=0)
        # Headers hold float32; without rounding 0.7 mm would print as 0.6999999881.
        return tuple(round(float(zoom), 6) for zoom in zooms)

    def matches(self, other: Grid, tolerance: float = 0.05) -> bool:
        """Whether both grids have the same voxels; corners may differ by `tolerance` voxels."""
        if self.shape != other.shape:
            return False
        if np.array_equal(self.affine, other.affine):  # as most often, and soon found out
            return True
        # Rounding in file headers grows with the voxel index, so compare the far corners too.
        ends = [(0.0, size - 1.0) for size in self.shape]
        corners = np.array([(*corner, 1.0) for corner in product(*ends)])
        moved = corners @ (np.linalg.inv(self.affine) @ other.affine).T
        return bool(np.abs(moved - corners).max() <= tolerance)


def require_match(first: Grid, second: Grid, what: str, than: str = "the image") -> None:
    """Raise ValueError unless both agree; the message calls the second `what`, the first `than`."""
    if first.matches(second):
        return
    if (first.shape, first.spacing) == (second.shape, second.spacing):
        raise ValueError(
            f"{what} lies elsewhere in the world than {than}: origin "
            f"{_origin(second)} mm against {_origin(first)} mm, or turned; resample it first"
        )
    raise ValueError(
        f"{what} lies on another grid than {than}: shape {second.shape}, spacing "
        f"{second.spacing} mm against {first.shape}, {first.spacing} mm; resample it first"
    )


def _origin(grid: Grid) -> tuple[float, ...]:
    return tuple(round(float(x), 3) for x in grid.affine[:-1, -1])


def _require_axes(axes: NDArray[np.float64]) -> None:
    lengths = np.linalg.norm(axes, axis=0)
    if (lengths < _SMALLEST).any():
        raise ValueError(f"the affine has a voxel size of 0 mm: {axes.tolist()}")
    if abs(np.linalg.det(axes / lengths)) < 1e-6:
        raise ValueError(f"the affine collapses an axis: {axes.tolist()}")
