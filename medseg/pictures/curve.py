"""Pictures that say what happened: the curve of a training."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from itertools import cycle
from math import floor, log10
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medseg.io import replace_file

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

_SIZE = 1200, 700
_MARGIN = 90
_INK, _GRID = "#222222", "#dddddd"
_COLOURS = ("#d95f02", "#1b9e77", "#7570b3", "#e7298a", "#66a61e", "#e6ab02", "#a6761d")
_FONT = 22


def draw_curve(log: Path, picture: Path) -> None:
    """Draw the losses and the validation Dice of a training over its minutes, as PNG.

    Parameters
    ----------
    log : path
        The `log.jsonl` of a run.
    picture : path
        Where to write.
    """
    from PIL import Image as Picture
    from PIL import ImageDraw, ImageFont

    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    curves = _curves(lines)
    if not curves:
        return
    canvas = Picture.new("RGB", _SIZE, "white")
    pen = ImageDraw.Draw(canvas)
    pen.font = ImageFont.load_default(_FONT)
    minutes = max(x for points in curves.values() for x, _ in points)
    # The first losses, of a network that knows nothing, would flatten all that follows.
    top = max(1.0, *(points[-1][1] for points in curves.values()))
    _draw_axes(pen, minutes, top)
    for (name, points), colour in zip(curves.items(), cycle(_COLOURS), strict=False):
        pixels = [_place(x / minutes, min(y / top, 1)) for x, y in points]
        pen.line(pixels, fill=colour, width=4, joint="curve")
        if name != "loss":
            for x, y in pixels:
                pen.ellipse((x - 6, y - 6, x + 6, y + 6), fill=colour)
    _draw_legend(pen, {name: points[-1][1] for name, points in curves.items()})
    buffer = io.BytesIO()
    canvas.save(buffer, "PNG")
    replace_file(picture, buffer.getvalue())


def _curves(lines: Sequence[dict[str, Any]]) -> dict[str, list[tuple[float, float]]]:
    """Points (minutes, value) of the loss and of each label's Dice."""
    curves: dict[str, list[tuple[float, float]]] = {}
    for line in lines:
        minutes = line["seconds"] / 60
        values = {"loss": line["loss"]} if "loss" in line else {}
        values |= {f"Dice {label}": dice for label, dice in line.get("dice", {}).items()}
        for name, value in values.items():
            curves.setdefault(name, []).append((minutes, value))
    return curves


def _place(x: float, y: float) -> tuple[float, float]:
    """Pixel of a point of the unit square."""
    width, height = _SIZE
    return _MARGIN + x * (width - 2 * _MARGIN), height - _MARGIN - y * (height - 2 * _MARGIN)


def _draw_axes(pen: ImageDraw, minutes: float, top: float) -> None:
    for k in range(6):
        level = _place(0, k / 5), _place(1, k / 5)
        pen.line(level, fill=_GRID, width=2)
        pen.text((level[0][0] - 12, level[0][1]), f"{top * k / 5:.2f}", fill=_INK, anchor="rm")
    for minute in _ticks(minutes):
        foot = _place(minute / minutes, 0)
        pen.line((foot, (foot[0], foot[1] + 8)), fill=_INK, width=2)
        pen.text((foot[0], foot[1] + 14), f"{minute:g}", fill=_INK, anchor="mt")
    pen.text((_SIZE[0] / 2, _SIZE[1] - 16), "minutes", fill=_INK, anchor="mb")


def _ticks(end: float) -> list[float]:
    """Round numbers from 0 to `end`, four to ten of them."""
    power: float = 10 ** floor(log10(end / 3))
    step = next(power * times for times in (5, 2, 1) if power * times <= end / 3)
    return [round(step * k, 12) for k in range(int(end / step * (1 + 1e-9)) + 1)]


def _draw_legend(pen: ImageDraw, last: dict[str, float]) -> None:
    x, y = _MARGIN, 18
    for (name, value), colour in zip(last.items(), cycle(_COLOURS), strict=False):
        text = f"{name} {value:.3f}"
        if x + pen.textlength(text) + 60 > _SIZE[0]:
            x, y = _MARGIN, y + _FONT + 8
        pen.rectangle((x, y + 4, x + 18, y + 22), fill=colour)
        pen.text((x + 26, y), text, fill=_INK)
        x += int(pen.textlength(text)) + 60
