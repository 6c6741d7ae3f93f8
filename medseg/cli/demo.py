"""`medseg demo`: a study in small, end to end."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medseg.cli.options import Overwrite, Quiet, Threads

if TYPE_CHECKING:
    from medseg.evaluation import Scores

_METRICS = {"dice": "", "hd95": " mm", "assd": " mm"}


def demo(
    folder: Annotated[Path, typer.Argument(metavar="[FOLDER]", help="Gets all that is made.")] = (
        Path("medseg-demo")
    ),
    minutes: Annotated[
        float, typer.Option(metavar="M", help="Wall time of the training of the U-Net.")
    ] = 2,
    cases: Annotated[int, typer.Option(metavar="N", help="Heads to draw.")] = 20,
    seed: Annotated[int, typer.Option(metavar="N", help="Another one, another cohort.")] = 0,
    overwrite: Overwrite = False,
    threads: Threads = None,
    quiet: Quiet = False,
) -> None:
    """Draw heads with a lesion, train a U-Net, and score it beside two classical methods."""
    from medseg import demo as study

    if folder.exists() and any(folder.iterdir()):
        if not overwrite:
            raise FileExistsError(f"{folder} exists already; --overwrite replaces it")
        study.clear(folder)
    scores = study.demo(folder, minutes, seed, cases)
    _show(scores)
    typer.echo(
        f"Pictures of what each method found, and of the training, are in "
        f"{study.picture_folder(folder)}; mosaic.png shows all. The rest is in {folder}."
    )
    typer.echo(f"Next: medseg predict {folder / 'run'} {folder / 'data'} -o {folder / 'again'}")


def _show(scores: Mapping[str, Scores]) -> None:
    """One line a method: means over the lesions that were found, and how many were not."""
    cells = [["method", "Dice", "HD95", "ASSD", "missed"]]
    for name, of_method in scores.items():
        rows = {row.metric: row for row in of_method.summary()}
        means = [f"{rows[metric].mean:.3f}{unit}" for metric, unit in _METRICS.items()]
        cells.append([name, *means, f"{rows['dice'].missed} of {_count(of_method)}"])
    widths = [max(len(row[k]) for row in cells) for k in range(len(cells[0]))]
    for first, *rest in cells:
        numbers = (text.rjust(width) for text, width in zip(rest, widths[1:], strict=True))
        typer.echo("  ".join((first.ljust(widths[0]), *numbers)))


def _count(scores: Scores) -> int:
    return len({row.case for row in scores})
