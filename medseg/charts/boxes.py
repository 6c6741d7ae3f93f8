"""Boxes and strips: every value as a dot, and where the middle half of them lies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, isfinite, isnan

import numpy as np

from medseg.charts.chart import (
    COLOURS,
    INK,
    PALE,
    TITLE,
    Chart,
    plain,
    shortened,
    tag,
    text,
    width_of,
)
from medseg.charts.scale import Scale, across

_WIDTH, _ROW, _BOX, _SECTION = 900.0, 34.0, 14.0, 26.0
_TOP, _BOTTOM, _NOTE, _BEYOND = 40.0, 46.0, 150.0, 34.0
_MOST = 300  # dots in a row; more can't be told apart
_GOLDEN = 0.618034  # steps of it never cluster, so dots of one value lie apart


@dataclass(frozen=True)
class Row:
    """Values that are shown in one row.

    Parameters
    ----------
    name : str
    values : sequence of float
        Those that are infinite are shown beyond the end of the axis, nan is not.
    tips : sequence of str
        What each value is called; shown where the pointer rests. May be empty.
    note : str
        Stands behind the row.
    section : str
        Rows of one section stand below its name.
    colour : int
        Index in `COLOURS`.
    """

    name: str
    values: Sequence[float]
    tips: Sequence[str] = ()
    note: str = ""
    section: str = ""
    colour: int = 0


def box_chart(
    rows: Sequence[Row],
    title: str,
    axis: str,
    within: tuple[float, float] = (-inf, inf),
    *,
    description: str = "",
) -> Chart:
    """Rows of boxes with a dot for each value.

    A box holds the middle half, its line is the median, its whiskers reach to the last value
    within one and a half times its length (Tukey). Of more than 300 values in a row, 300 from
    the lowest to the highest get a dot.

    Parameters
    ----------
    axis : str
        What the numbers are, with their unit.
    within : (float, float)
        What they can be at most.
    description : str
        By default the median of each row.
    """
    left = 24 + max(width_of(shortened(row.name)) for row in rows)
    endless = any(value == inf for row in rows for value in row.values)
    right = _WIDTH - _NOTE - (_BEYOND if endless else 0)
    finite = [value for row in rows for value in row.values if isfinite(value)]
    scale = Scale.over(finite, (left, right), within)
    drawn, y, section = [], _TOP, ""
    for row in rows:
        if row.section != section:
            section = row.section
            drawn.append(text(shortened(section, 60), 8, y + 18, font_weight="bold"))
            y += _SECTION
        drawn.append(_row(row, y + _ROW / 2, scale, right + _BEYOND / 2))
        y += _ROW
    head = text(title, 8, 22, font_size=TITLE, font_weight="bold")
    foot = text(axis, (left + right) / 2, y + 38, text_anchor="middle", fill=PALE)
    beyond = text("∞", right + _BEYOND / 2, y + 16, text_anchor="middle") if endless else ""
    body = head + across(scale, _TOP, y) + beyond + "".join(drawn) + foot
    told = description or "; ".join(map(_told, rows))
    return Chart(_WIDTH, y + _BOTTOM, title, told, body)


def _row(row: Row, y: float, scale: Scale, beyond: float) -> str:
    colour = COLOURS[row.colour % len(COLOURS)]
    finite = np.array([value for value in row.values if isfinite(value)])
    name = text(shortened(row.name), scale.start - 12, y + 4, text_anchor="end")
    note = text(row.note, _WIDTH - _NOTE + 12, y + 4, fill=PALE)
    box = _box(finite, y, scale, colour) if len(finite) else ""
    dots = "".join(_dot(k, row, (y, colour, beyond), scale) for k in _shown(row.values))
    return name + box + dots + note


def _box(values: np.ndarray, y: float, scale: Scale, colour: str) -> str:
    q1, middle, q3 = np.percentile(values, [25, 50, 75])
    reach = 1.5 * (q3 - q1)
    low = values[values >= q1 - reach].min()
    high = values[values <= q3 + reach].max()
    parts = [
        tag("line", x1=scale(a), x2=scale(b), y1=y, y2=y, stroke=INK)
        for a, b in ((low, q1), (q3, high))
    ]
    wide = max(scale(q3) - scale(q1), 1.0)
    parts.append(
        tag(
            "rect",
            x=scale(q1),
            y=y - _BOX / 2,
            width=wide,
            height=_BOX,
            fill=colour,
            fill_opacity=0.15,
            stroke=INK,
        )
    )
    x = scale(middle)
    parts.append(
        tag("line", x1=x, x2=x, y1=y - _BOX / 2, y2=y + _BOX / 2, stroke=INK, stroke_width=2.5)
    )
    return "".join(parts)


def _shown(values: Sequence[float]) -> list[int]:
    """Which of the values get a dot: of too many, some from the lowest to the highest."""
    known = [k for k, value in enumerate(values) if not isnan(value) and value != -inf]
    if len(known) <= _MOST:
        return known
    ordered = sorted(known, key=lambda k: values[k])
    return [ordered[round(at)] for at in np.linspace(0, len(ordered) - 1, _MOST)]


def _dot(k: int, row: Row, place: tuple[float, str, float], scale: Scale) -> str:
    middle, colour, beyond = place
    value = row.values[k]
    y = middle + (k * _GOLDEN % 1 - 0.5) * (_BOX - 2)
    tip = tag("title", plain(row.tips[k])) if k < len(row.tips) else ""
    if value == inf:
        left, right = beyond - 4, beyond + 4
        points = f"{left:.1f},{y - 4:.1f} {right:.1f},{y:.1f} {left:.1f},{y + 4:.1f}"
        return tag("polygon", tip, points=points, fill="none", stroke=colour, stroke_width=1.5)
    return tag("circle", tip, cx=scale(value), cy=y, r=2.6, fill=colour, fill_opacity=0.65)


def _told(row: Row) -> str:
    finite = [value for value in row.values if isfinite(value)]
    name = f"{row.section}, {row.name}" if row.section else row.name
    if not finite:
        return f"{name}: no finite value"
    note = f" ({row.note})" if row.note else ""
    return f"{name}: median {np.median(finite):.4g}{note}"
