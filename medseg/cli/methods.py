"""`medseg methods`: everything that is picked by name, and its parameters."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from medseg.parameter import Parameter, parameters
from medseg.registry import Registry, pick

# Families whose entries are dataclasses that import no torch: their fields are the parameters.
_WITH_PARAMETERS = ("methods", "filters", "refinements", "clean-ups")


def methods(
    name: Annotated[
        str | None, typer.Argument(help="Show one: what it is for, its parameters, its references.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs: one JSON object.")] = False,
) -> None:
    """List what is picked by name: methods and what goes about them, networks, metrics, ...

    With a name: what it is for, its limits, its parameters with what they may be, references.
    """
    found = registries()
    if name is not None:
        found = _with(found, name)
    if as_json:
        listed = {
            family: {
                each: _described(family, registry, each)
                for each in registry
                if name in (None, each)
            }
            for family, registry in found.items()
        }
        typer.echo(json.dumps(listed, indent=2))
    elif name is None:
        _list(found)
    else:
        for family, registry in found.items():
            _show(family, registry, name)


def _list(found: Mapping[str, Registry[Any]]) -> None:
    width = max(len(name) for registry in found.values() for name in registry)
    for family, registry in found.items():
        typer.echo(f"{family}:")
        for name in registry:
            typer.echo(f"  {name:{width}}  {registry.summary(name)}")
            if settings := ", ".join(map(_default, _parameters(family, registry, name))):
                typer.echo(f"  {'':{width}}    {settings}")
    typer.echo("\n`medseg methods NAME` says more of one, and what its parameters may be.")


def _show(family: str, registry: Registry[Any], name: str) -> None:
    """Print the docstring, and a table of the parameters if there are any."""
    typer.echo(f"{name} ({registry.kind}): {registry.summary(name)}\n")
    if family not in _WITH_PARAMETERS:
        return
    typer.echo(inspect.getdoc(registry[name]))
    rows: list[tuple[str, ...]] = [("parameter", "default", "legal", "usual", "unit")]
    rows += [_row(known) for known in _parameters(family, registry, name)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    typer.echo()
    for row in rows:
        cells = (f"{cell:{width}}" for cell, width in zip(row, widths, strict=True))
        typer.echo("  ".join(cells).rstrip())


def _row(known: Parameter) -> tuple[str, ...]:
    legal = " | ".join(map(str, known.choices)) if known.choices else str(known.legal or "")
    usual = "" if known.usual is None else f"{known.usual[0]:g} to {known.usual[1]:g}"
    return known.name, str(known.default), legal, usual, known.unit


def _default(known: Parameter) -> str:
    unit = f" {known.unit}" if known.unit and known.default is not None else ""
    return f"{known.name}={known.default}{unit}"


def _described(family: str, registry: Registry[Any], name: str) -> dict[str, Any]:
    content: dict[str, Any] = {"summary": registry.summary(name)}
    if family in _WITH_PARAMETERS:
        known = _parameters(family, registry, name)
        content["parameters"] = {each.name: each.to_json() for each in known}
    return content


def _parameters(family: str, registry: Registry[Any], name: str) -> list[Parameter]:
    """Parameters of an entry; without the device, which is an option of its own."""
    if family not in _WITH_PARAMETERS:
        return []
    return [known for known in parameters(registry[name]).values() if known.name != "device"]


def _with(found: Mapping[str, Registry[Any]], name: str) -> dict[str, Registry[Any]]:
    """Families that have an entry of that name; ValueError with the nearest if none has."""
    every = {each: registry for registry in found.values() for each in registry}
    pick(every, name, "method or part")
    return {family: registry for family, registry in found.items() if name in registry}


def registries() -> dict[str, Registry[Any]]:
    """Return the registries by the name of their family; none imports torch to be listed."""
    from medseg.classical import METHODS
    from medseg.cleanup import CLEANUPS
    from medseg.crf import REFINEMENTS
    from medseg.filters import FILTERS
    from medseg.learning import (
        AUGMENTATIONS,
        LOSSES,
        OPTIMIZERS,
        RECIPES,
        SCHEDULES,
        VOXEL_WEIGHTS,
    )
    from medseg.metrics import METRICS
    from medseg.networks import NETWORKS
    from medseg.sampling import SAMPLERS

    return {
        "methods": METHODS,
        "filters": FILTERS,
        "refinements": REFINEMENTS,
        "clean-ups": CLEANUPS,
        "networks": NETWORKS,
        "metrics": METRICS,
        "samplers": SAMPLERS,
        "losses": LOSSES,
        "augmentations": AUGMENTATIONS,
        "recipes": RECIPES,
        "optimizers": OPTIMIZERS,
        "schedules": SCHEDULES,
        "voxel weights": VOXEL_WEIGHTS,
    }
