"""One panel as a picture: shades, outlines, letters, a bar of some millimetres."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from medseg.pictures.outlines import dashes_of, draw_lines, length_of, outlines_of
from medseg.pictures.paper import INK, LINE, TEXT, colour_of, draw_text, lighter

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

    from medseg.pictures.planes import Panel

_FINE = 2  # drawn so many times larger, then reduced, so that lines are smooth
_CROWDED = 0.16  # share of a panel that outlines may cover before they are drawn thinner
_BARS = (1, 2, 5, 10, 20, 50, 100, 200, 500)  # mm
_BAR_SHARE = 0.4  # of the width of the panel, at most
_INSET = 8


def painted(panel: Panel, scale: float) -> Picture:
    """Panel with `scale` px to the millimetre: segmentation solid, reference dashed."""
    from PIL import Image as Pictures
    from PIL import ImageDraw

    height, width = (max(round(scale * mm), 8) for mm in panel.extent)
    fine = (width * _FINE, height * _FINE)
    picture = Pictures.fromarray(panel.shades).resize(fine, Pictures.Resampling.BICUBIC)
    pen = ImageDraw.Draw(picture)
    maps = [panel.labels] if panel.reference is None else [panel.labels, panel.reference]
    pixels = np.array(fine) / panel.labels.T.shape
    inset = LINE * _FINE / 2 / pixels.max()
    solid, *dashed = ([(n, line * pixels) for n, line in outlines_of(m, inset)] for m in maps)
    thick = LINE * _FINE
    if thick * sum(length_of(line) for _, line in solid) > _CROWDED * fine[0] * fine[1]:
        thick //= 2
    draw_lines(pen, [(colour_of(label), line) for label, line in solid], thick)
    for label, line in (each for lines in dashed for each in lines):
        colour = lighter(colour_of(label))
        draw_lines(pen, [(colour, dash) for dash in dashes_of(line, thick)], thick)
    return picture.reduce(_FINE)


def draw_letters(picture: Picture, letters: str) -> None:
    """Say what the patient has on the left, right, top and bottom."""
    from PIL import ImageDraw

    pen = ImageDraw.Draw(picture)
    width, height = picture.size
    middle, centre = width / 2, height / 2
    places = (
        (_INSET, centre, "lm"),
        (width - _INSET, centre, "rm"),
        (middle, _INSET, "ma"),
        (middle, height - _INSET, "md"),
    )
    for letter, (x, y, anchor) in zip(letters, places, strict=False):
        draw_text(pen, (x, y), letter, TEXT, INK, anchor)


def draw_bar(picture: Picture, scale: float) -> None:
    """Draw the longest bar of a round number of millimetres that fits."""
    from PIL import ImageDraw

    fitting = [mm for mm in _BARS if mm * scale <= _BAR_SHARE * picture.width]
    if not fitting:
        return
    pen = ImageDraw.Draw(picture)
    foot, right = picture.height - 2 * _INSET, 2 * _INSET + fitting[-1] * scale
    pen.rectangle((2 * _INSET - 2, foot - 7, right + 2, foot + 2), fill=(0, 0, 0))
    pen.rectangle((2 * _INSET, foot - 5, right, foot), fill=INK)
    text = f"{fitting[-1]} mm"
    draw_text(pen, (2 * _INSET, foot - 12), text, TEXT - 4, INK, "ld")
