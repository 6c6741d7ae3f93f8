"""Which formats there are, by the suffix of the file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from numpy.typing import NDArray

from medseg.registry import Registry
from medseg.volume import Grid, Image, Labels

PathLike = str | Path
# "image": real numbers, colours for a palette. "stored": the numbers of the file, in its dtype
# if no slope changes them, and a palette's indices, as labels are kept.
Kind = Literal["image", "stored"]
Reader = Callable[[Path, Kind], tuple[NDArray, Grid]]  # (C, *shape) array and its grid
Writer = Callable[[Image | Labels, str], bytes]

READERS: Registry[Reader] = Registry(
    "file format",
    {
        ".nii.gz": ("medseg.io.nifti:read", "NIfTI, compressed"),
        ".nii": ("medseg.io.nifti:read", "NIfTI"),
        ".hdr": ("medseg.io.nifti:read_pair", "NIfTI or Analyze, its voxels in an .img beside it"),
        ".img": ("medseg.io.nifti:read_pair", "the other half of an .hdr"),
        ".nrrd": ("medseg.io.itk:read", "NRRD"),
        ".mha": ("medseg.io.itk:read", "MetaImage"),
        ".mhd": ("medseg.io.itk:read", "MetaImage, its voxels in another file"),
        ".dcm": ("medseg.io.dicom:read_slice", "one slice of DICOM; name its folder for a series"),
        ".png": ("medseg.io.raster:read", "PNG, 2D"),
        ".jpg": ("medseg.io.raster:read", "JPEG, 2D"),
        ".jpeg": ("medseg.io.raster:read", "JPEG, 2D"),
        ".tif": ("medseg.io.raster:read", "TIFF, 2D or a stack of pages"),
        ".tiff": ("medseg.io.raster:read", "TIFF, 2D or a stack of pages"),
    },
)
WRITERS: Registry[Writer] = Registry(
    "file format that is written",
    {
        ".nii.gz": ("medseg.io.nifti:encoded", "NIfTI, compressed"),
        ".nii": ("medseg.io.nifti:encoded", "NIfTI"),
        ".nrrd": ("medseg.io.headers:nrrd", "NRRD, compressed"),
        ".mha": ("medseg.io.headers:metaimage", "MetaImage, compressed"),
        ".png": ("medseg.io.raster:encoded", "PNG: one slice"),
        ".jpg": ("medseg.io.raster:encoded", "JPEG: one slice of an image, with losses"),
        ".jpeg": ("medseg.io.raster:encoded", "JPEG: one slice of an image, with losses"),
        ".tif": ("medseg.io.raster:encoded", "TIFF: one slice or a stack"),
        ".tiff": ("medseg.io.raster:encoded", "TIFF: one slice or a stack"),
    },
)


def suffix_of(path: Path) -> str:
    """Suffix of a volume file in lower case, .nii.gz as one; "" if no reader has it."""
    name = path.name.lower()
    return next((suffix for suffix in READERS if name.endswith(suffix)), "")


def stem_of(path: Path) -> str:
    """Name of a volume file without its suffix; of a folder, its name."""
    return path.name[: len(path.name) - len(suffix_of(path))]


def is_series(folder: Path) -> bool:
    """Whether files of DICOM lie in the folder."""
    return folder.is_dir() and any(is_dicom(path) for path in sorted(folder.iterdir()))


def is_dicom(path: Path) -> bool:
    """Whether a file is one of DICOM: by its suffix, or without one by its content."""
    hidden = path.name.startswith(".") or path.name.upper() == "DICOMDIR"
    if hidden or suffix_of(path) not in ("", ".dcm") or not path.is_file():
        return False
    if suffix_of(path):
        return True
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"
