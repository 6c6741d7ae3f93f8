"""`medseg explain`: what a trained network sees in an image, and what it has learnt."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medseg.cli.options import (
    Device,
    NaN,
    Overwrite,
    Quiet,
    Series,
    Settings,
    Threads,
    assignments,
)

if TYPE_CHECKING:
    from medseg.dataset import Case
    from medseg.learning.model import Model
    from medseg.volume import Labels


def explain(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder that `medseg train` left.")],
    image: Annotated[
        str,
        typer.Argument(
            metavar="IMAGE",
            help="A file, the files of several channels with commas between them, or a data set "
            "with --case.",
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="For pictures and maps.")
    ],
    case: Annotated[
        str, typer.Option("--case", metavar="NAME", help="Which case, of a data set.")
    ] = "",
    mask: Annotated[
        Path | None, typer.Option("--mask", metavar="FILE", help="Where to look; 0 is outside.")
    ] = None,
    label: Annotated[
        str | None,
        typer.Option(
            "--label",
            metavar="L",
            help="Whose region is explained, a number or a name; by default the largest.",
        ),
    ] = None,
    layers: Annotated[
        list[str] | None,
        typer.Option(
            "--layer",
            metavar="NAME",
            help="Look into this layer, as index.html names it; may be repeated. By default the "
            "coarsest one and the one before the last convolution.",
        ),
    ] = None,
    parts: Annotated[
        list[str] | None,
        typer.Option(
            "--only",
            metavar="PART",
            help="filters, activations, grad-cam, integrated-gradients, occlusion, modalities, "
            "maximised or patches; may be repeated. By default all.",
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data", metavar="DATA", help="Cut the patches that excite a layer most out of it."
        ),
    ] = None,
    parameters: Settings = None,
    nan: NaN = None,
    series: Series = "",
    device: Device = "auto",
    overwrite: Overwrite = False,
    threads: Threads = None,
    quiet: Quiet = False,
) -> None:
    """Make pictures of what the network in RUN sees in an image; FOLDER/index.html shows them.

    The image is segmented, and one window of it is explained: as much as the network sees at
    once, where most of the label is. Settings: --set blocks=4096 hides smaller blocks,
    --set steps=64 makes integrated gradients more exact, --set features=16 and --set patches=9
    show more, --set ascent=256 climbs longer, --set seed=1; and weights=last as of `medseg
    predict`.
    """
    from medseg.explaining import Questions
    from medseg.explaining import explain as explained
    from medseg.registry import build

    if output.exists() and (output.is_file() or any(output.iterdir())) and not overwrite:
        raise FileExistsError(
            f"{output} exists already; replace what is in it with --overwrite, or choose another"
        )
    given = assignments(parameters)
    of_model: dict[str, object] = {
        key: given.pop(key) for key in ("weights", "overlap") if key in given
    }
    chosen = {"label": label, "layers": tuple(layers or ()), "parts": tuple(parts or ())}
    asked: Questions = build(Questions, {**given, **chosen}, "explain")
    model = _model(run, {"device": device, **of_model})
    one = _case(image, case, len(model.plan.channels), series)
    found = explained(
        model,
        one.image(len(model.plan.channels), nan),
        output,
        asked,
        mask=_mask(mask, one),
        data=data,
    )
    typer.echo(f"{found.label}: mean probability {found.score:.4f} in the window")
    typer.echo(f"look at {found.index}")


def _model(run: Path, settings: dict[str, object]) -> Model:
    from medseg.learning.ensemble_folder import ENSEMBLE_FILE
    from medseg.learning.model import Model
    from medseg.registry import build

    if (run / ENSEMBLE_FILE).is_file():
        raise ValueError(f"{run} is an ensemble; explain one of its members")
    model: Model = build(Model.load, {"folder": run, **settings}, "loading a trained model")
    return model


def _case(image: str, name: str, channels: int, series: str) -> Case:
    from medseg.dataset import find_cases

    found = {case.name: case for case in find_cases(image, channels, series=series)}
    if name and name not in found:
        raise ValueError(f"{image} has no case {name}; there are {', '.join([*found][:20])}")
    if not name and len(found) > 1:
        raise ValueError(f"{image} has {len(found)} cases, expected one; choose it with --case")
    return found[name or next(iter(found))]


def _mask(file: Path | None, case: Case) -> Labels | None:
    """Of the file, or of the case."""
    from dataclasses import replace

    return (case if file is None else replace(case, mask_file=file)).mask()
