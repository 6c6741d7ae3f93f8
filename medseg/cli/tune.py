"""`medseg tune`: parameters of a classical method from annotated cases."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from medseg.cli.options import Device, Overwrite, Quiet, Settings, Threads, assignments

if TYPE_CHECKING:
    from medseg.tuning import Tuned
    from medseg.tuning.halving import Seeds


def tune(
    chain: Annotated[
        str,
        typer.Argument(
            metavar="METHOD|CHAIN",
            help="A classical method, or filters, a method and clean-ups: gaussian+otsu.",
        ),
    ],
    data: Annotated[Path, typer.Argument(metavar="DATA", help="A data set: a folder or a CSV.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="For the parameters, .json.")
    ],
    parameters: Settings = None,
    ranges: Annotated[
        list[str] | None,
        typer.Option(
            "--range",
            metavar="KEY=LOW:HIGH|A,B,...",
            help="Where to look for a parameter, or its values; may be repeated.",
        ),
    ] = None,
    metric: Annotated[
        str, typer.Option("--metric", metavar="NAME", help="What is made best.")
    ] = "dice",
    trials: Annotated[
        int, typer.Option("--trials", metavar="N", min=1, help="Settings that are tried.")
    ] = 54,
    minutes: Annotated[
        float | None,
        typer.Option(
            "--minutes", metavar="M", help="Try what fits into so long, up to N settings."
        ),
    ] = None,
    folds: Annotated[
        int,
        typer.Option("--folds", metavar="K", help="Of cross-validation, by patient; 0 for none."),
    ] = 5,
    seeds_from: Annotated[
        str,
        typer.Option(
            "--seeds-from",
            metavar="reference",
            help="For methods that need seeds: make them of each annotation, a voxel deep inside "
            "each label and what is far from all of them.",
        ),
    ] = "none",
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Of the random draws.")] = 0,
    device: Device = "auto",
    overwrite: Overwrite = False,
    threads: Threads = None,
    quiet: Quiet = False,
) -> None:
    """Fit the parameters of a classical method to the annotated cases of DATA.

    Parameters given by --set are fixed; all others that have a range vary. The score printed is
    that of cases that were held out. Use what was found with: medseg segment -m FILE.
    """
    import medseg
    from medseg.device import resolve

    if output.suffix != ".json":
        raise ValueError(f"parameters are written as .json, got {output}")
    if output.exists() and not overwrite:
        raise FileExistsError(f"{output} exists already; --overwrite replaces it")
    resolve(device)
    search = medseg.Search(
        metric=metric,
        trials=trials,
        minutes=minutes,
        folds=folds,
        seed=seed,
        seeds=cast("Seeds", seeds_from),
        fixed=assignments(parameters),
        ranges=ranges_of(ranges or []),
        device=device,
    )
    found = medseg.tune(chain, medseg.Dataset.read(data), search)
    found.save(output, str(data))
    _show(found, output)


def ranges_of(texts: list[str]) -> dict[str, tuple[float, float] | list[Any]]:
    """Ranges out of texts like "otsu.classes=2:6", or values out of "relief=gradient,image".

    Raises
    ------
    ValueError
        If a text is neither.
    """
    return {key: _range(key, value) for key, value in assignments(texts, "--range").items()}


def _range(key: str, value: object) -> tuple[float, float] | list[Any]:
    if isinstance(value, tuple | list):
        return list(value)
    text = str(value)
    if "," in text:
        return list(assignments([f"{i}={x}" for i, x in enumerate(text.split(","))]).values())
    low, _, high = text.partition(":")
    try:
        return float(low), float(high)
    except ValueError:
        raise ValueError(
            f"--range takes {key}=low:high, or values as {key}=a,b; got {text!r}"
        ) from None


def _show(found: Tuned, output: Path) -> None:
    search = found.search
    for step in found.chain.steps():
        settings = {key: value for key, value in step.items() if key != "name"}
        typer.echo("  ".join([str(step["name"]), *_assigned(settings)]))
    typer.echo(
        f"{search.metric} {found.training_score:.4f} on the cases fitted to, of "
        f"{found.trials} settings, {found.refused} of which failed somewhere"
    )
    if found.scores:
        typer.echo(
            f"{search.metric} {found.score:.4f} held out, {len(found.scores)} cases in "
            f"{len(found.settings)} folds"
        )
    if search.seeds != "none":
        typer.echo("Seeds were made of the annotations: the score is one with that help.")
        typer.echo(f"Use it with: medseg segment INPUT -o FOLDER -m {output} --seeds SEEDS")
    else:
        typer.echo(f"Use it with: medseg segment INPUT -o FOLDER -m {output}")


def _assigned(settings: Mapping[str, object]) -> list[str]:
    return [
        f"{key}={value:.4g}" if isinstance(value, float) else f"{key}={value}"
        for key, value in settings.items()
    ]
