"""`medseg tune`: parameters of a classical method, or of a CRF, from annotated cases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from medseg.cli.options import Device, Overwrite, Quiet, Settings, Threads, assignments

if TYPE_CHECKING:
    from medseg.tuning import Search, Tuned, TunedCRF
    from medseg.tuning.halving import Seeds

_CRF = "crf"
_TELLING = 5  # cases: an interval of the mean of fewer says nothing


def tune(
    chain: Annotated[
        str,
        typer.Argument(
            metavar="METHOD|CHAIN|crf",
            help="A classical method, or filters, a method and clean-ups: gaussian+otsu. The word "
            "crf tunes the CRF of `medseg predict RUN --crf`.",
        ),
    ],
    places: Annotated[
        list[Path],
        typer.Argument(
            metavar="[RUN] DATA",
            help="A data set: a folder or a CSV; before it, for crf, the folder of a trained "
            "model.",
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="For the parameters, .json; those of a CRF go into RUN.",
        ),
    ] = None,
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
    """Fit the parameters of a classical method, or of a CRF, to the annotated cases of DATA.

    Parameters given by --set are fixed; all others that have a range vary. The score printed is
    that of cases that were held out. Use what was found with: medseg segment -m FILE. That of a
    CRF is for the cases of DATA that validated in RUN, whose probabilities are computed once.
    """
    import medseg
    from medseg.device import resolve

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
    if chain == _CRF:
        _tune_crf(places, output, search, overwrite=overwrite)
    else:
        _tune_chain(chain, places, output, search, overwrite=overwrite)


def _tune_chain(
    chain: str, places: list[Path], output: Path | None, search: Search, *, overwrite: bool
) -> None:
    import medseg

    if len(places) != 1:
        raise ValueError(
            f"tune {chain} takes one data set, got {len(places)} places; --range and --set take "
            "one value each"
        )
    if output is None or output.suffix != ".json":
        raise ValueError(f"parameters are written as .json, to -o FILE.json, got {output}")
    _require_free(output, overwrite=overwrite)
    (data,) = places
    found = medseg.tune(chain, medseg.Dataset.read(data), search)
    found.save(output, str(data))
    _show(found, output)


def _tune_crf(places: list[Path], output: Path | None, search: Search, *, overwrite: bool) -> None:
    import medseg
    from medseg.learning.ensemble import loader_of
    from medseg.learning.run import Run
    from medseg.tuning import not_trained_on

    if len(places) != 2:
        raise ValueError(f"tune crf takes a run and a data set, RUN DATA, got {len(places)} places")
    if output is not None:
        raise ValueError("tune crf writes into the folder of the run, for predict; leave out -o")
    run, data = places
    _require_free(Run(run).crf, overwrite=overwrite)
    cases = not_trained_on(run, medseg.Dataset.read(data))
    found = medseg.tune_crf(loader_of(run)(run, search.device), cases, search)
    found.save(run, str(data))
    _show_crf(found, run)


def _require_free(output: Path, *, overwrite: bool) -> None:
    if output.exists() and not overwrite:
        raise FileExistsError(f"{output} exists already; --overwrite replaces it")


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


def _show_crf(found: TunedCRF, run: Path) -> None:
    search, gains = found.search, found.gains
    settings = {key: value for key, value in asdict(found.crf).items() if key != "device"}
    typer.echo("  ".join([_CRF, *_assigned(settings)]))
    typer.echo(
        f"{search.metric} {found.score_before:.4f} without a CRF; {found.training_score:.4f} with "
        f"one on the cases fitted to, of {found.trials} settings"
    )
    use = f"medseg predict {run} INPUT -o FOLDER --crf"
    if not gains:
        typer.echo(f"Nothing was held out, so whether it helps is not known. Use it with: {use}")
        return
    low, high = found.interval
    gain = sum(gains.values()) / len(gains)
    typer.echo(
        f"{search.metric} {found.score:.4f} held out, {len(gains)} cases in "
        f"{len(found.settings)} folds: {sum(g > 0 for g in gains.values())} gain, "
        f"{sum(g < 0 for g in gains.values())} lose, in the mean {gain:+.4f}"
        + (f" [{low:.4f}, {high:.4f}]" if isfinite(low) else "")
    )
    if gain <= 0:
        typer.echo("The CRF does not help: predict without --crf.")
    elif len(gains) < _TELLING or low <= 0:
        typer.echo(f"The CRF may help, or it is chance. Use it with: {use}")
    else:
        typer.echo(f"The CRF helps. Use it with: {use}")


def _assigned(settings: Mapping[str, object]) -> list[str]:
    return [
        f"{key}={value:.4g}" if isinstance(value, float) else f"{key}={value}"
        for key, value in settings.items()
    ]
