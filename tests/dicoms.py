"""DICOM series, drawn by SimpleITK."""

import locale
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813

from medseg.volume import Image


@contextmanager
def locale_kept() -> Iterator[None]:
    """What writes DICOM leaves the process in the locale C, where text files are ASCII."""
    before = locale.setlocale(locale.LC_ALL)
    yield
    locale.setlocale(locale.LC_ALL, before)


def write_series(
    folder: Path,
    image: Image,
    number: int = 1,
    without: Collection[int] = (),
    tags: Mapping[str, str] | None = None,
) -> Path:
    """Write the slices of an image, whose numbers are whole, in an order that means nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    volume = sitk.Cast(image.to_sitk(), sitk.sitkInt16)
    direction = np.array(volume.GetDirection()).reshape(3, 3)
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for k in range(volume.GetSize()[2]):
        if k in without:
            continue
        one = volume[:, :, k : k + 1]
        cosines = direction[:, :2].T.ravel()
        fields = {
            "0008|0060": "MR",
            "0008|103e": f"series {number}",
            "0020|000d": "1.2.3",
            "0020|000e": f"1.2.3.{number}",
            "0020|0011": str(number),
            "0020|0013": str(100 - k),
            "0020|0032": "\\".join(f"{x:.6f}" for x in one.GetOrigin()),
            "0020|0037": "\\".join(f"{x:.9f}" for x in cosines),
            **(tags or {}),
        }
        for tag, value in fields.items():
            one.SetMetaData(tag, value)
        writer.SetFileName(str(folder / f"{number}-{(7 * k) % 11:02d}-{k}.dcm"))
        with locale_kept():
            writer.Execute(one)
    return folder
