"""Values above and below 0 as colours, over an image or by themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from medseg.pictures.paper import INK, PAPER, TEXT, draw_text, font_of, save_png
from medseg.pictures.planes import Panel, panels_of
from medseg.pictures.sheet import Sheet, draw_sheet, note_of
from medseg.pictures.view import View
from medseg.volume import Image, Labels

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

_WARM, _COLD = (255, 96, 40), (40, 150, 255)
_STRONGEST = 0.85  # of the colour over an image, so that the image is seen through it
_LIMIT = 99.5  # percentile of the sizes, from which on all are as bright
_BAR, _EDGE = (420, 26), 28  # px


@dataclass(frozen=True)
class Scale:
    """What colours stand for.

    Parameters
    ----------
    limit : float
        What has the brightest colour; all beyond it too.
    words : str
        What the numbers are.
    signed : bool
        Whether there is anything below 0.
    """

    limit: float
    words: str
    signed: bool = True

    @classmethod
    def of(cls, values: NDArray, words: str) -> Scale:
        """Scale with the same colours on both sides of 0, in which half a percent is beyond."""
        sizes = np.abs(values[values != 0])
        limit = float(np.percentile(sizes, _LIMIT)) if sizes.size else 1.0
        return cls(limit, words, bool((values < 0).any()))

    def colours(self, values: NDArray) -> NDArray[np.uint8]:
        """(..., 3) colours of values on a dark ground."""
        share = np.clip(values / self.limit, -1, 1)[..., None]
        ends = np.where(share > 0, _WARM, _COLD)
        mixed: NDArray[np.float64] = PAPER + np.abs(share) * (ends - np.array(PAPER))
        return np.rint(mixed).astype(np.uint8)

    def over(self, shades: NDArray[np.uint8], values: NDArray) -> NDArray[np.uint8]:
        """(..., 3) shades of an image with values over them; where they are 0 it stays as it is."""
        share = np.clip(values / self.limit, -1, 1)[..., None]
        ends = np.where(share > 0, _WARM, _COLD)
        mixed: NDArray[np.float64] = shades + _STRONGEST * np.abs(share) * (
            ends - shades.astype(np.float64)
        )
        return np.rint(mixed).astype(np.uint8)


@dataclass(frozen=True, eq=False)
class Layered:
    """A column of a picture: an image, and values over it.

    Parameters
    ----------
    heading : str
    image : Image
        Of one channel.
    values : Image, optional
        Of one channel, on the same grid; without it, the image alone is seen.
    """

    heading: str
    image: Image
    values: Image | None = None


def draw_heat(
    columns: Sequence[Layered],
    labels: Labels,
    path: str | Path,
    scale: Scale,
    *,
    title: str = "",
    note: str = "",
) -> None:
    """Draw values over images in three planes through the labels, a column each, as PNG.

    All of the images is seen, and below them what the colours stand for.

    Parameters
    ----------
    note : str
        Stands at the foot.
    """
    view = View()
    rows = list(zip(*(_column(each, labels, scale, view) for each in columns), strict=True))
    notes = "   ·   ".join(filter(None, (note_of(None, rows[0], view), note)))
    save_png(with_bar(draw_sheet(Sheet(rows, labels.names, title, notes)), scale), path)


def with_bar(picture: Picture, scale: Scale) -> Picture:
    """The picture, with what its colours stand for below it."""
    from PIL import Image as Pictures
    from PIL import ImageDraw

    width, height = _BAR
    low = -scale.limit if scale.signed else 0.0
    before, after = f"{low:.2g}", f"{scale.limit:.2g}   {scale.words}"
    left, top = _EDGE, picture.height + _EDGE // 2
    x = left + font_of(TEXT).getlength(before) + 16
    wide = max(picture.width, round(x + width + 16 + font_of(TEXT).getlength(after)) + _EDGE)
    canvas = Pictures.new("RGB", (wide, picture.height + height + 2 * _EDGE), PAPER)
    canvas.paste(picture, (0, 0))
    pen = ImageDraw.Draw(canvas)
    ramp = np.broadcast_to(np.linspace(low, scale.limit, width), (height, width))
    draw_text(pen, (left, top - 4), before, TEXT, INK)
    canvas.paste(Pictures.fromarray(scale.colours(ramp)), (round(x), top))
    pen.rectangle((round(x) - 1, top - 1, round(x) + width, top + height), outline=INK)
    if scale.signed:
        pen.line((x + width / 2, top, x + width / 2, top + height), fill=INK, width=2)
    draw_text(pen, (x + width + 16, top - 4), after, TEXT, INK)
    return canvas


def _column(layered: Layered, labels: Labels, scale: Scale, view: View) -> list[Panel]:
    image = layered.image
    values = layered.values or image.on(np.zeros_like(image.array), image.grid)
    panels = panels_of(image, labels, None, view, paint=(values, scale.over))
    captions = [f"{layered.heading}   {panels[0].caption}".strip()]
    captions += [panel.caption for panel in panels[1:]]
    return [
        Panel(p.shades, p.labels, None, p.spacing, p.letters, caption)
        for p, caption in zip(panels, captions, strict=True)
    ]
