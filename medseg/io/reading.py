"""Read files of any format as images and labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medseg.io.formats import READERS, Kind, PathLike, is_series, suffix_of
from medseg.volume import Grid, Image, Labels, exchange, require_match


def read_image(
    path: PathLike | Sequence[PathLike],
    *,
    channels: int | None = None,
    nan: float | None = None,
    series: str = "",
) -> Image:
    """Read an image from a file or a DICOM folder, or from several with a channel each.

    Parameters
    ----------
    path : path or sequence of paths
        The last axis of a 4D file, and the colours of a picture, are its channels.
    channels : int, optional
        How many there must be; a 4D file of another length is refused as a series.
    nan : float, optional
        Takes the place of NaN and infinite voxels, which are refused otherwise.
    series : str, optional
        UID or number of the DICOM series that is meant, where a folder holds several.

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
    parts = [_image(part, nan, series) for part in paths]
    for name, part in zip(paths, parts, strict=True):
        require_match(parts[0].grid, part.grid, str(name))
    image = parts[0] if len(parts) == 1 else _stacked(parts)
    if channels is not None and image.channels != channels:
        raise ValueError(_channel_message(paths, image, channels))
    return image


def read_labels(
    path: PathLike, names: Mapping[int, str] | None = None, *, series: str = ""
) -> Labels:
    """Read a label map; its values must be whole numbers, in whatever dtype they are stored.

    The labels of a picture with a palette are the indices of its colours.

    Raises
    ------
    FileNotFoundError
        If the file is missing.
    ValueError
        If it is no label map or is damaged.
    """
    file = Path(path)
    with _blaming(file):
        array, grid = contents(file, "stored", series)
        return Labels(exchange.one_channel(exchange.whole(array)), grid, names or {})


def read_as_stored(path: PathLike, *, nan: float | None = None, series: str = "") -> Image | Labels:
    """Read whole numbers, one a voxel, as `Labels`, and all else as `Image`.

    So a file is written again with the numbers it had. Whether an integer is a label or the
    intensity of a CT, the dtype can't say; who computes with it must.
    """
    file = Path(path)
    with _blaming(file):
        array, grid = contents(file, "stored", series)
        if len(array) == 1 and array.dtype.kind in "iub":
            return Labels(exchange.whole(array)[0], grid)
        return Image(_without_nan(array, nan), grid)


def read_stored(path: PathLike, series: str = "") -> tuple[NDArray, Grid]:
    """(C, *shape) array of the numbers of a file, NaN and all, and its grid.

    They have the dtype of the file, if no slope in its header changes them.
    """
    file = Path(path)
    with _blaming(file):
        array, grid = contents(file, "stored", series)
        if array.dtype.kind not in "iufb":
            exchange.real(array)  # says what it should be
        return array, grid


def contents(path: Path, kind: Kind, series: str = "") -> tuple[NDArray, Grid]:
    """(C, *shape) array of a file or of a DICOM folder, and its grid.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is none that medseg reads, or is damaged.
    """
    if path.is_dir():
        if not is_series(path):
            raise ValueError(f"{path} is a folder, expected an image file or a DICOM series")
        from medseg.io.dicom import read_series

        return read_series(path, series)
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist")
    if not path.is_file():
        raise ValueError(f"{path} is no file that can be read from its beginning to its end")
    if not (suffix := suffix_of(path)):
        raise ValueError(f"{path} is no image that medseg reads; it reads {', '.join(READERS)}")
    if series:
        raise ValueError(f"{path} is a file; a series is chosen in a DICOM folder")
    return READERS[suffix](path, kind)


class _blaming:  # noqa: N801
    """Puts the name of the file in front of what is wrong with it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, ValueError | TypeError) and str(self.path) not in str(error):
            raise ValueError(f"{self.path}: {error}") from error


def _image(path: Path, nan: float | None, series: str) -> Image:
    with _blaming(path):
        array, grid = contents(path, "image", series)
        return Image(_without_nan(array, nan), grid)


def _without_nan(array: NDArray, nan: float | None) -> NDArray[np.float32]:
    numbers = exchange.real(array)
    return numbers if nan is None else exchange.replace_nan(numbers, nan)


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
