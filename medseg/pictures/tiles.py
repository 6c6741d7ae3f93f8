"""Many small pictures in rows: filters, maps of features, patches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from medseg.pictures.heat import Scale, with_bar
from medseg.pictures.paper import (
    INK,
    PALE,
    PAPER,
    TEXT,
    TITLE,
    draw_text,
    fitted,
    font_of,
    save_png,
)

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

_WIDTH, _GAP, _EDGE = 1760, 32, 28  # px
_CELL = (56, 230)
_FRAME = (70, 70, 76)
_SMALL = TEXT - 8
_LINE = _SMALL + 10


@dataclass(frozen=True, eq=False)
class Small:
    """A small picture.

    Parameters
    ----------
    colours : (rows, columns, 3) uint8 array
    spacing : (float, float)
        Distance of rows and of columns, in any unit.
    caption : str
        Stands below it.
    """

    colours: NDArray[np.uint8]
    spacing: tuple[float, float] = (1.0, 1.0)
    caption: str = ""


@dataclass(frozen=True, eq=False)
class Row:
    """Small pictures beside each other, and what stands in front of them."""

    heading: str
    pictures: Sequence[Small]


def draw_tiles(
    rows: Sequence[Row], path: str | Path, *, title: str, note: str = "", scale: Scale | None = None
) -> None:
    """Draw rows of small pictures, each in a cell of one size, as PNG.

    Parameters
    ----------
    note : str
        Stands at the foot.
    scale : Scale, optional
        What the colours stand for.
    """
    from PIL import Image as Pictures
    from PIL import ImageDraw

    first = _EDGE + max(_length(row.heading) for row in rows) + (_GAP if rows[0].heading else 0)
    most = max(len(row.pictures) for row in rows)
    cell = int(np.clip((_WIDTH - first - _EDGE) / most - _GAP, *_CELL))
    below = _LINE if any(one.caption for row in rows for one in row.pictures) else 0
    pieces = [[_drawn(one, cell) for one in row.pictures] for row in rows]
    heights = [max(piece.height for piece in row) + below + _GAP for row in pieces]
    head = _EDGE + TITLE + _GAP
    width = max(first + most * (cell + _GAP) + _EDGE, _WIDTH)
    canvas = Pictures.new("RGB", (width, head + sum(heights) + _LINE + _GAP), PAPER)
    pen = ImageDraw.Draw(canvas)
    draw_text(pen, (_EDGE, _EDGE - 6), *fitted(title, TITLE, width - 2 * _EDGE), INK)
    top = head
    for row, drawn, height in zip(rows, pieces, heights, strict=True):
        draw_text(pen, (_EDGE, top + (height - below) / 2), row.heading, _SMALL, INK, "lm")
        for k, (one, piece) in enumerate(zip(row.pictures, drawn, strict=True)):
            left = first + k * (cell + _GAP)
            x = left + (cell - piece.width) // 2
            canvas.paste(piece, (x, top))
            pen.rectangle((x - 1, top - 1, x + piece.width, top + piece.height), outline=_FRAME)
            words = fitted(one.caption, _SMALL, cell + _GAP)
            draw_text(pen, (left + cell / 2, top + height - below - _GAP + 4), *words, PALE, "ma")
        top += height
    draw_text(pen, (_EDGE, top), *fitted(note, _SMALL, width - 2 * _EDGE), PALE)
    save_png(canvas if scale is None else with_bar(canvas, scale), path)


def in_rows(pictures: Sequence[Small], columns: int) -> list[Row]:
    """Break a sequence into rows without a heading."""
    return [Row("", pictures[k : k + columns]) for k in range(0, len(pictures), columns)]


def montage(colours: Sequence[Sequence[NDArray[np.uint8]]]) -> NDArray[np.uint8]:
    """Join arrays (rows, columns, 3) of one size into one, a voxel of dark between them."""
    height, width = colours[0][0].shape[:2]
    down, across = len(colours), len(colours[0])
    shape = (down * (height + 1) - 1, across * (width + 1) - 1, 3)
    whole = np.full(shape, PAPER, np.uint8)
    for r, line in enumerate(colours):
        for c, each in enumerate(line):
            y, x = r * (height + 1), c * (width + 1)
            whole[y : y + height, x : x + width] = each
    return whole


def grey(values: NDArray, low: float, high: float) -> NDArray[np.uint8]:
    """(..., 3) shades of values, black at `low` and white at `high`."""
    share = np.clip((values - low) / max(high - low, 1e-12), 0, 1)
    return np.repeat(np.rint(255 * share).astype(np.uint8)[..., None], 3, -1)


def _length(text: str) -> int:
    return round(font_of(_SMALL).getlength(text)) if text else 0


def _drawn(one: Small, cell: int) -> Picture:
    """Voxels as they are, each a block of pixels."""
    from PIL import Image as Pictures

    rows, columns = one.colours.shape[:2]
    high, wide = rows * one.spacing[0], columns * one.spacing[1]
    scale = cell / max(high, wide)
    size = (max(round(wide * scale), 1), max(round(high * scale), 1))
    return Pictures.fromarray(one.colours).resize(size, Pictures.Resampling.NEAREST)
