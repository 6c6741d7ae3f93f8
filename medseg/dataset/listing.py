"""Cases as the rows of a CSV file, which is a data set again."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from io import StringIO
from pathlib import Path

from medseg.dataset.case import Case

# Columns that are there only if a case has something in them.
_SELDOM: Mapping[str, Callable[[Case], str]] = {
    "earlier": lambda case: _text(case.earlier_file),
    "annotated": lambda case: " ".join(map(str, case.annotated)),
}


def csv_of(cases: Sequence[Case], channels: Sequence[str] = ()) -> str:
    """Text of a CSV file in the layout of `LAYOUTS`, with absolute paths.

    What the labels stand for is not in it.

    Parameters
    ----------
    channels : sequence of str
        Names of the files of a case; numbers, where there are not as many.

    Raises
    ------
    ValueError
        If the cases have not all as many files, or are of a series in a DICOM folder, which
        the layout has no column for.
    """
    counts = {len(case.channels) for case in cases} or {len(channels)}
    if len(counts) > 1 or any(case.series for case in cases):
        raise ValueError(
            "a CSV file lists cases of equally many images, each in a file of its own; got "
            f"{sorted(counts)} images a case"
        )
    (count,) = counts
    names = channels if len(channels) == count else range(count)
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    images = [f"image:{name}" for name in names]
    more = [(column, cell) for column, cell in _SELDOM.items() if any(map(cell, cases))]
    seldom = [column for column, _ in more]
    writer.writerow(["case", *images, "label", "mask", "weight", "patient", *seldom])
    for case in cases:
        files = (*case.channels, case.reference, case.mask_file, case.weight_file)
        rest = [cell(case) for _, cell in more]
        writer.writerow([case.name, *map(_text, files), case.patient, *rest])
    return text.getvalue()


def _text(path: Path | None) -> str:
    return "" if path is None else str(path.absolute())
