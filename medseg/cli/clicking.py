"""A user who is played by the computer, for `medseg segment --simulate-clicks`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from medseg.chain import Chain
    from medseg.volume import Image, Labels


def require_alone(reference: Path | None, others: dict[str, object]) -> None:
    """Raise ValueError if seeds are given beside those that a simulated user gives."""
    given = [option for option, value in others.items() if value]
    if reference is not None and given:
        raise ValueError(f"--simulate-clicks gives the seeds itself; leave out {given[0]}")


def clicked(
    chain: Chain, name: str, image: Image, reference: Labels, mask: Labels | None, clicks: int
) -> Labels | None:
    """Print what comes of each click; return the seeds of all of them."""
    from medseg.interaction import rounds

    # A bare method goes on from its last result; a chain begins anew.
    method = chain if chain.filters or chain.cleanups else chain.method
    seeds = None
    for number, each in enumerate(rounds(method, image, reference, mask, clicks=clicks), 1):
        typer.echo(f"{name}  click {number:2}  {each}")
        seeds = each.seeds
    return seeds
