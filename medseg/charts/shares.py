"""Shares that make up a whole, as bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from medseg.charts.chart import PALE, TITLE, Chart, plain, shortened, tag, text, width_of
from medseg.charts.scale import Scale, across

_WIDTH, _ROW, _BAR, _TOP, _BOTTOM, _NOTE = 900.0, 30.0, 20.0, 66.0, 46.0, 150.0
_SHADES = ("#08306b", "#2171b5", "#6baed6", "#bdd7e7", "#dddddd")  # dark is first
_LEAST_WRITTEN = 0.08


def share_chart(
    rows: Mapping[str, Sequence[float]],
    parts: Sequence[str],
    title: str,
    *,
    notes: Mapping[str, str] | None = None,
    description: str = "",
) -> Chart:
    """A bar for each row, made of one share for each part.

    Parameters
    ----------
    rows : mapping of str to sequence of float
        Shares that make up 1.
    parts : sequence of str
        What the shares are of, in their order: dark to bright.
    notes : mapping of str to str, optional
        What stands behind a row.
    """
    left = 24 + max(width_of(shortened(name)) for name in rows)
    right = _WIDTH - _NOTE
    scale, bottom = Scale(0, 100, left, right), _TOP + _ROW * len(rows)
    drawn = [text(title, 8, 22, font_size=TITLE, font_weight="bold"), across(scale, _TOP, bottom)]
    x = left
    for k, part in enumerate(parts):
        drawn.append(tag("rect", x=x, y=36, width=14, height=14, fill=_shade(k), stroke=PALE))
        drawn.append(text(part, x + 20, 48))
        x += 40 + width_of(part)
    for k, (name, shares) in enumerate(rows.items()):
        y = _TOP + _ROW * (k + 0.5)
        drawn.append(text(shortened(name), left - 12, y + 4, text_anchor="end"))
        drawn.append(text((notes or {}).get(name, ""), right + 14, y + 4, fill=PALE))
        drawn.append(_bar(name, shares, parts, y, scale))
    drawn.append(text("% of the samples", (left + right) / 2, bottom + 38, text_anchor="middle"))
    told = description or "; ".join(
        f"{name}: " + ", ".join(f"{p} {100 * s:.0f} %" for p, s in zip(parts, shares, strict=True))
        for name, shares in rows.items()
    )
    return Chart(_WIDTH, bottom + _BOTTOM, title, told, "".join(drawn))


def _bar(name: str, shares: Sequence[float], parts: Sequence[str], y: float, scale: Scale) -> str:
    drawn, before = [], 0.0
    for k, (part, share) in enumerate(zip(parts, shares, strict=True)):
        if share <= 0:
            continue
        a, b = scale(100 * before), scale(100 * (before + share))
        tip = tag("title", plain(f"{name}, {part}: {100 * share:.1f} %"))
        box = {"x": a, "y": y - _BAR / 2, "width": b - a, "height": _BAR}
        drawn.append(tag("rect", tip, **box, fill=_shade(k), stroke="#ffffff"))
        if share >= _LEAST_WRITTEN:
            ink = "#ffffff" if k < 2 else "#222222"
            words = f"{100 * share:.0f} %"
            drawn.append(text(words, (a + b) / 2, y + 4, text_anchor="middle", fill=ink))
        before += share
    return "".join(drawn)


def _shade(k: int) -> str:
    return _SHADES[min(k, len(_SHADES) - 1)]
