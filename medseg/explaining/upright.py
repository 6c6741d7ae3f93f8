"""Arrays as they are looked at."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def across(shape: tuple[int, ...]) -> int:
    """Axis of (a, b, c) that is not seen: one of a single voxel, or the last, so axial planes."""
    single = [axis for axis in (2, 1, 0) if shape[axis] == 1]
    return single[0] if single else 2


def plane(array: NDArray, at: int | None = None) -> NDArray:
    """(..., rows, columns) of an array (K, a, b) or (K, a, b, c), as it stands on the screen.

    Of three axes, the plane `at`, or the middle one, in radiological view.
    """
    if array.ndim == 3:
        return array.swapaxes(-1, -2)
    axis = across(array.shape[1:])
    where: int = array.shape[axis + 1] // 2 if at is None else at
    cut: NDArray = array.take(where, axis + 1)
    return cut.swapaxes(-1, -2)[..., ::-1, ::-1]


def planes(array: NDArray) -> list[NDArray]:
    """All such planes of (K, a, b) or (K, a, b, c), from the first to the last."""
    if array.ndim == 3:
        return [plane(array)]
    return [plane(array, k) for k in range(array.shape[across(array.shape[1:]) + 1])]


def seen_spacing(spacing: tuple[float, ...], shape: tuple[int, ...]) -> tuple[float, float]:
    """Distance of rows and of columns in such a plane."""
    kept = list(spacing)
    if len(kept) == 3:
        del kept[across(shape)]
    return kept[1], kept[0]


def at_share(share: float, size: int) -> int:
    """Index at a share of an axis."""
    return int(np.clip(share * size, 0, size - 1))
