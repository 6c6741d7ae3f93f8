"""`medseg calibrate`: probabilities that come true as often as they say."""

from __future__ import annotations

import sys
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from medseg.cli.options import Device, Overwrite, Quiet, Threads

if TYPE_CHECKING:
    from rich.table import Table

    from medseg.calibrating import Calibration
    from medseg.calibrating.calibration import Which

_WIDTH_OF_FILES = 1000
_FILES = ("calibration.html", "calibration.json")


def calibrate(
    run: Annotated[
        Path,
        typer.Argument(metavar="RUN", help="Folder that `medseg train` or `ensemble` left."),
    ],
    data: Annotated[
        Path, typer.Argument(metavar="DATA", help="Data set with annotations, as that of train.")
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FOLDER", help=f"Writes {', '.join(_FILES)}."),
    ] = None,
    cases: Annotated[
        str,
        typer.Option(
            metavar="validation|all",
            help="Those of DATA that validated, or all: of a data set that RUN never saw.",
        ),
    ] = "validation",
    method: Annotated[
        str,
        typer.Option(
            metavar="temperature|vector",
            help="One factor for all logits, or a factor and an offset for each class.",
        ),
    ] = "temperature",
    margin: Annotated[
        float,
        typer.Option(metavar="MM", help="How far from the border of what is annotated to look."),
    ] = 3.0,
    device: Device = "auto",
    overwrite: Overwrite = False,
    threads: Threads = None,
    quiet: Quiet = False,
) -> None:
    """Fit a scaling of the logits to cases that were held out, and store it in RUN.

    `predict` and all that loads RUN use it from then on, unless told --set scaling=none. What is
    printed is of each half of the cases, scaled by what was fitted to the other half.
    """
    from medseg.calibrating import calibrate_folder, write_calibration_report
    from medseg.dataset import Dataset
    from medseg.learning.run import SCALING_FILE

    places = [run / SCALING_FILE, *(output / name for name in _FILES if output)]
    if not overwrite and (there := [str(place) for place in places if place.exists()]):
        raise FileExistsError(f"{' and '.join(there)} exist already; --overwrite replaces them")
    found = calibrate_folder(
        run,
        Dataset.read(data),
        cases=cast("Which", cases),
        method=method,
        margin_mm=margin,
        device=device,
    )
    _show(found)
    if output is not None:
        write_calibration_report(found, output / _FILES[0])
        found.save(output / _FILES[1])


def _show(found: Calibration) -> None:
    from rich.console import Console

    # In a file or a pipe, no cell is cut to the width of a terminal.
    console = Console(width=None if sys.stdout.isatty() else _WIDTH_OF_FILES)
    console.print(_table(found))
    typer.echo(
        f"{len(found.cases)} cases; logits are divided by {found.scaling.temperature:.3f} on the "
        "average"
    )


def _table(found: Calibration) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from medseg.metrics import CALIBRATION

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("label")
    for heading in (*CALIBRATION, "r of expected Dice"):
        table.add_column(heading, justify="right")
    before, after = found.tables("before"), found.tables("after")
    for label, name in found.names.items():
        numbers = [
            f"{_number(each.compute(before[label]))} to {_number(each.compute(after[label]))}"
            for each in map(CALIBRATION.__getitem__, CALIBRATION)
        ]
        table.add_row(name, *numbers, _number(found.confidence(label)[0]))
    return table


def _number(value: float) -> str:
    return "-" if isnan(value) else f"{value:.4f}"
