"""`medseg choose`: the best of several trained configurations, and clean-ups that help it."""

from __future__ import annotations

import sys
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medseg.cli.options import Device, Overwrite, Quiet, Threads

if TYPE_CHECKING:
    from rich.table import Table

    from medseg.choosing import Choice
    from medseg.evaluation import Scores

_WIDTH_OF_FILES = 1000


def choose(
    configurations: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN",
            help="A run of medseg train, a folder of runs (the folds of one configuration), or "
            "such runs with commas between them; NAME=RUN says what it is called.",
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="FOLDER", help="For the best; medseg predict takes it."
        ),
    ],
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="DATA", help="The data set, if its files have moved since."),
    ] = None,
    device: Device = "auto",
    overwrite: Overwrite = False,
    threads: Threads = None,
    quiet: Quiet = False,
) -> None:
    """Compare trained configurations on the cases that validated, and keep the best.

    For each it tries the largest component, filled holes and dropping what is small, and keeps
    what raises the mean Dice and lowers that of no label.
    """
    from medseg.choosing import choose as chosen
    from medseg.dataset import Dataset

    found = chosen(
        configurations,
        output,
        data=None if data is None else Dataset.read(data),
        device=device,
        overwrite=overwrite,
    )
    _show(found)
    typer.echo(found.reason)
    for folder in found.folders:
        typer.echo(f"use it with: medseg predict {output / folder} IMAGES -o FOLDER")


def _show(choice: Choice) -> None:
    from rich.console import Console

    # In a file or a pipe, no cell is cut to the width of a terminal.
    console = Console(width=None if sys.stdout.isatty() else _WIDTH_OF_FILES)
    console.print(_table(choice))
    for cleanup in choice.polished[choice.best].tried:
        if cleanup.kept:
            typer.echo(f"kept {cleanup.cleanup}: {cleanup.before:.4f} to {cleanup.after:.4f}")


def _table(choice: Choice) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from medseg.choosing.polishing import mean_dice

    labels = choice.polished[choice.best].before.labels
    names = {row.label: row.name for row in choice.polished[choice.best].before}
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in ("configuration", "clean-ups"):
        table.add_column(heading)
    for heading in ("runs", "cases", *(names[label] or str(label) for label in labels), "mean"):
        table.add_column(heading, justify="right")

    def figures(scores: Scores) -> list[str]:
        return [
            *(_number(scores.mean("dice", label)) for label in labels),
            _number(mean_dice(scores)),
        ]

    for configuration, found in zip(choice.configurations, choice.polished, strict=True):
        facts = [str(len(configuration.runs)), str(len(choice.cases))]
        table.add_row(configuration.name, "none", *facts, *figures(found.before))
        table.add_row(
            "", "those kept" if found.cleanups else "none helps", *facts, *figures(found.after)
        )
    return table


def _number(value: float) -> str:
    return "-" if isnan(value) else f"{value:.4f}"
