"""`medseg plan`: what would be trained, as a file that people can read and edit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from medseg.cli.options import Overwrite, Quiet, Settings, Threads, assignments
from medseg.cli.train import AllowEmpty, Data, TwoD, planned, sides


def plan(
    data: Data,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="A JSON file; else it is printed."),
    ] = None,
    network: Annotated[
        str, typer.Option(metavar="NAME", help="See `medseg methods`; or monai:NAME.")
    ] = "unet",
    two_d: TwoD = False,
    fold: Annotated[
        str, typer.Option(metavar="I/N|all", help="Whose training cases count, as in train.")
    ] = "",
    allow_empty: AllowEmpty = False,
    parameters: Settings = None,
    overwrite: Overwrite = False,
    threads: Threads = None,
    quiet: Quiet = False,
) -> None:
    """Check the data set DATA and decide how a network would be trained on it."""
    import medseg

    settings = assignments(parameters)
    of_plan = planned(settings)
    if settings:
        raise ValueError(
            f"a plan has no setting {', '.join(settings)}; name it as plan.KEY or network.KEY"
        )
    if output is not None and output.exists() and not overwrite:
        raise FileExistsError(f"{output} exists already; replace it with --overwrite")
    fitting, _ = sides(medseg.Dataset.read(data), fold)
    made = medseg.make_plan(
        fitting, network, ndim=2 if two_d else None, settings=of_plan, allow_empty=allow_empty
    )
    if output is None:
        typer.echo(json.dumps(made.to_json(), indent=2))
    else:
        made.save(output)
