"""What one may stumble over in a volume, a line each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medseg.io import suffix_of
from medseg.volume import BACKGROUND, Grid

_ANISOTROPIC = 2.0
_SMALL_VOXEL, _LARGE_VOXEL = 1e-4, 20.0
_FEW_VOXELS, _MANY_VOXELS = 8, 512**3
_MANY_LABELS, _MANY_CHANNELS = 1000, 16
_SHOWN = 8
_SHEARED = 1e-3


def odd_grid(path: Path, grid: Grid) -> list[str]:
    """What is odd about where the voxels are."""
    found = []
    low, high = min(grid.spacing), max(grid.spacing)
    kept = [mm for mm, size in zip(grid.spacing, grid.shape, strict=True) if size > 1]
    if kept and max(kept) >= _ANISOTROPIC * min(kept):
        ratio = max(kept) / min(kept)
        found.append(f"it is anisotropic: {ratio:.1f} times as coarse along one axis")
    if low < _SMALL_VOXEL or high > _LARGE_VOXEL:
        found.append(f"voxels of {low:g} to {high:g} mm; is the unit right?")
    axes = grid.affine[:-1, :-1] / np.linalg.norm(grid.affine[:-1, :-1], axis=0)
    if np.abs(axes.T @ axes - np.eye(grid.ndim)).max() > _SHEARED:
        found.append("its axes are not at right angles (sheared)")
    voxels = int(np.prod(grid.shape))
    if voxels == 1:
        found.append("it is a single voxel")
    elif any(1 < size < _FEW_VOXELS for size in grid.shape):
        found.append(f"an axis has fewer than {_FEW_VOXELS} voxels")
    if voxels > _MANY_VOXELS:
        found.append(f"it has {voxels} voxels, {voxels * 4 / 2**30:.1f} GiB a channel in memory")
    return found + _odd_header(path, grid)


def odd_image(array: NDArray) -> list[str]:
    """What is odd about the numbers of a (C, ...) array."""
    found = []
    with np.errstate(invalid="ignore"):  # of infinity and minus infinity together
        total = array.sum(dtype=np.float64)  # finite only if all numbers are
    if not np.isfinite(total) and (strange := int((~np.isfinite(array)).sum())):
        found.append(f"{strange} voxels are NaN or infinite; --nan 0 puts 0 in their place")
    for number, channel in enumerate(array):
        which = f"channel {number}" if len(array) > 1 else "it"
        first = channel.flat[0]
        if channel.min() == channel.max() == first:
            found.append(f"{which} is {first:g} everywhere")
        for other in range(number):
            if np.array_equal(channel, array[other]):
                found.append(f"channel {number} is the same as channel {other}")
                break
    if len(array) > _MANY_CHANNELS:
        found.append(f"it has {len(array)} channels; is it a series over time?")
    return found


def odd_labels(counts: Mapping[int, int], dtype: Any) -> list[str]:
    """What is odd about a label map with so many voxels of each label."""
    values = [value for value in counts if value != BACKGROUND]
    found = []
    if not values:
        found.append("it is 0 everywhere")
    elif len(counts) == 1:
        found.append(f"it is {values[0]} everywhere")
    if np.dtype(dtype).kind == "f":
        found.append(f"its labels are stored as {np.dtype(dtype).name}")
    if negative := [value for value in values if value < BACKGROUND]:
        found.append(f"labels below 0: {_listed(negative)}")
    if single := [value for value in values if counts[value] == 1]:
        found.append(f"labels of a single voxel: {_listed(single)}")
    if len(values) > _MANY_LABELS:
        found.append(f"it has {len(values)} labels")
    return found


def _listed(values: list[int]) -> str:
    more = f" and {len(values) - _SHOWN} more" if len(values) > _SHOWN else ""
    return ", ".join(map(str, values[:_SHOWN])) + more


def _odd_header(path: Path, grid: Grid) -> list[str]:
    suffix = "" if path.is_dir() else suffix_of(path)
    if suffix not in (".nii", ".nii.gz", ".hdr", ".img"):
        return []
    from medseg.io.nifti import header_of, mended_of

    header = header_of(path)
    return [f"in its header, {line}" for line in mended_of(path)] + _odd_forms(header, grid)


def _odd_forms(header: Any, grid: Grid) -> list[str]:
    if "sform_code" not in header:
        return ["Analyze does not say which side is left; it is taken as ITK and SPM take it"]
    codes = int(header["sform_code"]), int(header["qform_code"])
    if not any(codes):
        return ["its header does not say where it lies: sform and qform are both unset"]
    return _disagreement(header, grid) if all(codes) else []


def _disagreement(header: Any, grid: Grid) -> list[str]:
    try:
        sform, qform = (Grid(grid.shape, form) for form in (header.get_sform(), header.get_qform()))
    except ValueError as error:
        return [f"its qform is none, the sform counts: {error}"]
    if sform.matches(qform):
        return []
    moved = np.abs(sform.affine - qform.affine)[:3, 3].max()
    return [f"sform and qform disagree (origins {moved:.3g} apart); the sform counts"]
