"""Panels in rows on a sheet, with a title, a legend and a note at the foot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING

from medseg.pictures.legend import draw_legend, legend_of
from medseg.pictures.painting import draw_bar, draw_letters, painted
from medseg.pictures.paper import INK, PALE, PAPER, TEXT, TITLE, draw_text, fitted
from medseg.pictures.planes import Panel
from medseg.pictures.view import View
from medseg.volume import Image

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

_WIDTH, _HEIGHT = 1760, 800  # of all panels of one case: about 16:9 with the text
_LEAST_WIDTH = 1280
_HIGHEST = 1300  # of the panels of many cases
_LEAST_PANEL = 360  # of them, each so wide at least
_LEAST_COLUMN = 300
_TALLEST = 1.2  # in widths
_GAP, _EDGE = 18, 28
_CAPTION = TEXT + 14


@dataclass(frozen=True, eq=False)
class Sheet:
    """What is drawn.

    Parameters
    ----------
    rows : sequence of sequence of Panel
    names : mapping of int to str
        What labels stand for.
    title : str
    note : str
        Stands at the foot.
    to_scale : bool
        Whether a millimetre is as long in all panels; else all panels are as wide.
    """

    rows: Sequence[Sequence[Panel]]
    names: Mapping[int, str]
    title: str
    note: str
    to_scale: bool = True

    @property
    def panels(self) -> list[Panel]:
        """All panels, row by row."""
        return [panel for row in self.rows for panel in row]


def draw_sheet(sheet: Sheet) -> Picture:
    """Draw all of it."""
    from PIL import Image as Pictures
    from PIL import ImageDraw

    rows = _pictures(sheet)
    widths = [max(_LEAST_COLUMN, *(p.width for p in c if p)) for c in zip_longest(*rows)]
    across = sum(widths) + _GAP * (len(widths) - 1)
    width = max(across + 2 * _EDGE, _LEAST_WIDTH)
    legend = legend_of(sheet.panels, sheet.names, width - 2 * _EDGE)
    captions = [_CAPTION if any(panel.caption for panel in row) else 0 for row in sheet.rows]
    heights = [max(p.height for p in row) + _GAP for row in rows]
    head, foot = _EDGE + TITLE + _GAP, (len(legend) + bool(sheet.note)) * _CAPTION + _EDGE
    size = (width, head + sum(captions) + sum(heights) + foot)
    canvas = Pictures.new("RGB", size, PAPER)
    pen = ImageDraw.Draw(canvas)
    draw_text(pen, (_EDGE, _EDGE - 6), *fitted(sheet.title, TITLE, width - 2 * _EDGE), INK)
    top = head
    for panels, row, caption, height in zip(sheet.rows, rows, captions, heights, strict=True):
        left = (width - across) // 2
        for panel, picture, room in zip(panels, row, widths, strict=False):
            words = fitted(panel.caption, TEXT, room)
            draw_text(pen, (left + room / 2, top), *words, INK, "ma")
            canvas.paste(picture, (left + (room - picture.width) // 2, top + caption))
            left += room + _GAP
        top += caption + height
    draw_legend(pen, legend, (_EDGE, top), _CAPTION)
    draw_text(pen, (_EDGE, top + len(legend) * _CAPTION), sheet.note, TEXT - 4, PALE)
    return canvas


def note_of(image: Image | None, panels: Sequence[Panel], view: View) -> str:
    """Convention, and the channel where there are several."""
    parts = []
    if panels[0].letters:
        side = "left" if view.convention == "radiological" else "right"
        parts.append(f"{view.convention} view: the patient's right is on the {side}")
    if image is not None and image.channels > 1:
        index = view.channel or 0
        name = image.names[index] if image.names else f"{index + 1} of {image.channels}"
        parts.append(f"channel {name}")
    return "   ·   ".join(parts)


def _pictures(sheet: Sheet) -> list[list[Picture]]:
    """The panels, each with its letters; the first of those to one scale with a bar."""
    scales = _common_scale(sheet.rows) if sheet.to_scale else _scales(sheet.rows)
    rows = []
    for r, panels in enumerate(sheet.rows):
        row = [painted(panel, scale) for panel, scale in zip(panels, scales[r], strict=True)]
        for c, (panel, picture, scale) in enumerate(zip(panels, row, scales[r], strict=True)):
            draw_letters(picture, panel.letters)
            if panel.letters and (not sheet.to_scale or r == c == 0):
                draw_bar(picture, scale)
        rows.append(row)
    return rows


def _common_scale(rows: Sequence[Sequence[Panel]]) -> list[list[float]]:
    """Pixels to the millimetre, the same for all, so that they fill what room there is."""
    columns = zip_longest(*rows)
    wide = sum(max(panel.extent[1] for panel in column if panel) for column in columns)
    high = sum(max(panel.extent[0] for panel in row) for row in rows)
    scale = min(_WIDTH / wide, max(_HEIGHT, _LEAST_PANEL * len(rows)) / high)
    return [[scale] * len(row) for row in rows]


def _scales(rows: Sequence[Sequence[Panel]]) -> list[list[float]]:
    """Pixels to the millimetre with which each fills a cell of one width."""
    cell = max(min(_WIDTH / len(rows[0]), _HIGHEST / len(rows) / _TALLEST), _LEAST_PANEL)
    return [
        [min(cell / panel.extent[1], _TALLEST * cell / panel.extent[0]) for panel in row]
        for row in rows
    ]
