"""`medseg evaluate`: how well predictions agree with references."""

from __future__ import annotations

import sys
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

import medseg
from medseg.cli.options import (
    Overwrite,
    Quiet,
    Shard,
    SkipExisting,
    Threads,
    existing,
    regions_of,
    shard_of,
)
from medseg.cohort import Existing, Outcome, of_shard

if TYPE_CHECKING:
    from rich.table import Table

    from medseg.evaluation import Rules, Scores
    from medseg.evaluation.rules import Empty, Missing, Resample

_WIDTH_OF_FILES = 1000
_FILES = ("scores.csv", "summary.json", "report.html")
_CALIBRATION = "calibration.json"
_UNDEFINED, _REFUSE = "undefined", "refuse"


def evaluate(
    predictions: Annotated[
        Path,
        typer.Argument(
            metavar="PREDICTIONS", help="A folder of label maps, a data set, or one file."
        ),
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
        typer.Option("--output", "-o", metavar="FOLDER", help=f"Writes {', '.join(_FILES)}."),
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
    ignore: Annotated[
        int | None,
        typer.Option(
            "--ignore", metavar="L", help="Label of the reference whose voxels count for nothing."
        ),
    ] = None,
    empty: Annotated[
        str,
        typer.Option(
            "--empty",
            metavar="worst",
            help="A structure that only one side has gets the worst score: 0, or in mm the "
            "diagonal of the image. Otherwise its distances are infinite and counted apart.",
        ),
    ] = _UNDEFINED,
    missing: Annotated[
        str,
        typer.Option(
            "--missing", metavar="worst", help="A case without a prediction gets the worst scores."
        ),
    ] = _REFUSE,
    resample: Annotated[
        str,
        typer.Option(
            "--resample",
            metavar="nearest",
            help="Put predictions on the grid of their reference, where they lie on another.",
        ),
    ] = _REFUSE,
    images: Annotated[
        Path | None,
        typer.Option(
            "--images",
            metavar="PATH",
            help="Folder or data set with the images, for the pictures of the report.",
        ),
    ] = None,
    probabilities: Annotated[
        Path | None,
        typer.Option(
            "--probabilities",
            metavar="FOLDER",
            help="Has <case>_probabilities.nii.gz; for the calibration in the report.",
        ),
    ] = None,
    verify: Annotated[
        str | None,
        typer.Option(
            "--verify", metavar="medpy", help="Compute it again with MedPy; say how far that is."
        ),
    ] = None,
    shard: Shard = None,
    skip_existing: SkipExisting = False,
    overwrite: Overwrite = False,
    threads: Threads = None,
    quiet: Quiet = False,
) -> None:
    """Compare predictions with references, label by label.

    A shard writes scores_I_of_N.csv and summary_I_of_N.json. With --skip-existing, cases that
    FOLDER has scores of, in whichever shard, are not scored again, and all of them together are
    written: so the shards become one.
    """
    from medseg.evaluation import Rules, scored_before
    from medseg.evaluation.matching import ruled

    if verify not in (None, "medpy"):
        raise ValueError(f"only medpy verifies, got {verify!r}")
    part = shard_of(shard)
    if output is None and (images or probabilities):
        raise ValueError("--images and --probabilities are for the report; name its folder with -o")
    if output is None and (part or skip_existing):
        raise ValueError("--shard and --skip-existing are for files; name their folder with -o")
    if part and (images or probabilities):
        raise ValueError("a shard has no report; leave --images and --probabilities to all of them")
    _require_new(output, existing(skip_existing, overwrite), part)
    rules = Rules(
        tolerance,
        ignore,
        cast("Empty", empty),
        cast("Missing", missing),
        cast("Resample", resample),
    )
    rules = ruled(references, rules)  # the report and the verification go by them too
    scores = medseg.evaluate_cases(
        predictions,
        references,
        metric or medseg.DEFAULT_METRICS,
        regions_of(region) or None,
        rules=rules,
        shard=part,
        before=scored_before(output, rules) if output is not None and skip_existing else None,
    )
    _show(scores)
    if output is not None:
        _save(scores, output, part)
        if scores.rows and part is None:
            _report(scores, output, images, probabilities, rules)
    if verify:
        _verify(scores, rules)
    if scores.failures:
        for case, why in scores.failures.items():
            typer.echo(f"medseg: {case} was not scored: {why}", err=True)
        raise typer.Exit(3)


def _require_new(output: Path | None, allowed: Existing, shard: tuple[int, int] | None) -> None:
    if output is None or allowed != "refuse":
        return
    places = [of_shard(output / name, shard) for name in (*_FILES, _CALIBRATION)]
    if there := [str(place) for place in places if place.exists()]:
        raise FileExistsError(
            f"{' and '.join(there)} exist already; --overwrite replaces them, --skip-existing "
            "goes on"
        )


def _save(scores: Scores, output: Path, shard: tuple[int, int] | None) -> None:
    for name in ("scores.csv", "summary.json"):
        scores.save(of_shard(output / name, shard))
    Outcome(failed=scores.failures).save_failures(output, shard)


def _report(
    scores: Scores, output: Path, images: Path | None, probabilities: Path | None, rules: Rules
) -> None:
    from medseg.evaluation.reliability import reliability_of, save_reliability
    from medseg.report import write_report

    tables = None
    if probabilities is not None:
        tables = reliability_of(scores, probabilities, rules)
        save_reliability(tables, output / _CALIBRATION)
    write_report(scores, output / "report.html", images=images, reliability=tables, rules=rules)


def _verify(scores: Scores, rules: Rules) -> None:
    from medseg.evaluation.verifying import verify_with_medpy
    from medseg.metrics import find_metric

    for metric, difference in verify_with_medpy(scores, rules).items():
        unit = find_metric(metric).unit
        typer.echo(f"{metric}: at most {difference:.3g}{_suffix(unit)} from MedPy")


def _show(scores: Scores) -> None:
    from rich.console import Console

    # In a file or a pipe, no cell is cut to the width of a terminal.
    console = Console(width=None if sys.stdout.isatty() else _WIDTH_OF_FILES)
    console.print(_table(scores))


def _table(scores: Scores) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from medseg.metrics import find_metric

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in ("label", "name", "metric", "unit"):
        table.add_column(heading)
    for heading in ("mean ± sd", "95 % interval", "median"):
        table.add_column(heading, justify="right")
    for heading in ("scored", "missed", "spurious", "both empty"):
        table.add_column(heading, justify="right")
    for row in scores.summary():
        interval = "-" if isnan(row.low) else f"{_number(row.low)} to {_number(row.high)}"
        table.add_row(
            str(row.label),
            row.name,
            row.metric,
            _suffix(find_metric(row.metric).unit).strip(),
            _number(row.mean) + ("" if isnan(row.sd) else f" ± {_number(row.sd)}"),
            interval,
            _number(row.median),
            *(str(n) for n in (row.scored, row.missed, row.spurious, row.both_empty)),
        )
    return table


def _suffix(unit: str) -> str:
    return "" if unit == "1" else f" {unit}"


def _number(value: float) -> str:
    return "-" if isnan(value) else f"{value:.3f}"
