"""Whether probabilities came true."""

from __future__ import annotations

from collections.abc import Mapping

from medseg.evaluation.reliability import BAND_MM
from medseg.evaluation.reliability_chart import reliability_chart
from medseg.metrics import CALIBRATION
from medseg.metrics.calibration import Reliability
from medseg.page import paragraph, section, table
from medseg.report.numbers import written

_AT_ONCE = 7  # curves in one chart, as there are colours


def reliable(tables: Mapping[int, Reliability], names: Mapping[int | str, str]) -> str:
    """Curves of frequency over confidence, and the numbers of `CALIBRATION`."""
    called = {label: names.get(label, str(label)) for label in tables}
    rows = [
        [called[label], *(written(CALIBRATION[name].compute(found)) for name in CALIBRATION)]
        for label, found in tables.items()
    ]
    numbers = table("Calibration of each label", ["label", *CALIBRATION], rows)
    labels = list(tables)
    charts = [
        reliability_chart(
            {called[label]: tables[label] for label in labels[start : start + _AT_ONCE]}
        ).svg()
        for start in range(0, len(labels), _AT_ONCE)
    ]
    words = (
        "On the diagonal, what was said with a probability came true as often. Voxels of all "
        f"cases within {BAND_MM:g} mm of the border of what is annotated; a larger dot is more "
        "of them."
    )
    return section("Reliability", paragraph(words), *charts, numbers)
