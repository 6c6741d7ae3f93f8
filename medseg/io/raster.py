"""PNG, JPEG and TIFF: pictures in 2D, and stacks of pages.

Axes run as in ITK: i to the right (patient left), j down (posterior), k through the pages.
A pixel is 1 mm wide unless the file says otherwise; medseg writes the whole grid beside the
usual resolution, so that it comes back.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from medseg.io.formats import Kind
from medseg.volume import Grid, Image, Labels, smallest_integers
from medseg.volume.exchange import lps_ras

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

_MARK = "medseg-grid"
_MM_PER_INCH = 25.4
# What programs write that know of no resolution; it says nothing about the pixels.
_SCREENS = (72, 96)
_MM_PER_IMAGEJ = {
    "nm": 1e-6,
    "micron": 1e-3,
    "um": 1e-3,
    "\u00b5m": 1e-3,
    "\\u00B5m": 1e-3,
    "mm": 1.0,
    "cm": 10.0,
    "inch": _MM_PER_INCH,
}
_X_RESOLUTION, _Y_RESOLUTION, _UNIT, _DESCRIPTION = 282, 283, 296, 270
_MM_PER_TIFF = {2: _MM_PER_INCH, 3: 10.0}
_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".tif": "TIFF", ".tiff": "TIFF"}
_HELD = {
    "PNG": ("uint8", "uint16"),
    "JPEG": ("uint8",),
    "TIFF": ("uint8", "uint16", "int16", "int32", "float32"),  # int16 as int32
}
_PLAIN_MODES = {"1", "L", "LA", "RGB", "RGBA", "I", "F", "I;16", "I;16B", "I;16L", "I;16N"}


def read(path: Path, kind: Kind) -> tuple[NDArray, Grid]:
    """(C, i, j[, k]) array of a picture or a stack, and its grid.

    Raises
    ------
    ValueError
        If it is no such picture, is damaged, or its numbers can't be had unchanged.
    """
    from PIL import Image as pillow  # noqa: N813

    content = path.read_bytes()
    _require_exact(path, content)
    with warnings.catch_warnings():
        # What is large is refused by Pillow at a limit of its own; below it, it only warns.
        warnings.simplefilter("ignore")
        try:
            with pillow.open(BytesIO(content), formats=("PNG", "JPEG", "TIFF")) as picture:
                if picture.format == "PNG":
                    picture.verify()  # checksums; the picture is used up by that
            with pillow.open(BytesIO(content), formats=("PNG", "JPEG", "TIFF")) as picture:
                pages = _pages(picture, kind)
                grid = _grid(picture, (*pages[0].shape[1:], *[len(pages)] * (len(pages) > 1)))
        except ValueError:
            raise
        except Exception as error:  # Pillow's readers raise whatever their parts raise
            reason = str(error).replace("<_io.BytesIO object at ", "<")
            raise ValueError(f"{path} is no picture, or is damaged: {reason}") from error
    return (np.stack(pages, axis=-1) if len(pages) > 1 else pages[0]), grid


def encoded(volume: Image | Labels, suffix: str) -> bytes:
    """Bytes of the file.

    Raises
    ------
    ValueError
        If the format can't hold the axes, the channels or the numbers of the volume.
    """
    kind = _FORMATS[suffix]
    if isinstance(volume, Labels):
        if kind == "JPEG":
            raise ValueError("JPEG changes labels; write them as .png, .tif or .nii.gz")
        array = smallest_integers(volume.array)[None]
    else:
        array = _fitting(volume.array)
    grid = volume.grid
    if grid.ndim == 3 and grid.shape[2] == 1:
        array, grid = array[..., 0], _of_slice(grid)
    _require_room(array, grid, kind)
    return _saved([_picture(page) for page in _frames(array)], grid, kind)


def _require_exact(path: Path, content: bytes) -> None:
    """Refuse colours of 16 bits in PNG, of which Pillow would keep 8 without a word."""
    if content[:4] == b"\x89PNG" and content[24:26] in (b"\x10\x02", b"\x10\x06", b"\x10\x04"):
        raise ValueError(f"{path} has colours of 16 bits, which are not read; save a file a colour")


def _pages(picture: Picture, kind: Kind) -> list[NDArray]:
    """(C, i, j) of each page."""
    pages = []
    for number in range(getattr(picture, "n_frames", 1) if picture.format == "TIFF" else 1):
        picture.seek(number)
        page: Any = picture
        if picture.mode == "P" and kind == "image":
            page = picture.convert("RGB")
        elif picture.mode not in _PLAIN_MODES | {"P"}:
            raise ValueError(
                f"its colours are {picture.mode}, which are not read; save it in grey or RGB"
            )
        array = np.asarray(page)
        array = array.astype(array.dtype.newbyteorder("="))
        pages.append(array.reshape(*array.shape[:2], -1).transpose(2, 1, 0))  # (C, i, j)
    if len({page.shape for page in pages}) > 1:
        raise ValueError("its pages differ in size or colours, so they are no stack")
    return pages


def _grid(picture: Picture, shape: tuple[int, ...]) -> Grid:
    tags = getattr(picture, "tag_v2", {})
    described = str(tags.get(_DESCRIPTION, ""))
    comment = picture.info.get("comment", b"")
    noted = picture.info.get(_MARK) or described or comment
    if (known := _noted(noted, shape)) is not None:
        return known
    spacing = _of_tiff(tags, described) if picture.format == "TIFF" else _of_dpi(picture)
    return Grid(shape, lps_ras(Grid.from_spacing(shape, spacing[: len(shape)]).affine))


def _noted(text: str | bytes, shape: tuple[int, ...]) -> Grid | None:
    """Grid that `write` noted, if it is still that of the picture."""
    try:
        noted = json.loads(text)[_MARK]
        grid = Grid(tuple(noted["shape"]), np.array(noted["affine"]), noted["code"], noted["unit"])
    except (ValueError, TypeError, KeyError, IndexError):
        return None
    return grid if grid.shape == shape else None


def _of_dpi(picture: Picture) -> tuple[float, float, float]:
    dots = picture.info.get("dpi") or (0, 0)
    if min(dots) <= 0 or all(min(abs(d - s) for s in _SCREENS) < 0.5 for d in dots):
        return 1.0, 1.0, 1.0
    return _MM_PER_INCH / float(dots[0]), _MM_PER_INCH / float(dots[1]), 1.0


def _of_tiff(tags: Mapping[int, Any], described: str) -> tuple[float, float, float]:
    if not (tags.get(_X_RESOLUTION) and tags.get(_Y_RESOLUTION)):
        return 1.0, 1.0, 1.0
    dots = float(tags[_X_RESOLUTION]), float(tags[_Y_RESOLUTION])
    said = dict(line.split("=", 1) for line in described.splitlines() if "=" in line)
    if "ImageJ" in said:  # it has a unit of its own, and the distance of the slices
        mm = _MM_PER_IMAGEJ.get(said.get("unit", "").strip(), 0.0)
        apart = float(said.get("spacing", 0)) * mm
    else:
        mm, apart = _MM_PER_TIFF.get(int(tags.get(_UNIT, 1)), 0.0), 0.0
    screen = mm == _MM_PER_INCH and dots[0] == dots[1] and dots[0] in _SCREENS
    if not mm or min(dots) <= 0 or screen:
        return 1.0, 1.0, 1.0
    return mm / dots[0], mm / dots[1], apart or 1.0


def _fitting(array: NDArray[np.float32]) -> NDArray:
    """The array in the integers of pictures, if they hold it, else as it is."""
    low, high = float(array.min()), float(array.max())
    if low < 0 or high > 65535 or not np.array_equal(array, np.rint(array)):
        return array
    return array.astype(np.uint8 if high <= 255 else np.uint16)


def _of_slice(grid: Grid) -> Grid:
    """The plane of an only slice: its spacing is kept, its place in 3D is not."""
    plane = Grid.from_spacing(grid.shape[:2], grid.spacing[:2])
    return Grid(plane.shape, lps_ras(plane.affine), grid.code, grid.unit)


def _require_room(array: NDArray, grid: Grid, kind: str) -> None:
    channels, name = len(array), array.dtype.name
    if grid.ndim == 3 and kind != "TIFF":
        raise ValueError(f"{kind} holds one slice, got shape {grid.shape}; write .tif or .nii.gz")
    if channels not in (1, 3, 4) or (channels == 4 and kind == "JPEG"):
        raise ValueError(f"{kind} holds grey or colours, got {channels} channels; write .nii.gz")
    if name not in _HELD[kind]:
        raise ValueError(
            f"{kind} holds {', '.join(_HELD[kind])}, which these numbers are not; write .nii.gz"
        )
    if channels > 1 and name != "uint8":
        raise ValueError(f"colours of {kind} are whole numbers from 0 to 255; write .nii.gz")


def _frames(array: NDArray) -> list[NDArray]:
    """(rows, columns[, colours]) of each page of (C, i, j[, k])."""
    pages = array[..., None] if array.ndim == 3 else array
    turned = pages.transpose(3, 2, 1, 0)
    return list(turned[..., 0] if len(array) == 1 else turned)


def _picture(page: NDArray) -> Picture:
    from PIL import Image as pillow  # noqa: N813

    wide = page.astype(np.int32) if page.dtype == np.int16 else page
    return pillow.fromarray(np.ascontiguousarray(wide))


def _saved(pages: Sequence[Picture], grid: Grid, kind: str) -> bytes:
    from PIL.PngImagePlugin import PngInfo

    fields = {
        "shape": grid.shape,
        "affine": grid.affine.tolist(),
        "code": grid.code,
        "unit": grid.unit,
    }
    note = json.dumps({_MARK: fields})
    dots = tuple(_MM_PER_INCH / mm for mm in grid.spacing[:2])
    options: dict[str, Any] = {"comment": note.encode(), "quality": 95}
    if kind == "PNG":
        text = PngInfo()
        text.add_text(_MARK, note)
        options = {"pnginfo": text, "dpi": dots}
    elif kind == "TIFF":
        options = {
            "description": note,
            "dpi": dots,
            "compression": "tiff_adobe_deflate",
            "save_all": len(pages) > 1,
            "append_images": list(pages[1:]),
        }
    content = BytesIO()
    pages[0].save(content, format=kind, **options)
    return content.getvalue()
