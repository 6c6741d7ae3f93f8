"""`medseg predict`: a trained model over any number of cases."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medseg.cli.options import (
    Cleanups,
    Device,
    Inputs,
    NaN,
    Output,
    Overwrite,
    Preview,
    Quiet,
    Series,
    Settings,
    Shard,
    SkipExisting,
    Statistics,
    Threads,
    Variants,
    assignments,
    cleanups_of,
    conclude,
    existing,
    shard_of,
    variants_of,
)
from medseg.cli.slurm import Slurm, submitted

if TYPE_CHECKING:
    from medseg.crf import Refined
    from medseg.learning.ensemble import Ensemble
    from medseg.learning.model import Model


def predict(
    context: typer.Context,
    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN", help="Folder that `medseg train`, `choose` or `ensemble` left."
        ),
    ],
    inputs: Inputs,
    output: Output,
    probabilities: Annotated[
        bool,
        typer.Option(
            "--probabilities", help="Also write the probability of each class, as a 4D file."
        ),
    ] = False,
    masks: Annotated[
        bool,
        typer.Option(
            "--masks", help="Also write each region of a model of regions, <case>_<region>.nii.gz."
        ),
    ] = False,
    uncertainty: Annotated[
        bool,
        typer.Option(
            "--uncertainty",
            help="Also write <case>_entropy.nii.gz and, of several members, _mutual_information "
            "and _variance.",
        ),
    ] = False,
    variants: Variants = None,
    crf: Annotated[
        bool,
        typer.Option(
            "--crf",
            help="Let a dense CRF refine the probabilities of the model, with the parameters that "
            "`medseg tune crf` left in RUN, else its defaults.",
        ),
    ] = False,
    preview: Preview = False,
    statistics: Statistics = None,
    parameters: Settings = None,
    cleanups: Cleanups = None,
    nan: NaN = None,
    series: Series = "",
    device: Device = "auto",
    shard: Shard = None,
    slurm: Slurm = None,
    skip_existing: SkipExisting = False,
    overwrite: Overwrite = False,
    threads: Threads = None,
    quiet: Quiet = False,
) -> None:
    """Segment images with the model in RUN, which is loaded once for all of them.

    Settings: --set overlap=0.25 is faster and a little less exact, --set weights=last takes the
    weights of the last step instead of the best ones, --set mirrored=[0,1,2] averages over mirror
    images along these axes, --set precision=float32 computes without bfloat16.
    """
    if submitted(slurm, context, output, shard):
        return
    import medseg
    from medseg.cleanup.saved import load_cleanups
    from medseg.crf import Refined
    from medseg.crf.saved import load_crf
    from medseg.learning.ensemble import loader_of, with_variants
    from medseg.registry import build

    given = assignments(parameters)
    of_crf = {key[4:]: given.pop(key) for key in [*given] if key.startswith("crf.")}
    if of_crf and not crf:
        raise ValueError(f"crf.{next(iter(of_crf))} is of the CRF, which needs --crf")
    settings = {"folder": run, "device": device, **given}
    model: Model | Ensemble | Refined
    model = build(loader_of(run), settings, "loading a trained model")
    if variants:
        model = with_variants(model, variants_of(variants))
    if crf:
        model = Refined(model, load_crf(run, device, of_crf))
    part = shard_of(shard)
    outcome = medseg.predict(
        model,
        inputs,
        output,
        probabilities=probabilities,
        masks=masks,
        uncertainty=uncertainty,
        preview=preview,
        statistics=statistics,
        cleanups=(*load_cleanups(run, device), *cleanups_of(cleanups, device)),
        existing=existing(skip_existing, overwrite),
        shard=part,
        nan=nan,
        series=series,
    )
    conclude(outcome, output, part)
