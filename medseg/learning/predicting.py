"""Segment many cases with one model."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import log
from pathlib import Path
from typing import NamedTuple

import numpy as np

from medseg import device as devices
from medseg.cleanup.cleaning import cleaned
from medseg.cohort import Existing, Outcome, Stages, over_cases
from medseg.crf import Refined
from medseg.dataset import Case, find_cases, place_outputs
from medseg.dataset.beside import UNCERTAINTY, beside, draw_preview, make_room
from medseg.dataset.measured import StatisticsTable
from medseg.io import write, write_nifti
from medseg.learning.confidence import expected_dice
from medseg.learning.earlier import Given
from medseg.learning.ensemble import Ensemble
from medseg.learning.foreseeing import foresee
from medseg.learning.model import Model
from medseg.learning.uncertainty import ENTROPY, Doubting, require_labels, uncertainty_of
from medseg.pictures import PREVIEW
from medseg.volume import Image, Labels

logger = logging.getLogger("medseg")
_ENDING = "_probabilities.nii.gz"


def predict(  # noqa: PLR0913 - the options that all commands on many cases have
    model: Model | Ensemble | Refined,
    inputs: str | Path | Sequence[str | Path],
    output: str | Path,
    *,
    probabilities: bool = False,
    masks: bool = False,
    uncertainty: bool = False,
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
    uncertainty : bool
        Also write `<case>_entropy.nii.gz` and, where the model has members,
        `<case>_mutual_information.nii.gz` and `<case>_variance.nii.gz`; see `uncertainty_of`.
    preview : bool
        Also draw `<case>_preview.png`: the labels over the image, and the annotation of the case
        where there is one; see `medseg.pictures.draw_overlay`.
    statistics : path of a CSV file, optional
        For a table of volume, place and intensity, a line for each label of each case; see
        `medseg.label_statistics`. That of a shard has `_i_of_n` in its name. With probabilities
        or uncertainty, it has the Dice that the model expects; see `expected_dice`.
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
    wanted = _Wanted(model, probabilities, masks, uncertainty)
    devices.keep_freed_memory()
    channels = len(model.plan.channels)
    cases = {case.name: case for case in find_cases(inputs, channels, series=series)}
    place = place_outputs(cases.values(), output)
    make_room(cases, place, [*wanted.endings(), *[PREVIEW] * preview], existing, shard)
    file = None if statistics is None else Path(statistics)
    table = StatisticsTable(file, existing, shard, model.plan.channels)
    foreseen = foresee(model, list(cases.values()), maps=wanted.maps)
    unsaid = iter([foreseen.said] * bool(foreseen.said))

    def read(case: Case) -> _Read:
        if case.name in foreseen.refused:
            raise ValueError(foreseen.refused[case.name])
        earlier = case.earlier() if model.plan.earlier else None
        return _Read(case.image(channels, nan), case.mask(), earlier)

    def compute(read: _Read) -> _Computed:
        for line in unsaid:  # once, and not before a file that can't be read
            logger.info(line)
        image, mask, earlier = read
        found = replace(wanted, model=_knowing(model, earlier)).of(image, mask)
        return found._replace(labels=cleaned(found.labels, cleanups, mask))

    def save(case: Case, computed: _Computed, path: Path) -> None:
        wanted.write_beside(path, computed)
        image, labels, found, *_ = computed
        if preview:
            draw_preview(case, image, labels, path)
        write(labels, path)
        expected = expected_dice(found, labels) if found and not model.plan.regions else None
        table.add(case.name, image, labels, expected)

    def one_by_one(case: Case, path: Path) -> None:
        save(case, compute(read(case)), path)

    work = Stages(read, compute, save) if foreseen.overlap else one_by_one
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
    uncertainty: Mapping[str, Image]


def _knowing(
    model: Model | Ensemble | Refined, earlier: Labels | None
) -> Model | Ensemble | Refined:
    """Return the second model of a cascade with the labels that a case brings; others as is."""
    if earlier is None or not isinstance(model, Model):
        return model
    return replace(model, earlier=Given(earlier))


@dataclass(frozen=True)
class _Wanted:
    """What is asked of a model beside the labels."""

    model: Model | Ensemble | Refined
    probabilities: bool
    masks: bool
    uncertainty: bool

    def __post_init__(self) -> None:
        if self.masks and not self.model.plan.regions:
            raise ValueError("the model knows labels and no regions, so it has no masks of them")
        if self.uncertainty:
            require_labels(self.model)

    def endings(self) -> list[str]:
        """Of the files that it becomes."""
        maps = UNCERTAINTY if isinstance(self.model, Doubting) else (ENTROPY,)
        named = [*self.model.plan.regions] * self.masks + [*maps] * self.uncertainty
        return [_ENDING] * self.probabilities + [_ending_of(what) for what in named]

    @property
    def maps(self) -> int:
        """How many numbers it is for each voxel, beside the label."""
        return self.model.plan.outputs if self.probabilities or self.uncertainty else 0

    def of(self, image: Image, mask: Labels | None) -> _Computed:
        """Compute it."""
        model, inside = self.model, dict[str, Labels]()
        said = uncertainty_of(model, image, mask=mask) if self.uncertainty else None
        found = said.probabilities if said else None
        if self.probabilities and not said:
            found = model.probabilities(image, mask=mask)
        if self.masks and isinstance(model, Model | Ensemble):
            inside = model.masks_of(found) if found else model.masks(image, mask)
            labels = model.written(inside)
        elif found:
            labels = model.most_probable(found)
        else:
            labels = model.segment(image, mask=mask)
        return _Computed(image, labels, found, inside, said.maps if said else {})

    def write_beside(self, path: Path, computed: _Computed) -> None:
        """Write it beside the labels."""
        _, _, found, inside, unsure = computed
        if found and self.probabilities:
            write_shares(found, beside(path, _ENDING))
        for name, one in unsure.items():
            write_shares(one, beside(path, _ending_of(name)), _highest(name, found))
        for region, labels in inside.items():
            write(labels, beside(path, _ending_of(region)))


def _ending_of(what: str) -> str:
    return f"_{what}.nii.gz"


def _highest(name: str, probabilities: Image | None) -> float:
    """What a map of uncertainty can't exceed."""
    assert probabilities is not None
    return 1.0 if name == "variance" else log(probabilities.channels)


def write_shares(image: Image, path: Path, highest: float = 1.0) -> None:
    """Write numbers from 0 to `highest` as NIfTI of uint16: exact to `highest` / 131,070.

    Several channels, as those of probabilities, become the fourth axis.
    """
    levels = 65535
    stored = np.rint(image.array * (levels / highest)).astype(np.uint16)
    plain = Image.to_nibabel(image)
    array = stored[0] if image.channels == 1 else np.moveaxis(stored, 0, -1)
    volume = type(plain)(array, plain.affine, plain.header)
    volume.set_data_dtype(np.uint16)
    volume.header.set_slope_inter(highest / levels, 0)
    write_nifti(volume, path)
