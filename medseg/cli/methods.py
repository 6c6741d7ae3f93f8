"""`medseg methods`: everything that is picked by name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from medseg.registry import Registry


def methods(
    as_json: Annotated[bool, typer.Option("--json", help="For programs: one JSON object.")] = False,
) -> None:
    """List what is picked by name: methods and what goes about them, networks, metrics, ..."""
    listed = {family: _summaries(registry) for family, registry in registries().items()}
    if as_json:
        typer.echo(json.dumps(listed, indent=2))
        return
    width = max(len(name) for names in listed.values() for name in names)
    for family, names in listed.items():
        typer.echo(f"{family}:")
        for name, summary in names.items():
            typer.echo(f"  {name:{width}}  {summary}")


def registries() -> dict[str, Registry[Any]]:
    """Return the registries by the name of their family; none imports torch to be listed."""
    from medseg.classical import METHODS
    from medseg.cleanup import CLEANUPS
    from medseg.filters import FILTERS
    from medseg.learning import AUGMENTATIONS, LOSSES
    from medseg.metrics import METRICS
    from medseg.networks import NETWORKS
    from medseg.sampling import SAMPLERS

    return {
        "methods": METHODS,
        "filters": FILTERS,
        "clean-ups": CLEANUPS,
        "networks": NETWORKS,
        "metrics": METRICS,
        "samplers": SAMPLERS,
        "losses": LOSSES,
        "augmentations": AUGMENTATIONS,
    }


def _summaries(registry: Registry[Any]) -> Mapping[str, str]:
    return {name: registry.summary(name) for name in registry}
