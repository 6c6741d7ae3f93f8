"""What training would stumble over, found before it starts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from medseg.dataset.case import Case
from medseg.volume import BACKGROUND, Image, Labels, require_match


class Expected(NamedTuple):
    """What the cases of a data set have in common.

    Parameters
    ----------
    channels : int
    labels : tuple of int
        Those that may occur; any above 0, where there are none.
    ignore : int, optional
        Label of voxels that are not annotated.
    """

    channels: int
    labels: tuple[int, ...] = ()
    ignore: int | None = None


@dataclass(frozen=True, eq=False)
class Reading:
    """What was read of a case, and what is wrong with it, one line a problem.

    Parameters
    ----------
    image, labels : optional
        Not there where they can't be read.
    problems : tuple of str
    """

    image: Image | None
    labels: Labels | None
    problems: tuple[str, ...]


def read_checked(case: Case, expected: Expected, *, allow_empty: bool) -> Reading:
    """Read a case and say what is wrong with it.

    Parameters
    ----------
    expected : Expected
    allow_empty : bool
        Whether a label map may be all background.
    """
    missing = [path for path in case.files() if not path.exists()]
    if missing or case.reference is None:
        lines = [f"{case.name}: {path} is missing" for path in missing]
        none = () if case.reference else (f"{case.name}: it has no label map",)
        return Reading(None, None, (*lines, *none))
    reads = (lambda: case.image(expected.channels), case.labels, case.mask, case.weights)
    tried = [_tried(read) for read in reads]
    found = [f"{case.name}: {problem}" for _, problem in tried if problem]
    image, labels, mask, weights = (volume for volume, _ in tried)
    if labels is not None:
        found += _label_problems(case, labels, expected, allow_empty=allow_empty)
    if mask is not None and not mask.array.any():
        found.append(f"{case.name}: the mask {case.mask_file} is empty")
    if weights is not None and not (weights.array.min() >= 0 and weights.array.any()):
        found.append(f"{case.name}: {case.weight_file} has weights below 0, or 0 throughout")
    others = ((labels, case.reference), (mask, case.mask_file), (weights, case.weight_file))
    found += [f"{case.name}: {problem}" for problem in _place_problems(image, others)]
    return Reading(image, labels, tuple(found))


def _tried(read: Callable[[], Any]) -> tuple[Any, str]:
    """What `read` gives, or None and what is wrong."""
    try:
        return read(), ""
    except (ValueError, OSError) as error:
        return None, str(error)


def _label_problems(
    case: Case, labels: Labels, expected: Expected, *, allow_empty: bool
) -> list[str]:
    known, ignore = expected.labels, expected.ignore
    values = [value for value in labels.values() if value != ignore]
    found = []
    if ignore is not None and (labels.array == ignore).all():
        found.append(f"{case.name}: {case.reference} is {ignore} throughout, which is ignored")
    elif not values and not allow_empty:
        found.append(f"{case.name}: {case.reference} has no label, it is all background")
    if known and not set(values) <= set(known):
        found.append(
            f"{case.name}: {case.reference} has labels {values}, the data set names {list(known)}"
        )
    if case.annotated and (odd := sorted(set(values) - set(case.annotated))):
        found.append(
            f"{case.name}: {case.reference} has labels {odd}, and only {list(case.annotated)} "
            "were looked for"
        )
    if known and (odd := sorted(set(case.annotated) - set(known))):
        found.append(f"{case.name}: {odd} were looked for, the data set names {list(known)}")
    if not known and (negative := [value for value in values if value < BACKGROUND]):
        found.append(
            f"{case.name}: {case.reference} has labels {negative} below 0; name them in a "
            "dataset.json, or say which one is to be ignored"
        )
    return found


def _place_problems(
    image: Image | None, others: Sequence[tuple[Image | Labels | None, Path | None]]
) -> list[str]:
    found = []
    for volume, path in others:
        if image is not None and volume is not None:
            try:
                require_match(image.grid, volume.grid, str(path))
            except ValueError as error:
                found.append(str(error))
    return found
