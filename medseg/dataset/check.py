"""What training would stumble over, found before it starts."""

from __future__ import annotations

from medseg.dataset.case import Case
from medseg.volume import BACKGROUND, Image, Labels, require_match


def problems_of(
    case: Case, expected: tuple[int, tuple[int, ...]], *, allow_empty: bool
) -> list[str]:
    """Read a case and say what is wrong with it, one line a problem.

    Parameters
    ----------
    expected : (int, tuple of int)
        Number of channels, and labels that may occur (any, where there are none).
    allow_empty : bool
        Whether a label map may be all background.
    """
    missing = [path for path in case.files() if not path.is_file()]
    if missing or case.reference is None:
        lines = [f"{case.name}: {path} is missing" for path in missing]
        return lines if case.reference else [*lines, f"{case.name}: it has no label map"]
    channels, known = expected
    found: list[str] = []
    image = labels = mask = None
    try:
        image = case.image(channels)
    except (ValueError, OSError) as error:
        found.append(f"{case.name}: {error}")
    try:
        labels, mask = case.labels(), case.mask()
    except (ValueError, OSError) as error:
        found.append(f"{case.name}: {error}")
    if labels is not None:
        found += _label_problems(case, labels, known, allow_empty=allow_empty)
    return found + _place_problems(case, image, labels, mask)


def _label_problems(
    case: Case, labels: Labels, known: tuple[int, ...], *, allow_empty: bool
) -> list[str]:
    values = labels.values()
    found = []
    if not values and not allow_empty:
        found.append(f"{case.name}: {case.reference} has no label, it is all background")
    unknown = [value for value in values if value not in known] if known else []
    if unknown or any(value < BACKGROUND for value in values):
        found.append(
            f"{case.name}: {case.reference} has labels {list(values)}, "
            f"the data set names {list(known)}"
        )
    return found


def _place_problems(
    case: Case, image: Image | None, labels: Labels | None, mask: Labels | None
) -> list[str]:
    found = []
    for volume, path in ((labels, case.reference), (mask, case.mask_file)):
        if image is not None and volume is not None:
            try:
                require_match(image.grid, volume.grid, str(path))
            except ValueError as error:
                found.append(f"{case.name}: {error}")
    if mask is not None and not mask.array.any():
        found.append(f"{case.name}: the mask {case.mask_file} is empty")
    return found
