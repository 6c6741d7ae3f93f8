"""Numbers with their intervals, one below the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, isfinite, isnan

from medseg.charts.chart import COLOURS, INK, PALE, TITLE, Chart, shortened, tag, text, width_of
from medseg.charts.scale import Scale, across

_WIDTH, _ROW, _TOP, _BOTTOM, _NOTE = 900.0, 26.0, 40.0, 46.0, 270.0


@dataclass(frozen=True)
class Interval:
    """A number and its interval; either end may be infinite, nan is unknown."""

    name: str
    middle: float
    low: float
    high: float
    note: str = ""


def interval_chart(
    rows: Sequence[Interval], title: str, axis: str, *, description: str = ""
) -> Chart:
    """Intervals beside a line at 0; an end beyond the axis is an arrow.

    Parameters
    ----------
    axis : str
        What the numbers are, with their unit.
    """
    left = 24 + max(width_of(shortened(row.name)) for row in rows)
    right = _WIDTH - _NOTE
    numbers = [value for row in rows for value in (row.low, row.middle, row.high)]
    scale = Scale.over([*numbers, 0.0], (left, right), (-inf, inf))
    bottom = _TOP + _ROW * len(rows)
    parts = [text(title, 8, 22, font_size=TITLE, font_weight="bold"), across(scale, _TOP, bottom)]
    parts.append(tag("line", x1=scale(0), x2=scale(0), y1=_TOP, y2=bottom, stroke=INK))
    for k, row in enumerate(rows):
        y = _TOP + _ROW * (k + 0.5)
        parts.append(text(shortened(row.name), left - 12, y + 4, text_anchor="end"))
        parts.append(text(row.note, right + 14, y + 4, fill=PALE))
        parts.append(_interval(row, y, scale))
    parts.append(text(axis, (left + right) / 2, bottom + 38, text_anchor="middle", fill=PALE))
    told = description or "; ".join(
        f"{row.name}: {row.middle:.4g} ({row.low:.4g} to {row.high:.4g}) {row.note}" for row in rows
    )
    return Chart(_WIDTH, bottom + _BOTTOM, title, told, "".join(parts))


def _interval(row: Interval, y: float, scale: Scale) -> str:
    colour = COLOURS[0]
    parts = []
    if not isnan(row.low) and not isnan(row.high):
        a, b = (scale(min(max(end, scale.low), scale.high)) for end in (row.low, row.high))
        parts.append(tag("line", x1=a, x2=b, y1=y, y2=y, stroke=colour, stroke_width=3))
        if row.low == -inf:
            parts.append(_arrow(scale.start, y, -1, colour))
        if row.high == inf:
            parts.append(_arrow(scale.end, y, 1, colour))
    if isfinite(row.middle):
        parts.append(tag("circle", cx=scale(row.middle), cy=y, r=5, fill=colour))
    elif not isnan(row.middle):
        side = 1 if row.middle > 0 else -1
        parts.append(_arrow(scale.end if side > 0 else scale.start, y, side, colour))
    return "".join(parts)


def _arrow(x: float, y: float, side: int, colour: str) -> str:
    points = f"{x:.1f},{y - 6:.1f} {x + 9 * side:.1f},{y:.1f} {x:.1f},{y + 6:.1f}"
    return tag("polygon", points=points, fill=colour)
