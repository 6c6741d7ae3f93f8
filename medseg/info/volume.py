"""Facts of one volume."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medseg.dataset import Dataset
from medseg.info.oddities import odd_grid, odd_image, odd_labels
from medseg.io import READERS, read_stored, suffix_of
from medseg.measuring import counted, voxel_size
from medseg.volume import BACKGROUND, Grid, orientation

_FEW = 16
_EQUAL = 0.5


@dataclass(frozen=True)
class LabelInfo:
    """One label of a label map.

    Parameters
    ----------
    label : int
    name : str
        "" where nothing says it.
    voxels : int
    size : float
    unit : str
        Of the size: "ml", in 2D "cm2".
    """

    label: int
    name: str
    voxels: int
    size: float
    unit: str


@dataclass(frozen=True)
class VolumeInfo:
    """What a file holds.

    Parameters
    ----------
    path, format, dtype : str
        The dtype is that of the numbers with the slope of the header applied.
    shape : tuple of int
    spacing : tuple of float, mm
    orientation : str
        Direction in which each axis runs, as RAS.
    channels : int
    low, high : float or None
        Range of the finite numbers; None where there are none.
    labels : tuple of LabelInfo
        Background left out; empty of what does not look like a label map.
    is_labels : bool
        Whether it looks like a label map: whole numbers, few of them or in large patches.
    odd : tuple of str
        What one may stumble over.
    """

    path: str
    format: str
    dtype: str
    shape: tuple[int, ...]
    spacing: tuple[float, ...]
    orientation: str
    channels: int
    low: float | None
    high: float | None
    is_labels: bool
    labels: tuple[LabelInfo, ...]
    odd: tuple[str, ...]


def volume_info(path: Path, series: str = "") -> VolumeInfo:
    """Read a volume and say what it is."""
    array, grid = read_stored(path, series)
    low, high = _range(array)
    is_labels = len(array) == 1 and looks_like_labels(array[0])
    counts = counted(array[0]) if is_labels else {}
    found = odd_labels(counts, array.dtype) if is_labels else odd_image(array)
    return VolumeInfo(
        path=str(path),
        format=_format(path),
        dtype=array.dtype.name,
        shape=grid.shape,
        spacing=grid.spacing,
        orientation=orientation(grid),
        channels=len(array),
        low=low,
        high=high,
        is_labels=is_labels,
        labels=_labels(counts, _names(path), grid),
        odd=(*odd_grid(path, grid), *found),
    )


def _range(array: NDArray) -> tuple[float | None, float | None]:
    """Lowest and highest finite number; None where there is none."""
    low, high = float(array.min()), float(array.max())
    if np.isfinite(low) and np.isfinite(high):  # NaN would be the minimum
        return low, high
    finite = array[np.isfinite(array)]
    return (float(finite.min()), float(finite.max())) if finite.size else (None, None)


def looks_like_labels(array: NDArray) -> bool:
    """Whether the numbers are whole, and few or in patches, as no image has them."""
    if array.dtype.kind not in "iub":
        some = array.ravel(order="K")[::97]
        if not all(np.isfinite(x).all() and (x == np.rint(x)).all() for x in (some, array)):
            return False
    if len(np.unique(array.ravel(order="K")[:: max(array.size // 100_000, 1)])) <= _FEW:
        return len(counted(array)) <= _FEW
    axis = int(np.argmax(array.shape))
    first = array.take(range(array.shape[axis] - 1), axis)
    second = array.take(range(1, array.shape[axis]), axis)
    # Not those of the background, which a stripped brain has as well.
    inside = (first != BACKGROUND) | (second != BACKGROUND)
    return bool((first == second)[inside].mean() > _EQUAL)


def _labels(
    counts: Mapping[int, int], names: Mapping[int, str], grid: Grid
) -> tuple[LabelInfo, ...]:
    voxel, unit = voxel_size(grid)
    return tuple(
        LabelInfo(value, names.get(value, ""), count, round(count * voxel, 6), unit)
        for value, count in counts.items()
        if value != BACKGROUND
    )


def _names(path: Path) -> Mapping[int, str]:
    """Names of the labels, if the file is one of a data set that says them."""
    root = path.resolve().parent.parent
    if not (root / "dataset.json").is_file():
        return {}
    try:
        return Dataset.read(root).names
    except (ValueError, OSError):  # it is about the file, not about what lies around it
        return {}


def _format(path: Path) -> str:
    return "DICOM series" if path.is_dir() else READERS.summary(suffix_of(path))
