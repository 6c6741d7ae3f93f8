"""`medseg evaluate`: how well predictions agree with references."""

from __future__ import annotations

import sys
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import medseg
from medseg.cli.options import Overwrite, Quiet

if TYPE_CHECKING:
    from rich.table import Table

_WIDTH_OF_FILES = 1000
_FILES = ("scores.csv", "summary.json")


def evaluate(
    predictions: Annotated[
        Path, typer.Argument(metavar="PREDICTIONS", help="A folder of label maps, or one file.")
    ],
    references: Annotated[
        Path,
        typer.Argument(
            metavar="REFERENCES",
            help="A folder of label maps of the same names, a data set, or one file.",
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FOLDER", help=f"Writes {' and '.join(_FILES)}."),
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(
            "--metric",
            metavar="NAME",
            help="May be repeated; nsd_2mm is nsd at 2 mm. `medseg methods` lists them.",
        ),
    ] = None,
    tolerance: Annotated[
        float, typer.Option("--tolerance", metavar="MM", help="Of the metric nsd.")
    ] = 1.0,
    region: Annotated[
        list[str] | None,
        typer.Option("--region", metavar="NAME=1,2,3", help="Labels scored as one; repeatable."),
    ] = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Compare predictions with references, label by label."""
    _require_new(output, overwrite)
    scores = medseg.evaluate_cases(
        predictions,
        references,
        metric or medseg.DEFAULT_METRICS,
        _regions(region or []) or None,
        tolerance_mm=tolerance,
    )
    if output is not None:
        for name in _FILES:
            scores.save(output / name)
    _show(scores)
    if scores.failures:
        for case, why in scores.failures.items():
            typer.echo(f"medseg: {case} was not scored: {why}", err=True)
        raise typer.Exit(3)


def _require_new(output: Path | None, overwrite: bool) -> None:
    if output is None or overwrite:
        return
    if there := [str(output / name) for name in _FILES if (output / name).exists()]:
        raise FileExistsError(f"{' and '.join(there)} exist already; --overwrite replaces them")


def _regions(texts: list[str]) -> dict[str, tuple[int, ...]]:
    regions = {}
    for text in texts:
        name, _, labels = text.partition("=")
        parts = [part.strip() for part in labels.split(",")]
        if not name or not all(part.isdigit() for part in parts):
            raise ValueError(f"a region is NAME=LABEL,LABEL,..., as whole=1,2,3; got {text!r}")
        if name in regions:
            raise ValueError(f"the region {name!r} is given twice")
        regions[name] = tuple(int(part) for part in parts)
    return regions


def _show(scores: medseg.Scores) -> None:
    from rich.console import Console

    # In a file or a pipe, no cell is cut to the width of a terminal.
    console = Console(width=None if sys.stdout.isatty() else _WIDTH_OF_FILES)
    console.print(_table(scores))


def _table(scores: medseg.Scores) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from medseg.metrics import find_metric

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in ("label", "name", "metric", "unit"):
        table.add_column(heading)
    for heading in ("mean ± sd", "median", "scored", "missed", "spurious", "both empty"):
        table.add_column(heading, justify="right")
    for row in scores.summary():
        unit = find_metric(row.metric).unit
        table.add_row(
            str(row.label),
            row.name,
            row.metric,
            "" if unit == "1" else unit,
            _number(row.mean) + ("" if isnan(row.sd) else f" ± {_number(row.sd)}"),
            _number(row.median),
            *(str(n) for n in (row.scored, row.missed, row.spurious, row.both_empty)),
        )
    return table


def _number(value: float) -> str:
    return "-" if isnan(value) else f"{value:.3f}"
