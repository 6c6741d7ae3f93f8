"""Write volumes and other files, whole or not at all."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from medseg.io.compressing import compressed
from medseg.io.formats import WRITERS, PathLike, suffix_of
from medseg.volume import Image, Labels

if TYPE_CHECKING:
    import nibabel as nib

_TEMPORARY = re.compile(r"\.(.+)\.[0-9a-f]{32}", re.DOTALL)  # as replace_file calls it


def write(volume: Image | Labels, path: PathLike) -> None:
    """Write a volume in the format of the suffix, as `WRITERS` lists them.

    Labels are written in the smallest integer dtype, images in float32, or in the integers of
    PNG, JPEG and TIFF where those hold their values. The grid comes back when the file is read.
    The file appears whole or not at all; what was there is replaced.

    Raises
    ------
    ValueError
        If there is no such format, or it can't hold the volume.
    """
    file = Path(path)
    suffix = _writable(file)
    try:
        content = WRITERS[suffix](volume, suffix)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error
    replace_file(file, content)


def write_nifti(image: nib.Nifti1Image, path: PathLike) -> None:
    """Write a nibabel image, whole or not at all."""
    file = Path(path)
    suffix = _writable(file)
    if suffix not in (".nii", ".nii.gz"):
        raise ValueError(f"a NIfTI image is written as .nii or .nii.gz, got {file}")
    replace_file(file, compressed(image.to_bytes()) if suffix == ".nii.gz" else image.to_bytes())


def replace_file(path: Path, content: bytes | str) -> None:
    """Write beside `path` and rename, so that no file is ever half there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = content.encode() if isinstance(content, str) else content
    temporary = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def remove_unfinished(files: Iterable[Path]) -> None:
    """Remove what `replace_file` left beside these files where its process was killed."""
    names: dict[Path, set[str]] = {}
    for file in files:
        names.setdefault(file.parent, set()).add(file.name)
    for folder in filter(Path.is_dir, names):
        for path in folder.iterdir():
            temporary = _TEMPORARY.fullmatch(path.name)
            if temporary and temporary[1] in names[folder]:
                path.unlink(missing_ok=True)


def _writable(file: Path) -> str:
    suffix = suffix_of(file)
    if suffix not in WRITERS:
        raise ValueError(f"volumes are written as {', '.join(WRITERS)}, got {file}")
    return suffix
