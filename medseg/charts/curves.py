"""Curves and dots in a square from 0 to 1."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import floor, isfinite

from medseg.charts.chart import COLOURS, PALE, TITLE, Chart, plain, shortened, tag, text
from medseg.charts.scale import Scale, across, up

_SIDE, _LEFT, _TOP, _LEGEND, _LINE = 360.0, 70.0, 44.0, 260.0, 20.0


@dataclass(frozen=True)
class Curve:
    """Points of a curve, left out where they are not finite.

    Parameters
    ----------
    name : str
    x, y : sequence of float
        In [0, 1].
    weights : sequence of float
        Share of what there is that each point stands for: the size of its dot.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    weights: Sequence[float]


@dataclass(frozen=True)
class Dot:
    """A point in [0, 1], and what it is; left out where it is not finite."""

    x: float
    y: float
    tip: str


def curve_chart(
    curves: Sequence[Curve], title: str, axes: tuple[str, str], *, description: str
) -> Chart:
    """Curves beside the diagonal, with a legend.

    Parameters
    ----------
    axes : (str, str)
        What stands along x and along y.
    """
    drawn = [(curve.name, partial(_curve, curve)) for curve in curves]
    return _square(drawn, title, axes, description)


def dot_chart(
    dots: Mapping[str, Sequence[Dot]], title: str, axes: tuple[str, str], *, description: str
) -> Chart:
    """Dots beside the diagonal, with a legend; `axes` as for `curve_chart`.

    Both axes begin at the tenth below the lowest dot.
    """
    places = [x for some in dots.values() for dot in some for x in (dot.x, dot.y) if isfinite(x)]
    low = min(floor(10 * min(places, default=0)) / 10, 0.9)
    drawn = [(name, partial(_dots, some)) for name, some in dots.items()]
    return _square(drawn, title, axes, description, low)


def _square(
    drawn: Sequence[tuple[str, Callable[[Scale, Scale, str], str]]],
    title: str,
    axes: tuple[str, str],
    description: str,
    low: float = 0.0,
) -> Chart:
    right, bottom = _LEFT + _SIDE, _TOP + _SIDE
    across_scale, up_scale = Scale(low, 1, _LEFT, right), Scale(low, 1, bottom, _TOP)
    parts = [text(title, 8, 22, font_size=TITLE, font_weight="bold")]
    parts += [across(across_scale, _TOP, bottom), up(up_scale, _LEFT, right)]
    diagonal = {"x1": _LEFT, "y1": bottom, "x2": right, "y2": _TOP}
    parts.append(tag("line", **diagonal, stroke=PALE, stroke_dasharray="5 4"))
    for k, (name, draw) in enumerate(drawn):
        colour = COLOURS[k % len(COLOURS)]
        parts.append(draw(across_scale, up_scale, colour))
        y = _TOP + 8 + _LINE * k
        parts.append(tag("circle", cx=right + 24, cy=y, r=5, fill=colour))
        parts.append(text(shortened(name), right + 38, y + 4))
    parts.append(text(axes[0], (_LEFT + right) / 2, bottom + 38, text_anchor="middle", fill=PALE))
    middle = (_TOP + bottom) / 2
    turned = {"text_anchor": "middle", "fill": PALE, "transform": f"rotate(-90 20 {middle:.1f})"}
    parts.append(text(axes[1], 20, middle, **turned))
    height = max(bottom + 50, _TOP + _LINE * len(drawn) + 16)
    return Chart(right + _LEGEND, height, title, description, "".join(parts))


def _dots(dots: Sequence[Dot], across_scale: Scale, up_scale: Scale, colour: str) -> str:
    return "".join(
        tag(
            "circle",
            tag("title", plain(dot.tip)),
            cx=across_scale(dot.x),
            cy=up_scale(dot.y),
            r=4,
            fill=colour,
            fill_opacity=0.6,
        )
        for dot in dots
        if isfinite(dot.x) and isfinite(dot.y)
    )


def _curve(curve: Curve, across_scale: Scale, up_scale: Scale, colour: str) -> str:
    points = [
        (across_scale(x), up_scale(y), weight)
        for x, y, weight in zip(curve.x, curve.y, curve.weights, strict=True)
        if isfinite(x) and isfinite(y)
    ]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in points)
    drawn = tag("polyline", points=line, fill="none", stroke=colour, stroke_width=2)
    dots = (
        tag(
            "circle",
            tag("title", plain(f"{curve.name}: {100 * weight:.2g} % of the voxels")),
            cx=x,
            cy=y,
            r=2 + 8 * weight**0.5,
            fill=colour,
            fill_opacity=0.5,
        )
        for x, y, weight in points
    )
    return drawn + "".join(dots)
