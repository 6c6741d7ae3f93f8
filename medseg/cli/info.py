"""`medseg info`: what a file, a data set or a run is, and what is odd about it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medseg.cli.options import Quiet, Series

if TYPE_CHECKING:
    from medseg.info import DatasetInfo, EnsembleInfo, RunInfo, VolumeInfo

_MOST_LABELS = 40


def info(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="FILE|DATA|RUN", help="A volume, a DICOM folder, a data set or a run."
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="For programs: one JSON object.")] = False,
    series: Series = "",
    quiet: Quiet = False,
) -> None:
    """Say what a file, a data set or a run is, and what is odd about it."""
    from medseg.info import DatasetInfo, EnsembleInfo, VolumeInfo
    from medseg.info import info as look

    found = look(path, series=series)
    if as_json:
        typer.echo(json.dumps(asdict(found), indent=2, allow_nan=False))
        return
    if isinstance(found, VolumeInfo):
        rows = _of_volume(found)
    elif isinstance(found, EnsembleInfo):
        rows = _of_ensemble(found)
    else:
        rows = _of_dataset(found) if isinstance(found, DatasetInfo) else _of_run(found)
    for name, text in rows:
        typer.echo(f"{name:12}{text}".rstrip())


def _of_volume(found: VolumeInfo) -> Iterator[tuple[str, str]]:
    yield "file", found.path
    yield "format", f"{found.format}; {found.dtype}"
    yield "shape", _times(found.shape) + (f", {found.channels} channels" * (found.channels > 1))
    yield "spacing", f"{_times(found.spacing)} mm"
    yield "orientation", found.orientation
    if found.low is not None:
        yield "range", f"{found.low:g} to {found.high:g}"
    for one in found.labels[:_MOST_LABELS]:
        yield f"label {one.label}", f"{one.size:g} {one.unit}, {one.voxels} voxels  {one.name}"
    if (more := len(found.labels) - _MOST_LABELS) > 0:
        yield "", f"and {more} labels more; --json has all"
    yield from (("odd", text) for text in found.odd)


def _of_dataset(found: DatasetInfo) -> Iterator[tuple[str, str]]:
    yield "data set", found.path
    yield "layout", found.layout
    yield "cases", f"{found.cases} of {found.patients} patients"
    yield "channels", ", ".join(found.channels)
    for one in found.labels:
        share = f"in {one.cases} cases, {one.median:g} {one.unit} ({one.low:g} to {one.high:g})"
        yield f"label {one.label}", f"{share}  {one.name}"
    if found.shapes:
        yield "shape", _spread(found.shapes)
        yield "spacing", f"{_spread(found.spacings)} mm"
    yield from (("problem", text) for text in found.problems)
    if not found.problems:
        yield "problems", "none"


def _of_run(found: RunInfo) -> Iterator[tuple[str, str]]:
    plan, training = found.plan, found.training
    yield "run", found.path
    network = dict(plan["network"])
    yield "network", f"{network.pop('name')}  {_pairs(network)}"
    yield "channels", ", ".join(plan["channels"])
    names = {int(label): name for label, name in plan["names"].items()}
    yield "labels", ", ".join(f"{label} {names.get(label, '')}".strip() for label in plan["labels"])
    yield "spacing", f"{_times(plan['spacing'])} mm"
    yield "patch", _times(plan["patch"])
    if training:
        yield "training", _pairs(training)
    yield "steps", f"{found.steps} in {found.seconds:.0f} s"
    if found.best_dice is not None:
        yield "best Dice", f"{found.best_dice:.4f} at step {found.best_step}"
    yield "weights", ", ".join(found.weights) or "none yet"


def _of_ensemble(found: EnsembleInfo) -> Iterator[tuple[str, str]]:
    yield "ensemble", found.path
    yield "merge", found.merge
    for variants in found.variants:
        yield "variants", variants
    weights = found.weights or (1.0,) * len(found.members)
    for member, weight in zip(found.members, weights, strict=True):
        best = "" if member.best_dice is None else f", best Dice {member.best_dice:.4f}"
        network = member.plan["network"]["name"]
        yield "member", f"{member.path}  {network}, weight {weight:g}{best}"


def _times(numbers: Sequence[float]) -> str:
    return " x ".join(f"{number:g}" for number in numbers)


def _spread(rows: Sequence[Sequence[float]]) -> str:
    low, middle, high = map(_times, rows)
    return low if low == high else f"{middle} (median; {low} to {high})"


def _pairs(fields: Mapping[str, object]) -> str:
    return ", ".join(f"{key} {value}" for key, value in fields.items() if value is not None)
