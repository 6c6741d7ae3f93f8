"""DICOM: a folder of slices is a volume, if no slice is missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medseg.io.formats import Kind, is_dicom
from medseg.io.itk import executed, sitk_reader
from medseg.volume import Grid
from medseg.volume.exchange import channels_of_sitk, lps_ras

# Positions are rounded to some hundredths of a millimetre; a missing slice doubles a gap.
_UNEVEN = 0.05
_TURNED = 1e-3


@dataclass(frozen=True, eq=False)
class _Slice:
    """Header of one file.

    Parameters
    ----------
    file : Path
    series, number, description : str
        UID, number and name of the series.
    size : tuple of int
        Columns and rows.
    affine : (4, 4) float array
        Into LPS, as ITK reads it from this file alone.
    """

    file: Path
    series: str
    number: str
    description: str
    size: tuple[int, ...]
    affine: NDArray[np.float64]

    @property
    def along(self) -> float:
        """Position along the normal of the slice, mm."""
        axes = self.affine[:3, :2] / np.linalg.norm(self.affine[:3, :2], axis=0)
        return float(np.cross(axes[:, 0], axes[:, 1]) @ self.affine[:3, 3])


def read_series(folder: Path, series: str = "") -> tuple[NDArray, Grid]:
    """(1, i, j, k) array, rescaled as the files say, and grid of a series.

    Parameters
    ----------
    folder : Path
    series : str, optional
        UID or number of the series; it may be left out if there is just one.

    Raises
    ------
    ValueError
        If there is no such series or a choice of them, a slice is missing or turned, or a
        file is damaged, in colours or holds several frames.
    """
    slices = [_header(path) for path in sorted(folder.iterdir()) if is_dicom(path)]
    chosen = sorted(_chosen(folder, slices, series), key=lambda one: one.along)
    step = _step(folder, chosen)
    arrays = [channels_of_sitk(executed(sitk_reader(one.file)))[0] for one in chosen]
    affine = chosen[0].affine.copy()
    affine[:3, 2] = step
    array = np.concatenate(arrays, axis=-1)
    return array, Grid(array.shape[1:], lps_ras(affine))


def read_slice(path: Path, kind: Kind) -> tuple[NDArray, Grid]:
    """(1, i, j, 1) array and grid of one file."""
    one = _header(path)
    array, _ = channels_of_sitk(executed(sitk_reader(path)))
    return array, Grid(array.shape[1:], lps_ras(one.affine))


def _header(path: Path) -> _Slice:
    reader = sitk_reader(path)
    frames = reader.GetSize()[2] if reader.GetDimension() == 3 else 1
    if frames > 1:
        raise ValueError(f"{path} holds {frames} frames, expected one slice a file; split it first")
    if reader.GetNumberOfComponents() > 1:
        raise ValueError(f"{path} is in colours, expected a slice of one value a pixel")
    affine = np.eye(4)
    affine[:3, :3] = np.array(reader.GetDirection()).reshape(3, 3) * reader.GetSpacing()
    affine[:3, 3] = reader.GetOrigin()
    return _Slice(
        path,
        _value(reader, "0020|000e"),
        _value(reader, "0020|0011"),
        _value(reader, "0008|103e"),
        tuple(reader.GetSize()[:2]),
        affine,
    )


def _value(reader: Any, tag: str) -> str:
    # GDCM gives text of an unnamed character set as surrogates, which no terminal shows.
    text = str(reader.GetMetaData(tag)) if reader.HasMetaDataKey(tag) else ""
    return text.encode("ascii", "replace").decode().strip("\0 ")


def _chosen(folder: Path, slices: Sequence[_Slice], series: str) -> list[_Slice]:
    several: dict[str, list[_Slice]] = {}
    for one in slices:
        several.setdefault(one.series, []).append(one)
    if not several:
        raise ValueError(f"{folder} holds no DICOM file")
    named = {
        uid: members
        for uid, members in several.items()
        if not series or series in (uid, members[0].number)
    }
    if len(named) == 1:
        return next(iter(named.values()))
    listed = "; ".join(
        f"{members[0].number or 'no number'} ({members[0].description or 'no name'}, "
        f"{len(members)} slices, {uid})"
        for uid, members in several.items()
    )
    wanted = f"expected {series}" if series else "choose one by its number or UID with --series"
    raise ValueError(f"{folder} holds {len(several)} DICOM series, {wanted}: {listed}")


def _step(folder: Path, slices: Sequence[_Slice]) -> NDArray[np.float64]:
    """From one slice to the next, mm in LPS; of a gantry that is tilted, not along the normal."""
    first, last = slices[0], slices[-1]
    for one in slices:
        turned = np.abs(one.affine[:3, :2] - first.affine[:3, :2]).max()
        if one.size != first.size or turned > _TURNED * np.abs(first.affine[:3, :2]).max():
            raise ValueError(
                f"{one.file} has another size, spacing or direction than {first.file.name}; "
                f"a series in {folder} is made of slices that lie parallel"
            )
    if len(slices) == 1:
        return first.affine[:3, 2].copy()
    gaps = np.diff([one.along for one in slices])
    usual = float(np.median(gaps))
    if gaps.min() < 1e-3:
        at = int(gaps.argmin())
        raise ValueError(
            f"{slices[at].file} and {slices[at + 1].file.name} lie at one position; a series over "
            "time, or with several echoes, is split into folders first"
        )
    if (worst := np.abs(gaps - usual)).max() > _UNEVEN * usual:
        at = int(worst.argmax())
        raise ValueError(
            f"{folder}: between {slices[at].file.name} and {slices[at + 1].file.name} there are "
            f"{gaps[at]:.2f} mm, between the others {usual:.2f} mm; slices are missing or uneven"
        )
    step: NDArray[np.float64] = (last.affine[:3, 3] - first.affine[:3, 3]) / (len(slices) - 1)
    return step
