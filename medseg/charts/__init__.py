"""Charts as SVG, of our own: they need no library, no network and no script to be seen.

A plotting library would bring eight packages for five kinds of chart, and text drawn as curves
that nobody can search or hear read out.
"""

from medseg.charts.boxes import Row, box_chart
from medseg.charts.chart import COLOURS, Chart, stack
from medseg.charts.curves import Curve, Dot, curve_chart, dot_chart
from medseg.charts.heat import heat_chart
from medseg.charts.intervals import Interval, interval_chart
from medseg.charts.lines import line_chart
from medseg.charts.shares import share_chart

__all__ = [
    "COLOURS",
    "Chart",
    "Curve",
    "Dot",
    "Interval",
    "Row",
    "box_chart",
    "curve_chart",
    "dot_chart",
    "heat_chart",
    "interval_chart",
    "line_chart",
    "share_chart",
    "stack",
]
