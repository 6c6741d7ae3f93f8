"""What is written beside the result of a case: its probabilities, its picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from medseg.cohort import Existing
from medseg.dataset.case import Case
from medseg.io import remove_unfinished, stem_of
from medseg.pictures import PREVIEW, draw_overlay
from medseg.volume import Image, Labels

UNCERTAINTY = ("entropy", "mutual_information", "variance")
"""Maps of how unsure a prediction is, as in `<case>_entropy.nii.gz`."""
BESIDE = ("probabilities", "preview", *UNCERTAINTY)
"""All that may be written beside a prediction, but for regions: `<case>_<what>`."""


def beside(path: Path, ending: str) -> Path:
    """Path in the same folder, the suffix replaced by `ending`."""
    return path.with_name(f"{stem_of(path)}{ending}")


def make_room(
    cases: Mapping[str, Case],
    place: Callable[[str], Path],
    endings: Sequence[str],
    existing: Existing,
    shard: tuple[int, int] | None,
) -> None:
    """Make sure that files of these endings may be written beside the results of a shard.

    What an interrupted run left of them is removed.

    Raises
    ------
    FileExistsError
        If one exists and `existing` is "refuse".
    ValueError
        If one would take the place of an input or of a result.
    """
    first, step = shard or (0, 1)
    mine = list(cases)[first::step]
    files = [beside(place(name), ending) for name in mine for ending in endings]
    inputs = {file.resolve() for case in cases.values() for file in case.files()}
    results = {place(name).resolve() for name in cases}
    for file in files:
        if file.resolve() in inputs:
            raise ValueError(f"{file} is an input and would be overwritten; choose another output")
        if file.resolve() in results:
            raise ValueError(f"{file} is the result of another case already; rename one")
        if existing == "refuse" and file.exists():
            raise FileExistsError(
                f"{file} exists already; replace with --overwrite, or choose another output"
            )
    remove_unfinished(files)


def draw_preview(case: Case, image: Image, labels: Labels, path: Path) -> None:
    """Draw a result, and the annotation of the case if there is one, beside `path`."""
    reference = None if case.reference is None else case.labels(labels.names)
    draw_overlay(image, labels, beside(path, PREVIEW), reference, title=case.name)
