"""Segment many cases with one model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from medseg import device as devices
from medseg.cleanup.cleaning import cleaned
from medseg.cohort import Existing, Outcome, Stages, over_cases
from medseg.crf import Refined
from medseg.dataset import Case, find_cases, place_outputs
from medseg.dataset.beside import beside, draw_preview, make_room
from medseg.dataset.measured import StatisticsTable
from medseg.io import write, write_nifti
from medseg.learning.earlier import Given
from medseg.learning.ensemble import Ensemble
from medseg.learning.model import Model
from medseg.pictures import PREVIEW
from medseg.volume import Image, Labels

_ENDING = "_probabilities.nii.gz"


def predict(  # noqa: PLR0913 - the options that all commands on many cases have
    model: Model | Ensemble | Refined,
    inputs: str | Path | Sequence[str | Path],
    output: str | Path,
    *,
    probabilities: bool = False,
    masks: bool = False,
    preview: bool = False,
    statistics: str | Path | None = None,
    cleanups: Sequence[Callable[[Labels], Labels]] = (),
    existing: Existing = "refuse",
    shard: tuple[int, int] | None = None,
    nan: float | None = None,
    series: str = "",
) -> Outcome:
    """Segment files, folders or a data set; the model is loaded once for all of them.

    Parameters
    ----------
    model : Model, Ensemble or Refined
    inputs : path, or sequence of paths
        See `medseg.dataset.find_cases`. Where a case has an `earlier_file`, the second model of
        a cascade goes by it, in place of what its first one finds.
    output : path
        A file for one case, named as a volume; else a folder, with a file per case.
    probabilities : bool
        Also write `<case>_probabilities.nii.gz`: a channel a class, or a region, in the order of
        the plan.
    masks : bool
        Also write `<case>_<region>.nii.gz` for each region of the model.
    preview : bool
        Also draw `<case>_preview.png`: the labels over the image, and the annotation of the case
        where there is one; see `medseg.pictures.draw_overlay`.
    statistics : path of a CSV file, optional
        For a table of volume, place and intensity, a line for each label of each case; see
        `medseg.label_statistics`. That of a shard has `_i_of_n` in its name.
    cleanups : sequence of functions, Labels -> Labels
        What is done to the labels, one after the other, as those of `medseg.CLEANUPS`; outside
        the mask all stays 0. Probabilities and masks of regions stay as they are.
    existing : str
        What to do about outputs that exist: "refuse" before any work, "skip", "overwrite".
    shard : (int, int), optional
        (i, n) takes every n-th case, beginning with i.
    nan : float, optional
        Takes the place of NaN and infinite voxels, which are refused otherwise.
    series : str
        UID or number of the series that is meant, where a DICOM folder holds several.

    Raises
    ------
    FileNotFoundError, FileExistsError, ValueError
        If inputs are missing, outputs exist, the model has no regions to write masks of, or the
        only case can't be segmented.
    """
    trained = model
    regions = [_ending_of(name) for name in model.plan.regions]
    if masks and not regions:
        raise ValueError("the model knows labels and no regions, so it has no masks of them")
    devices.keep_freed_memory()
    channels = len(model.plan.channels)
    cases = {case.name: case for case in find_cases(inputs, channels, series=series)}
    place = place_outputs(cases.values(), output)
    endings = [_ENDING] * probabilities + regions * masks + [PREVIEW] * preview
    make_room(cases, place, endings, existing, shard)
    file = None if statistics is None else Path(statistics)
    table = StatisticsTable(file, existing, shard, model.plan.channels)

    def read(case: Case) -> _Read:
        earlier = case.earlier() if model.plan.earlier else None
        return _Read(case.image(channels, nan), case.mask(), earlier)

    def compute(read: _Read) -> _Computed:
        image, mask, earlier = read
        model = _knowing(trained, earlier)
        found = model.probabilities(image, mask=mask) if probabilities else None
        inside: Mapping[str, Labels] = {}
        if masks and isinstance(model, Model):
            inside = model.masks_of(found) if found else model.masks(image, mask)
            labels = model.written(inside)
        elif found:
            labels = model.most_probable(found)
        else:
            labels = model.segment(image, mask=mask)
        return _Computed(image, cleaned(labels, cleanups, mask), found, inside)

    def save(case: Case, computed: _Computed, path: Path) -> None:
        image, labels, found, inside = computed
        if found:
            write_probabilities(found, beside(path, _ENDING))
        for region, one in inside.items():
            write(one, beside(path, _ending_of(region)))
        if preview:
            draw_preview(case, image, labels, path)
        write(labels, path)
        table.add(case.name, image, labels)

    work = Stages(read, compute, save)
    outcome = over_cases(work, cases, place, existing=existing, shard=shard, what="predicting")
    done_before = [(cases[name], place(name)) for name in outcome.skipped]
    table.complete(done_before, channels, nan, model.plan.names)
    return outcome


class _Read(NamedTuple):
    """What is read of a case."""

    image: Image
    mask: Labels | None
    earlier: Labels | None


class _Computed(NamedTuple):
    """What is written of a case."""

    image: Image
    labels: Labels
    probabilities: Image | None
    masks: Mapping[str, Labels]


def _knowing(
    model: Model | Ensemble | Refined, earlier: Labels | None
) -> Model | Ensemble | Refined:
    """Return the second model of a cascade with the labels that a case brings; others as is."""
    if earlier is None or not isinstance(model, Model):
        return model
    return replace(model, earlier=Given(earlier))


def _ending_of(region: str) -> str:
    return f"_{region}.nii.gz"


def write_probabilities(probabilities: Image, path: Path) -> None:
    """Write probabilities as a 4D NIfTI of uint16 with a slope: exact to 1 in 131,070."""
    levels = 65535
    stored = np.rint(probabilities.array * levels).astype(np.uint16)
    image = Image.to_nibabel(probabilities)
    volume = type(image)(np.moveaxis(stored, 0, -1), image.affine, image.header)
    volume.set_data_dtype(np.uint16)
    volume.header.set_slope_inter(1 / levels, 0)
    write_nifti(volume, path)
