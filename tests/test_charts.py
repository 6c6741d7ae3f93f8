"""Charts: valid SVG, told in words too, with everything where its number says."""

import math
import xml.etree.ElementTree as ET
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medseg.charts import (
    Chart,
    Curve,
    Dot,
    Interval,
    Row,
    box_chart,
    curve_chart,
    dot_chart,
    heat_chart,
    interval_chart,
    line_chart,
    share_chart,
    stack,
)
from medseg.charts.chart import number
from medseg.charts.scale import Scale, step_of

SVG = "{http://www.w3.org/2000/svg}"
ODD = 'a <b> & "c"\x07'
HALVES = np.full((2, 2), 0.5)
CHARTS = {
    "boxes": box_chart([Row(ODD, [1.0, 2.0, math.inf, math.nan], [ODD] * 4, ODD, ODD)], ODD, ODD),
    "heat": heat_chart(HALVES, [ODD, "c"], ODD, (ODD, ODD), description=ODD),
    "curves": curve_chart(
        [Curve(ODD, [0.1, 0.9], [0.2, math.nan], [0.5, 0.5])], ODD, (ODD, ODD), description=ODD
    ),
    "dots": dot_chart(
        {ODD: [Dot(0.2, 0.4, ODD), Dot(0.1, math.nan, ODD)]}, ODD, (ODD, ODD), description=ODD
    ),
    "intervals": interval_chart([Interval(ODD, 1.0, -math.inf, math.inf, ODD)], ODD, ODD),
    "lines": line_chart(
        {ODD: [(1, 0.2), (2, 0.4)]}, ODD, (ODD, ODD), within=(0, 1), description=ODD
    ),
    "shares": share_chart({ODD: [0.25, 0.75]}, ["first", ODD], ODD, notes={ODD: ODD}),
}


def drawn(chart: Chart) -> ET.Element:
    return ET.fromstring(chart.svg())


def found(chart: Chart, kind: str) -> list[dict[str, str]]:
    return [element.attrib for element in drawn(chart).iter(f"{SVG}{kind}")]


# contract


@pytest.mark.parametrize("name", CHARTS)
def test_a_chart_is_svg_that_says_in_words_what_it_shows(name: str) -> None:
    root = drawn(CHARTS[name])
    assert root.tag == f"{SVG}svg"
    assert root.attrib["role"] == "img"
    told = {element.attrib["id"]: element.text for element in root if "id" in element.attrib}
    title, description = (told[key] for key in root.attrib["aria-labelledby"].split())
    assert title == 'a <b> & "c"\ufffd'
    assert description


@pytest.mark.parametrize("name", CHARTS)
def test_nothing_is_drawn_beside_the_chart(name: str) -> None:
    chart = CHARTS[name]
    for element in drawn(chart).iter():
        for key, value in element.attrib.items():
            if key in ("x", "x1", "x2", "cx"):
                assert 0 <= float(value) <= chart.width
            if key in ("y", "y1", "y2", "cy"):
                assert 0 <= float(value) <= chart.height


@pytest.mark.parametrize("name", CHARTS)
def test_a_chart_asks_for_nothing_from_anywhere(name: str) -> None:
    kinds = {element.tag.removeprefix(SVG) for element in drawn(CHARTS[name]).iter()}
    assert not kinds & {"script", "image", "use", "style", "foreignObject"}
    assert not any("href" in k for element in drawn(CHARTS[name]).iter() for k in element.attrib)


def test_charts_below_each_other_do_not_overlap() -> None:
    both = stack([CHARTS["boxes"], CHARTS["shares"]], "both")
    assert both.height == CHARTS["boxes"].height + CHARTS["shares"].height
    second = found(both, "g")[1]["transform"]
    assert second == f"translate(0 {number(CHARTS['boxes'].height)})"
    assert CHARTS["shares"].description in both.description


# scales


@settings(deadline=None)
@given(st.floats(1e-6, 1e6))
def test_steps_are_round_and_make_a_few_ticks(extent: float) -> None:
    step = step_of(extent)
    first = float(f"{step:.6e}".split("e")[0])
    assert first in (1, 2, 5)
    assert 2 <= extent / step <= 6.01


@settings(deadline=None)
@given(st.lists(st.floats(-1e4, 1e4), min_size=1, max_size=9))
def test_a_scale_holds_all_values_and_its_ticks_are_in_order(values: list[float]) -> None:
    scale = Scale.over([*values, math.inf, math.nan], (100, 500), (-math.inf, math.inf))
    assert all(99.99 <= scale(value) <= 500.01 for value in values)
    ticks = scale.ticks()
    assert len(ticks) >= 2
    assert all(a < b for a, b in pairwise(ticks))
    assert len({scale.written(tick) for tick in ticks}) == len(ticks)


def test_a_scale_goes_no_farther_than_its_numbers_can() -> None:
    scale = Scale.over([0.97, 0.999], (0, 100), (0, 1))
    assert (scale.high, scale.written(1.0)) == (1, "1.000")


# by hand


def test_a_box_holds_the_middle_half() -> None:
    values = [1.0, 2.0, 3.0, 4.0, 5.0, 20.0]
    chart = box_chart([Row("a", values)], "t", "mm", (0, math.inf))
    box = found(chart, "rect")[1]
    dots = {float(dot["cx"]) for dot in found(chart, "circle")}
    at = dict(zip(values, sorted(dots), strict=True))
    pixel = (at[20.0] - at[1.0]) / 19  # px per mm
    q1, q3 = np.percentile(values, [25, 75])
    assert float(box["x"]) == pytest.approx(at[1.0] + (q1 - 1) * pixel, abs=0.02)
    assert float(box["width"]) == pytest.approx((q3 - q1) * pixel, abs=0.02)
    ends = {float(line["x2"]) for line in found(chart, "line") if line.get("stroke") == "#222222"}
    assert max(ends) == pytest.approx(at[5.0], abs=0.02)  # 20 is too far for a whisker


def test_what_is_infinite_stands_beyond_the_axis_and_nan_nowhere() -> None:
    chart = box_chart([Row("a", [1.0, 2.0, math.inf, math.nan, math.inf])], "t", "mm")
    assert len(found(chart, "circle")) == 2
    triangles = found(chart, "polygon")
    assert len(triangles) == 2
    axis = max(float(line["x2"]) for line in found(chart, "line"))
    first = float(triangles[0]["points"].split(",")[0])
    assert first > axis
    assert "∞" in chart.svg()


def test_a_row_without_any_number_is_shown_all_the_same() -> None:
    chart = box_chart([Row("a", [math.nan]), Row("b", [1.0])], "t", "mm")
    assert "a: no finite value" in chart.description


def test_of_very_many_values_the_ends_keep_their_dots() -> None:
    values = np.random.default_rng(0).normal(size=5000).tolist()
    dots = [float(dot["cx"]) for dot in found(box_chart([Row("a", values)], "t", "mm"), "circle")]
    ends = found(box_chart([Row("a", [min(values), max(values)])], "t", "mm"), "circle")
    assert len(dots) == 300
    assert [min(dots), max(dots)] == [float(end["cx"]) for end in ends]


def test_a_larger_share_is_darker() -> None:
    shares = np.array([[0.0, 0.2], [0.6, 1.0]])
    chart = heat_chart(shares, ["a", "b"], "t", ("r", "c"), description="d")
    shades = [int(cell["fill"][1:3], 16) for cell in found(chart, "rect")[1:]]
    assert shades == sorted(shades, reverse=True)
    assert (shades[0], shades[-1]) == (255, 0)
    assert [f"{p} %" in chart.svg() for p in (0, 20, 60, 100)] == [True] * 4


def test_an_interval_without_end_has_an_arrow() -> None:
    rows = [Interval("a", 1.0, 0.5, math.inf), Interval("b", -1.0, -2.0, 0.0)]
    chart = interval_chart(rows, "t", "mm")
    assert len(found(chart, "polygon")) == 1
    assert len(found(chart, "circle")) == 2


def test_bars_are_as_long_as_their_shares() -> None:
    chart = share_chart({"a": [0.5, 0.0, 0.5], "b": [0.25, 0.5, 0.25]}, ["1", "2", "3"], "t")
    bars = [float(bar["width"]) for bar in found(chart, "rect") if bar["height"] == "20"]
    assert np.round(np.array(bars) / (bars[0] * 2), 3).tolist() == [0.5, 0.5, 0.25, 0.5, 0.25]


def test_the_legend_names_lines_in_the_order_in_which_they_end() -> None:
    lines = {"low": [(1, 0.9), (2, 0.1)], "high": [(1, 0.1), (2, 0.9)], "half": [(2, 0.5)]}
    chart = line_chart(lines, "t", ("x", "y"), within=(0, 1), description="d")
    shown = [each.text for each in drawn(chart).iter(f"{SVG}text") if each.text in lines]
    assert shown == ["high", "half", "low"]


def test_lines_go_through_their_points_and_differ_beyond_the_colours() -> None:
    lines = {f"line {k}": [(1.0, 0.0), (3.0, 1.0)] for k in range(9)}
    chart = line_chart(lines, "t", ("x", "y"), within=(0, 1), description="d")
    kept = [each for each in found(chart, "polyline") if each["points"].count(",") == 2]
    drawn_lines = kept[::2]  # every other one is in the legend
    (begin, end) = (tuple(map(float, p.split(","))) for p in drawn_lines[0]["points"].split())
    assert begin[0] < end[0]
    assert begin[1] > end[1]
    looks = {(each["stroke"], each["stroke-dasharray"]) for each in drawn_lines}
    assert len(looks) == len(drawn_lines) == 9


def test_the_axes_of_dots_begin_at_the_tenth_below_the_lowest() -> None:
    chart = dot_chart({"a": [Dot(0.83, 0.9, "case")]}, "", ("", ""), description="")
    dot = found(chart, "circle")[0]
    left, top, side = 70, 44, 360
    assert float(dot["cx"]) == pytest.approx(left + 0.15 * side, abs=0.1)
    assert float(dot["cy"]) == pytest.approx(top + 0.5 * side, abs=0.1)
