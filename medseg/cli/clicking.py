"""A user who is played by the computer, for `medseg segment --simulate-clicks`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from medseg.chain import Chain
    from medseg.interaction import Round
    from medseg.volume import Image, Labels


def require_alone(reference: Path | None, others: dict[str, object]) -> None:
    """Raise ValueError if seeds are given beside those that a simulated user gives."""
    given = [option for option, value in others.items() if value]
    if reference is not None and given:
        raise ValueError(f"--simulate-clicks gives the seeds itself; leave out {given[0]}")


def clicked(
    chain: Chain, name: str, image: Image, reference: Labels, mask: Labels | None, clicks: int
) -> Round:
    """Print what comes of each click; return the last."""
    from medseg.interaction import rounds

    # A bare method is corrected; a chain begins anew.
    method = chain if chain.filters or chain.cleanups else chain.method
    all_rounds = rounds(method, image, reference, mask, clicks=clicks)
    for number, last in enumerate(all_rounds, 1):  # there is at least one
        typer.echo(f"{name}  click {number:2}  {last}")
    return last
