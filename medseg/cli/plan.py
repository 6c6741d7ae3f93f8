"""`medseg plan`: what would be trained, as a file that people can read and edit."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medseg.cli.options import Overwrite, Quiet, Settings, Threads, assignments
from medseg.cli.train import (
    AllowEmpty,
    Data,
    Ignore,
    PresetName,
    Regions,
    TwoD,
    learnable,
    planned,
    sides,
)

if TYPE_CHECKING:
    from medseg.learning.fingerprint import Fingerprint
    from medseg.learning.plan import Plan


def plan(
    data: Data,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE|FOLDER",
            help="A JSON file; or a folder, for a plan each of 2d, 3d and a cascade. Else printed.",
        ),
    ] = None,
    network: Annotated[
        str,
        typer.Option(metavar="NAME", help="See `medseg methods`; or monai:NAME. By default unet."),
    ] = "",
    preset: PresetName = "medseg",
    two_d: TwoD = False,
    fold: Annotated[
        str, typer.Option(metavar="I/N|all", help="Whose training cases count, as in train.")
    ] = "",
    region: Regions = None,
    ignore: Ignore = None,
    allow_empty: AllowEmpty = False,
    parameters: Settings = None,
    overwrite: Overwrite = False,
    threads: Threads = None,
    quiet: Quiet = False,
) -> None:
    """Check the data set DATA and decide how a network would be trained on it.

    What the cases are like is written beside a plan, as NAME-fingerprint.json.
    """
    from medseg.learning.fingerprint import fingerprint_of
    from medseg.learning.planning import configurations, plan_from

    settings = assignments(parameters)
    of_plan = planned(settings)
    if settings:
        raise ValueError(
            f"a plan has no setting {', '.join(settings)}; name it as plan.KEY or network.KEY"
        )
    several = output is not None and output.suffix.casefold() != ".json"
    if several and two_d:
        raise ValueError("a folder takes the plans of 2D and of 3D; name a FILE.json for --2d")
    if output is not None and output.exists() and not overwrite:
        raise FileExistsError(f"{output} exists already; replace it with --overwrite")
    fitting, _ = sides(learnable(data, region, ignore), fold)
    found = fingerprint_of(fitting, allow_empty=allow_empty)
    if several:
        made = configurations(found, network, settings=of_plan, preset=preset)
    else:
        ndim = 2 if two_d else None
        made = {"": plan_from(found, network, ndim=ndim, settings=of_plan, preset=preset)}
    made = {name: _timed(one) for name, one in made.items()}
    if output is None:
        typer.echo(json.dumps(made[""].to_json(), indent=2))
    else:
        _write(output, made, found)
    if not quiet:
        _tell(found, made, on_stderr=output is None)


def _timed(plan: Plan) -> Plan:
    from medseg.learning.timing import seconds_per_step

    seconds = float(f"{seconds_per_step(plan):.2g}")
    return replace(plan, notes={**plan.notes, "seconds_per_step": seconds})


def _write(output: Path, made: Mapping[str, Plan], found: Fingerprint) -> None:
    """Write one plan and its fingerprint, or all that a folder takes."""
    if "" in made:
        made[""].save(output)
        found.save(output.with_name(f"{output.stem}-fingerprint.json"))
        return
    for name, plan in made.items():
        plan.save(output / f"{name}.json")
    found.save(output / "fingerprint.json")


def _tell(found: Fingerprint, made: Mapping[str, Plan], *, on_stderr: bool) -> None:
    from medseg.learning.oddities import oddities
    from medseg.learning.reasons import summary

    for line in oddities(found):
        typer.echo(f"look at this: {line}", err=True)
    for name, plan in made.items():
        lines: dict[str, Any] = summary(plan)
        typer.echo("\n".join(([f"{name}:"] if name else []) + _aligned(lines)), err=on_stderr)


def _aligned(lines: Mapping[str, str]) -> list[str]:
    return [f"  {name:14}{text}" for name, text in lines.items()]
