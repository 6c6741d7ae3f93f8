"""What the lines on a picture stand for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from medseg.pictures.outlines import dashes_of, draw_lines
from medseg.pictures.paper import INK, LINE, TEXT, Colour, colour_of, draw_text, font_of

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

    from medseg.pictures.planes import Panel

_LINES = 4
_SAMPLE, _SPACE = 64, 14  # length of a line in the legend, and what follows it


class _Entry(NamedTuple):
    text: str
    colour: Colour | None
    dashed: bool = False

    @property
    def width(self) -> int:
        return _SAMPLE + 4 * _SPACE + round(font_of(TEXT).getlength(self.text))


def legend_of(panels: Sequence[Panel], names: Mapping[int, str], width: int) -> list[list[_Entry]]:
    """Lines of entries: which line is which, and the labels that are seen.

    What does not fit into a few lines is counted.
    """
    entries = []
    if any(panel.reference is not None for panel in panels):
        entries = [_Entry("segmentation", INK), _Entry("reference", INK, dashed=True)]
    seen = sorted(set().union(*(panel.values() for panel in panels)))
    entries += [_Entry(_called(label, names), colour_of(label)) for label in seen]
    lines = _wrapped(entries, width)
    if len(lines) <= _LINES:
        return lines
    kept = lines[:_LINES]
    kept[-1] = kept[-1][:-1]
    left = len(entries) - sum(map(len, kept))
    kept[-1].append(_Entry(f"and {left} more", None))
    return kept


def draw_legend(
    pen: ImageDraw, lines: Iterable[Sequence[_Entry]], place: tuple[int, int], height: int
) -> None:
    """Draw the lines below each other, from `place` on."""
    left, y = place
    for line in lines:
        x = left
        for entry in line:
            _draw_entry(pen, entry, (x, y))
            x += entry.width
        y += height


def _called(label: int, names: Mapping[int, str]) -> str:
    return names.get(label) or f"label {label}"


def _wrapped(entries: Iterable[_Entry], width: int) -> list[list[_Entry]]:
    lines: list[list[_Entry]] = []
    room = 0
    for entry in entries:
        if entry.width > room:
            lines.append([])
            room = width
        lines[-1].append(entry)
        room -= entry.width
    return lines


def _draw_entry(pen: ImageDraw, entry: _Entry, place: tuple[int, int]) -> None:
    x, y = place
    if entry.colour is None:
        draw_text(pen, place, entry.text, TEXT, INK)
        return
    line = np.array([[x, y + TEXT / 2 + 3], [x + _SAMPLE, y + TEXT / 2 + 3]], float)
    pieces = list(dashes_of(line, LINE + 1)) if entry.dashed else [line]
    draw_lines(pen, [(entry.colour, piece) for piece in pieces], LINE + 1)
    draw_text(pen, (x + _SAMPLE + _SPACE, y), entry.text, TEXT, INK)
