"""Reliability curves as a chart."""

from __future__ import annotations

from collections.abc import Mapping

from medseg.charts import Chart, Curve, curve_chart
from medseg.metrics import CALIBRATION
from medseg.metrics.calibration import Reliability


def reliability_chart(tables: Mapping[str, Reliability], title: str = "Reliability") -> Chart:
    """Curves of the share that came true over the probability that was said, by name."""
    curves = [
        Curve(
            name,
            found.confidence.tolist(),
            found.frequency.tolist(),
            (found.counts / max(found.counts.sum(), 1)).tolist(),
        )
        for name, found in tables.items()
    ]
    told = "; ".join(
        f"{name}: expected calibration error {CALIBRATION['ece'].compute(found):.3f}"
        for name, found in tables.items()
    )
    axes = "probability that was said", "share that came true"
    return curve_chart(curves, title, axes, description=told)
