"""A calibration as one HTML file: curves and numbers before and after, and the expected Dice."""

from __future__ import annotations

from math import isnan
from pathlib import Path

import medseg
from medseg.calibrating.calibration import Calibration
from medseg.charts import Dot, dot_chart
from medseg.evaluation.reliability_chart import reliability_chart
from medseg.io import PathLike, replace_file
from medseg.metrics import CALIBRATION
from medseg.page import page, paragraph, section, table


def write_calibration_report(calibration: Calibration, path: PathLike) -> None:
    """Write a calibration as one HTML file that needs no other, nor a network.

    Raises
    ------
    ValueError
        If the path ends otherwise.
    """
    file = Path(path)
    if file.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"a report is written as .html, got {file}")
    sections = [_scaling(calibration), _reliability(calibration), _confidence(calibration)]
    sections.append(paragraph(f"Made by medseg {medseg.__version__}."))
    replace_file(file, page("Calibration of a model", sections))


def _scaling(calibration: Calibration) -> str:
    scaling, names = calibration.scaling, ["background", *calibration.names.values()]
    rows = [
        [name, f"{factor:.4f}", f"{offset:.4f}"]
        for name, factor, offset in zip(names, scaling.factors, scaling.offsets, strict=True)
    ]
    bold = "over-confident" if scaling.temperature > 1 else "not confident enough"
    words = (
        f"By {calibration.method} scaling, fitted to {len(calibration.cases)} cases. Logits are "
        f"divided by {scaling.temperature:.3f} on the average: before, the model was {bold}. "
        f"Looked at were voxels within {calibration.margin_mm:g} mm of the border of what is "
        "annotated; far from it everything is background and every model is right."
    )
    heads = ["class", "factor", "offset"]
    return section("Scaling", paragraph(words), table("Of the logits", heads, rows))


def _reliability(calibration: Calibration) -> str:
    tables = {
        "before": calibration.tables("before"),
        "after": calibration.tables("after"),
    }
    rows = [
        [f"{name}, {when}", *(_written(CALIBRATION[k].compute(some[label])) for k in CALIBRATION)]
        for label, name in calibration.names.items()
        for when, some in tables.items()
    ]
    before, after = (calibration.of_cases("ece", when) for when in ("before", "after"))
    words = (
        "On the diagonal, what was said with a probability came true as often; below it, less "
        "often than was said. A larger dot is more voxels. Each half of the cases is scaled by "
        "what was fitted to the other half, so nothing is judged on what it was fitted to. "
        f"Expected calibration error of a case, mean of the labels: {before.mean():.4f} before, "
        f"{after.mean():.4f} after, lower in {int((after < before).sum())} of "
        f"{len(calibration.cases)} cases."
    )
    charts = [
        reliability_chart({when: some[label] for when, some in tables.items()}, name).svg()
        for label, name in calibration.names.items()
    ]
    numbers = table("Calibration of each label", ["label", *CALIBRATION], rows)
    return section("Reliability", paragraph(words), *charts, numbers)


def _confidence(calibration: Calibration) -> str:
    dots = {
        name: [Dot(case.expected[label], case.dice[label], case.case) for case in calibration.cases]
        for label, name in calibration.names.items()
    }
    rows, told = [], []
    for label, name in calibration.names.items():
        pearson, spearman, count = calibration.confidence(label)
        rows.append([name, str(count), _written(pearson), _written(spearman)])
        told.append(f"{name}: correlation {_written(pearson)}")
    axes = "Dice that the probabilities expect", "Dice that was found"
    chart = dot_chart(dots, "Confidence", axes, description="; ".join(told))
    words = (
        "A dot is a case. Below the diagonal the model, before it was calibrated, expected more "
        "than it reached; if the dots rise to the right, it knew which cases were hard."
    )
    heads = ["label", "cases", "Pearson's r", "Spearman's rho"]
    numbers = table("Expected Dice against that found", heads, rows)
    return section("Confidence", paragraph(words), chart.svg(), numbers)


def _written(value: float) -> str:
    return "-" if isnan(value) else f"{value:.4f}"
