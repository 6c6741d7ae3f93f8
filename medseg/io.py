"""Read and write volumes. Everything else in medseg works in memory.

A file is read whole before it is believed: gzip keeps its checksum at the end, so a
truncated or damaged file is noticed here and not in the results.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np

from medseg.registry import Registry
from medseg.volume import Image, Labels, require_match

if TYPE_CHECKING:
    import nibabel as nib

PathLike = str | Path
_TEMPORARY = re.compile(r"\.(.+)\.[0-9a-f]{32}", re.DOTALL)  # as replace_file calls it
READERS: Registry[Callable[[Path], nib.Nifti1Image]] = Registry(
    "file format",
    {
        ".nii.gz": ("medseg.io:_read_nifti", "NIfTI, compressed"),
        ".nii": ("medseg.io:_read_nifti", "NIfTI"),
    },
)


def read_image(
    path: PathLike | Sequence[PathLike], *, channels: int | None = None, nan: float | None = None
) -> Image:
    """Read an image from a file, or from several files with a channel each.

    Parameters
    ----------
    path : path or sequence of paths
        The last axis of a 4D file is its channels.
    channels : int, optional
        How many there must be; a 4D file of another length is refused as a series.
    nan : float, optional
        Takes the place of NaN and infinite voxels, which are refused otherwise.

    Raises
    ------
    FileNotFoundError
        If a file is missing.
    ValueError
        If a file is no image, is damaged, or lies on another grid than the first.
    """
    paths = [Path(path)] if isinstance(path, str | Path) else [Path(part) for part in path]
    if not paths:
        raise ValueError("an image needs at least one file")
    parts = [_image(part, nan) for part in paths]
    for name, part in zip(paths, parts, strict=True):
        require_match(parts[0].grid, part.grid, str(name))
    image = parts[0] if len(parts) == 1 else _stacked(parts)
    if channels is not None and image.channels != channels:
        raise ValueError(_channel_message(paths, image, channels))
    return image


def read_labels(path: PathLike, names: Mapping[int, str] | None = None) -> Labels:
    """Read a label map; its values must be whole numbers, in whatever dtype they are stored.

    Raises
    ------
    FileNotFoundError
        If the file is missing.
    ValueError
        If it is no label map or is damaged.
    """
    file = Path(path)
    with _blaming(file):
        return Labels.from_nibabel(_reader(file)(file), names)


def write(volume: Image | Labels, path: PathLike) -> None:
    """Write a volume as NIfTI: labels in the smallest integer dtype, images in float32.

    The file appears whole or not at all; what was there is replaced.
    """
    write_nifti(volume.to_nibabel(), path)


def write_nifti(image: nib.Nifti1Image, path: PathLike) -> None:
    """Write a nibabel image, whole or not at all."""
    file = Path(path)
    suffix = suffix_of(file)
    if suffix not in (".nii", ".nii.gz"):
        raise ValueError(f"volumes are written as .nii or .nii.gz, got {file}")
    content = image.to_bytes()
    if suffix == ".nii.gz":
        # Without the time in its header, the same volume gives the same bytes.
        content = gzip.compress(content, compresslevel=2, mtime=0)
    replace_file(file, content)


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


def suffix_of(path: Path) -> str:
    """Suffix of a volume file in lower case, .nii.gz as one; "" if no reader has it."""
    name = path.name.lower()
    return next((suffix for suffix in READERS if name.endswith(suffix)), "")


def stem_of(path: Path) -> str:
    """Name of a volume file without its suffix."""
    return path.name[: len(path.name) - len(suffix_of(path))]


class _blaming:  # noqa: N801
    """Puts the name of the file in front of what is wrong with it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, ValueError | TypeError) and str(self.path) not in str(error):
            raise ValueError(f"{self.path}: {error}") from error


def _image(path: Path, nan: float | None) -> Image:
    with _blaming(path):
        return Image.from_nibabel(_reader(path)(path), nan=nan)


def _stacked(parts: Sequence[Image]) -> Image:
    return Image(np.concatenate([part.array for part in parts]), parts[0].grid)


def _channel_message(paths: Sequence[Path], image: Image, channels: int) -> str:
    where = ", ".join(map(str, paths))
    if len(paths) == 1 and image.channels > 1:
        return (
            f"{where} is a series of {image.channels} volumes, expected {channels} channels; "
            "split it into files"
        )
    return (
        f"expected {channels} channels, got {image.channels} in {where}; name the files of a "
        "case with commas between them, in the order of the channels"
    )


def _reader(path: Path) -> Callable[[Path], nib.Nifti1Image]:
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist")
    if not path.is_file():
        raise ValueError(f"{path} is a folder, expected an image file")
    suffix = suffix_of(path)
    if not suffix:
        raise ValueError(f"{path} is no image that medseg reads; it reads {', '.join(READERS)}")
    return READERS[suffix]


def _read_nifti(path: Path) -> nib.Nifti1Image:
    import nibabel as nib

    content = path.read_bytes()
    if content[:2] == b"\x1f\x8b":  # by content, as both suffixes are found on both kinds
        try:
            content = gzip.decompress(content)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ValueError(f"{path} is truncated or damaged: {error}") from error
    two = content[:4] in (b"\x1c\x02\x00\x00", b"\x00\x00\x02\x1c")
    kind = nib.Nifti2Image if two else nib.Nifti1Image
    try:
        image = kind.from_bytes(content)
    except Exception as error:  # nibabel's readers raise whatever their parts raise
        raise ValueError(f"{path} is no NIfTI image: {error}") from error
    _require_whole(path, image, len(content))
    return image


def _require_whole(path: Path, image: nib.Nifti1Image, size: int) -> None:
    proxy: Any = image.dataobj
    voxels = prod(int(length) for length in proxy.shape)
    needed = int(proxy.offset) + voxels * int(proxy.dtype.itemsize)
    if needed > size or voxels < 1:
        raise ValueError(
            f"{path} is truncated: its header speaks of {needed} bytes, the file has {size}"
        )
