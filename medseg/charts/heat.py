"""A matrix of shares as shades."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from medseg.charts.chart import GRID, PALE, TITLE, Chart, plain, shortened, tag, text, width_of

_DARKEST = np.array([0, 68, 136])
_WIDTH = 900.0
_CELLS = (18.0, 56.0)  # px, of many and of few
_WRITTEN = 40.0  # from this size on, cells bear their number
_TOP = 70.0
_LETTERS = 22


def heat_chart(
    shares: NDArray[np.floating],
    names: Sequence[str],
    title: str,
    axes: tuple[str, str],
    *,
    description: str,
) -> Chart:
    """Square matrix of shares in [0, 1], a row and a column for each name.

    Parameters
    ----------
    shares : (n, n) float array
        nan is shown empty.
    axes : (str, str)
        What the rows and what the columns are.
    """
    short = [shortened(name, _LETTERS) for name in names]
    margin = 34 + max(map(width_of, short))
    room = (_WIDTH - margin) / len(names)
    side = float(np.clip(room, *_CELLS))
    top = _TOP + (0 if side > margin else margin * 0.75)
    parts = [text(title, 8, 22, font_size=TITLE, font_weight="bold")]
    parts.append(text(f"rows: {axes[0]}; columns: {axes[1]}", 8, 42, fill=PALE))
    for k, name in enumerate(short):
        middle = (k + 0.5) * side
        parts.append(text(name, margin - 10, top + middle + 4, text_anchor="end"))
        x = margin + middle
        parts.append(text(name, x, top - 8, transform=f"rotate(-45 {x:.1f} {top - 8:.1f})"))
    for (row, column), share in np.ndenumerate(shares):
        place = margin + column * side, top + row * side
        tip = f"{names[row]} → {names[column]}: {_percent(share)}"
        parts.append(_cell(float(share), place, side, tip))
    width = max(margin + side * len(names) + margin * 0.75, 420.0)
    return Chart(width, top + side * len(names) + 16, title, description, "".join(parts))


def _cell(share: float, place: tuple[float, float], side: float, tip: str) -> str:
    x, y = place
    known = 0.0 if np.isnan(share) else min(max(share, 0.0), 1.0)
    # Mistakes are small shares, and they are what one looks for.
    strength = known**0.5
    shade = "#" + "".join(f"{round(255 + strength * (c - 255)):02x}" for c in _DARKEST)
    tooltip = tag("title", plain(tip))
    cell = tag("rect", tooltip, x=x, y=y, width=side, height=side, fill=shade, stroke=GRID)
    if side < _WRITTEN or np.isnan(share):
        return cell
    ink = "#ffffff" if strength > 0.5 else "#222222"
    middle = x + side / 2, y + side / 2 + 4
    words = _percent(share)
    return cell + text(words, *middle, text_anchor="middle", fill=ink, pointer_events="none")


def _percent(share: float) -> str:
    if np.isnan(share):
        return "none"
    percent = 100 * share
    if percent == 0 or percent == 100 or 9.95 <= percent < 99.5:
        return f"{percent:.0f} %"
    return f"{percent:.1f} %" if percent >= 0.05 else "< 0.1 %"
