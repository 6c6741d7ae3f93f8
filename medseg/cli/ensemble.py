"""`medseg ensemble`: several trained models as one folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medseg.cli.options import Overwrite, Quiet, Variants, variants_of


def ensemble(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN", help="Runs of medseg train, or folders of runs: the folds of one."
        ),
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="FOLDER", help="medseg predict takes it as a run."),
    ],
    merge: Annotated[
        str, typer.Option(help="mean | geometric | vote | staple: how they decide together.")
    ] = "mean",
    weight: Annotated[
        list[float] | None,
        typer.Option(metavar="W", help="How much a run counts; given once for each of them."),
    ] = None,
    variants: Variants = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Make one model of several trained ones, which may have other networks and losses.

    The folder says where the runs lie, relative to itself; they are loaded one after the other,
    so that memory does not grow with them.
    """
    from medseg.learning.ensemble import save_ensemble
    from medseg.learning.ensemble_folder import ENSEMBLE_FILE
    from medseg.learning.run import runs_in

    if (output / ENSEMBLE_FILE).exists() and not overwrite:
        raise FileExistsError(f"{output} holds an ensemble already; --overwrite replaces it")
    found = [run for folder in runs for run in runs_in(folder)]
    made = save_ensemble(output, found, merge=merge, weights=weight, variants=variants_of(variants))
    typer.echo(
        f"{len(made.members)} members; use it with: medseg predict {output} IMAGES -o FOLDER"
    )
