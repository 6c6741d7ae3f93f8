"""What all pictures are drawn with: the font, the colours of labels, and the file."""

from __future__ import annotations

import colorsys
import io
from pathlib import Path
from typing import TYPE_CHECKING

from medseg.io import replace_file

if TYPE_CHECKING:
    from PIL.Image import Image as Picture
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont, ImageFont

Colour = tuple[int, int, int]

PAPER: Colour = (14, 14, 16)
INK: Colour = (245, 245, 245)
PALE: Colour = (175, 175, 182)
TITLE, TEXT, LINE = 40, 30, 4  # px

# Light enough for a dark image and far enough from each other for a projector.
_COLOURS: tuple[Colour, ...] = (
    (255, 92, 56),
    (64, 196, 255),
    (255, 214, 10),
    (94, 230, 94),
    (255, 120, 214),
    (164, 148, 255),
    (255, 160, 70),
    (40, 220, 190),
    (200, 230, 90),
    (255, 140, 140),
    (120, 160, 255),
    (225, 180, 140),
)
_GOLDEN = 0.618034  # as a step of the hue, it never comes near a hue that it met


def colour_of(label: int) -> Colour:
    """Colour of a label, the same in every picture."""
    if 1 <= label <= len(_COLOURS):
        return _COLOURS[label - 1]
    red, green, blue = colorsys.hsv_to_rgb(label * _GOLDEN % 1, 0.45 + 0.35 * (label % 2), 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)


def lighter(colour: Colour) -> Colour:
    """Mix a colour with as much white."""
    red, green, blue = colour
    return (red + 255) // 2, (green + 255) // 2, (blue + 255) // 2


def font_of(size: int) -> FreeTypeFont | ImageFont:
    """Pillow's own font, which looks the same on every machine; `size` in pixels."""
    from PIL import ImageFont

    return ImageFont.load_default(size)


def draw_text(
    pen: ImageDraw,
    place: tuple[float, float],
    text: str,
    size: int,
    colour: Colour,
    anchor: str = "la",
) -> None:
    """Write a line with a dark border, so that it shows on bright tissue too."""
    pen.text(
        place,
        text,
        fill=colour,
        font=font_of(size),
        anchor=anchor,
        stroke_width=2,
        stroke_fill=(0, 0, 0),
    )


def fitted(text: str, size: int, width: float) -> tuple[str, int]:
    """The text and the size, at most `size`, with which it is no wider than `width` px.

    What would be smaller than two thirds is cut off instead.
    """
    for smaller in range(size, 2 * size // 3 - 1, -1):
        if font_of(smaller).getlength(text) <= width:
            return text, smaller
    kept = text
    while kept and font_of(smaller).getlength(kept + "...") > width:
        kept = kept[:-1]
    return kept + "...", smaller


def save_png(picture: Picture, path: str | Path) -> None:
    """Write a picture as PNG, whole or not at all."""
    file = Path(path)
    if file.suffix.lower() != ".png":
        raise ValueError(f"pictures are written as .png, got {file}")
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    replace_file(file, buffer.getvalue())
