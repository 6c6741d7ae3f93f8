"""Lines over an axis of any numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from medseg.charts.chart import COLOURS, PALE, TITLE, Chart, plain, shortened, tag, text
from medseg.charts.scale import Scale, across, up

_WIDTH, _HEIGHT, _LEFT, _TOP, _LEGEND, _LINE = 520.0, 360.0, 70.0, 44.0, 230.0, 20.0
_DASHES = ("none", "7 4", "2 3")  # of those whose colour was taken before


def line_chart(
    lines: Mapping[str, Sequence[tuple[float, float]]],
    title: str,
    axes: tuple[str, str],
    *,
    within: tuple[float, float],
    description: str,
) -> Chart:
    """Lines through points, with a legend in which those that end together are neighbours.

    Parameters
    ----------
    lines : mapping of str to sequence of (x, y)
        Finite numbers, by the name that stands in the legend.
    axes : (str, str)
        What stands along x and along y.
    within : (float, float)
        Ends of the vertical axis.
    """
    right, bottom = _LEFT + _WIDTH, _TOP + _HEIGHT
    places = [x for points in lines.values() for x, _ in points]
    across_scale = Scale.over(places, (_LEFT, right), (min(places), max(places)))
    up_scale = Scale(*within, bottom, _TOP)
    parts = [text(title, 8, 22, font_size=TITLE, font_weight="bold")]
    parts += [across(across_scale, _TOP, bottom), up(up_scale, _LEFT, right)]
    # The highest end first; where there is no point, there is none.
    ordered = sorted(lines.items(), key=lambda line: [-y for _, y in line[1][-1:]])
    for k, (name, points) in enumerate(ordered):
        colour, dash = COLOURS[k % len(COLOURS)], _DASHES[k // len(COLOURS) % len(_DASHES)]
        path = " ".join(f"{across_scale(x):.1f},{up_scale(y):.1f}" for x, y in points)
        drawn = {"fill": "none", "stroke": colour, "stroke_width": 2, "stroke_dasharray": dash}
        parts.append(tag("polyline", tag("title", plain(name)), points=path, **drawn))
        y = _TOP + 8 + _LINE * k
        parts.append(tag("polyline", points=f"{right + 12},{y} {right + 36},{y}", **drawn))
        parts.append(text(shortened(name), right + 42, y + 4))
    parts.append(text(axes[0], (_LEFT + right) / 2, bottom + 38, text_anchor="middle", fill=PALE))
    middle = (_TOP + bottom) / 2
    turned = {"text_anchor": "middle", "fill": PALE, "transform": f"rotate(-90 20 {middle:.1f})"}
    parts.append(text(axes[1], 20, middle, **turned))
    height = max(bottom + 50, _TOP + _LINE * len(lines) + 16)
    return Chart(right + _LEGEND, height, title, description, "".join(parts))
