"""`medseg segment`: classical methods and trained models over any number of cases."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medseg.cli.building import chain_called, channels_of
from medseg.cli.clicking import clicked, require_alone
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
    assignments,
    cleanups_of,
    conclude,
    existing,
    shard_of,
)
from medseg.cli.slurm import Slurm, submitted

if TYPE_CHECKING:
    from medseg.chain import Chain
    from medseg.dataset import Case
    from medseg.volume import Image, Labels

log = logging.getLogger("medseg")
_REFERENCE = "reference"  # in place of a path


def segment(
    context: typer.Context,
    inputs: Inputs,
    output: Output,
    method: Annotated[
        str,
        typer.Option(
            "--method",
            "-m",
            metavar="METHOD|CHAIN|RUN|FILE",
            help="A classical method, as `medseg methods` lists them; filters, a method and "
            "clean-ups, as in n4+otsu+keep-largest, with +crf behind a method that gives "
            "probabilities; the folder of a trained model; or a JSON file with one of these.",
        ),
    ],
    seeds: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH|reference",
            help="Voxels known beforehand: a label map, or a folder with one of the name of each "
            "case. The word reference makes them of the annotations, as `medseg tune` does.",
        ),
    ] = None,
    seed: Annotated[
        list[str] | None,
        typer.Option(
            metavar="X,Y,Z=LABEL",
            help="One voxel known beforehand, by its place in the file, or in mm of the world: "
            "12.5mm,3mm,-4mm=1; -1 is background. May be given more than once.",
        ),
    ] = None,
    background_seed: Annotated[
        int | None,
        typer.Option(metavar="LABEL", help="The label that marks background among the seeds."),
    ] = None,
    mask: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH", help="Where to look, not 0: a file, or a folder as for seeds."
        ),
    ] = None,
    contour: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.vtk|.gii",
            help="Of a snake on a single case: where its curve or surface goes, in mm of the "
            "world, before any clean-up.",
        ),
    ] = None,
    simulate_clicks: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH|reference",
            help="Play a user who clicks in the middle of the largest error, and print the Dice "
            "after each click: an annotation, a folder of them, or the word reference.",
        ),
    ] = None,
    clicks: Annotated[int, typer.Option("--clicks", "-n", min=1, help="Of that user.")] = 10,
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
    """Segment images with a classical method or a trained model.

    Settings: --set classes=3 is of the method, --set keep-largest.of=all of a part of a chain.
    Of several cases, the outputs are named after their inputs.
    """
    if submitted(slurm, context, output, shard):
        return
    from medseg.clicks import Click, seeds_at
    from medseg.cohort import over_cases
    from medseg.dataset import find_cases, place_outputs
    from medseg.dataset.beside import draw_preview, make_room
    from medseg.dataset.measured import StatisticsTable
    from medseg.io import read_labels, write
    from medseg.pictures import PREVIEW

    if background_seed is not None and seeds is None:
        raise ValueError("--background-seed says what a label among the seeds means; give --seeds")
    known_places = [Click.parse(text) for text in seed or []]
    if known_places and seeds is not None:
        raise ValueError("seeds are given by --seed or by --seeds, not by both")
    chain = chain_called(method, device, assignments(parameters))
    chain = replace(chain, cleanups=(*chain.cleanups, *cleanups_of(cleanups, device)))
    channels = channels_of(chain.method)
    cases = find_cases(inputs, channels, series=series)
    if len(cases) > 1 and not all(click.in_mm for click in known_places):
        raise ValueError(f"--seed of {len(cases)} cases is in mm, which they share; or use --seeds")
    _require_contour(chain, contour, len(cases), overwrite=overwrite)
    require_alone(simulate_clicks, {"--seeds": seeds, "--seed": seed})
    options = {"--seeds": seeds, "--mask": mask, "--simulate-clicks": simulate_clicks}
    for what, path in options.items():
        _require_one_each(path, len(cases), what)
    _say_who_helps(seeds, background_seed)

    def work(case: Case, path: Path) -> None:
        inside = case.mask() if mask is None else read_labels(_of_case(mask, case))
        known = _known(case, seeds, background_seed, inside)
        image = case.image(channels, nan)
        if known_places:
            known = seeds_at(known_places, image.grid)
        if simulate_clicks is not None:
            reference = _reference(case, simulate_clicks)
            last = clicked(chain, case.name, image, reference, inside, clicks)
            known, labels = last.seeds, last.labels
        else:
            labels = chain.segment(image, known, inside)
        _write_contour(chain, image, known, inside, contour)
        if preview:
            draw_preview(case, image, labels, path)
        write(labels, path)
        table.add(case.name, image, labels)

    named, place = {case.name: case for case in cases}, place_outputs(cases, output)
    there, part = existing(skip_existing, overwrite), shard_of(shard)
    make_room(named, place, [PREVIEW] * preview, there, part)
    table = StatisticsTable(statistics, there, part)
    outcome = over_cases(work, named, place, existing=there, shard=part, what=method)
    table.complete([(named[name], place(name)) for name in outcome.skipped], channels, nan)
    conclude(outcome, output, part)


def _require_one_each(path: Path | None, cases: int, what: str) -> None:
    if path is None or path.is_dir() or (what != "--mask" and path == Path(_REFERENCE)):
        return
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist")
    if cases > 1:
        raise ValueError(f"{what} of {cases} cases is a folder with a file each, got {path}")


def _require_contour(chain: Chain, path: Path | None, cases: int, *, overwrite: bool) -> None:
    from medseg.io import require_contour_file

    if path is None:
        return
    require_contour_file(path)
    if not hasattr(chain.method, "contours"):
        raise ValueError("--contour is for methods that move one of points; use -m snake")
    if cases > 1:
        raise ValueError(f"--contour is a file of a single case, got {cases} cases")
    if path.exists() and not overwrite:
        raise ValueError(f"{path} exists; --overwrite replaces it")


def _write_contour(
    chain: Chain, image: Image, seeds: Labels | None, mask: Labels | None, path: Path | None
) -> None:
    from medseg.io import write_contour

    if path is None:
        return
    for each in chain.filters:
        image = each(image, mask)
    method: Any = chain.method
    write_contour(method.contours(image, seeds, mask), path)


def _say_who_helps(seeds: Path | None, background: int | None) -> None:
    if seeds != Path(_REFERENCE):
        return
    if background is not None:
        raise ValueError("seeds made of the annotations mark their background; leave out the label")
    log.warning("the seeds are made of the annotations, so scores will be those with that help")


def _of_case(path: Path, case: Case) -> Path:
    from medseg.io import READERS

    if not path.is_dir():
        return path
    for suffix in READERS:
        if (file := path / f"{case.name}{suffix}").exists():
            return file
    raise FileNotFoundError(f"{path} holds nothing for case {case.name}, expected {file}")


def _reference(case: Case, path: Path) -> Labels:
    from medseg.io import read_labels

    return case.labels() if path == Path(_REFERENCE) else read_labels(_of_case(path, case))


def _known(
    case: Case, seeds: Path | None, background: int | None, inside: Labels | None
) -> Labels | None:
    """Seeds of a case, if there are any."""
    if seeds is None:
        return None
    if seeds == Path(_REFERENCE):
        from medseg.tuning import seeds_of

        return seeds_of(case.labels(), inside)
    return _seeds(_of_case(seeds, case), background)


def _seeds(path: Path, background: int | None) -> Labels:
    import numpy as np

    from medseg.io import read_labels

    labels = read_labels(path)
    if background is None:
        return labels
    if background not in labels.values():
        held = ", ".join(map(str, labels.values())) or "no label"
        raise ValueError(f"--background-seed {background} marks no voxel of {path}; it has {held}")
    array = np.where(labels.mask(background), -1, labels.array.astype(np.int64))
    return labels.on(array, labels.grid)
