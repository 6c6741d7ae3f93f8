"""Cubes to score, as label maps and as files."""

from pathlib import Path

import numpy as np

from medseg.evaluation import Scores
from medseg.io import write
from medseg.volume import Labels

NAMES = {1: "kidney", 2: "tumour", 3: "cyst"}


def drawn(*boxes: tuple[int, int], names: dict[int, str] | None = None) -> Labels:
    """A volume with a cube of two voxels a side for each (label, place along the last axis)."""
    array = np.zeros((5, 5, 9), np.uint8)
    for label, place in boxes:
        array[2:4, 2:4, place : place + 2] = label
    return Labels.from_array(array, (1, 2, 3), names)


def value(scores: Scores, label: int | str, metric: str, case: str | None = None) -> float:
    """The one value of a metric of a label, of a case where there are several."""
    (found,) = (
        row.value
        for row in scores
        if (row.label, row.metric) == (label, metric) and case in (None, row.case)
    )
    return found


def folders(place: Path, cases: dict[str, tuple[Labels, Labels]]) -> tuple[Path, Path]:
    """Folders of predictions and of references, written from (predicted, reference)."""
    for name, pair in cases.items():
        for folder, labels in zip(("predicted", "reference"), pair, strict=True):
            write(labels, place / folder / f"{name}.nii.gz")
    return place / "predicted", place / "reference"


TWO_CASES = {"a": (drawn((1, 2)), drawn((1, 2))), "b": (drawn((1, 3)), drawn((1, 2)))}
