"""A table of what was segmented: a line for each label of each case."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from io import StringIO
from math import isnan, nan
from pathlib import Path

from medseg.cohort import Existing, of_shard
from medseg.dataset.case import Case
from medseg.io import read_labels, replace_file
from medseg.measuring import LabelStatistics, label_statistics
from medseg.volume import Image, Labels

_FIRST = ("case", "label", "name", "voxels")
_WORLD = "xyz"
_VOXEL = "ijk"
_Row = dict[str, str]


class StatisticsTable:
    """Lines of a CSV file, collected case by case and written when all are done.

    Parameters
    ----------
    path : Path or None
        The CSV file; without one, nothing is measured. That of a shard i/n has `_i_of_n` in
        its name, as shards run side by side.
    existing : str
        Where there is such a file: "refuse" it, "overwrite" it, or "skip" the cases that are
        done, whose lines stay.
    shard : (int, int), optional
    channels : sequence of str
        Names of the channels, if not those of the images.

    Raises
    ------
    FileExistsError
        If there is such a file and that is refused.
    ValueError
        If the path is of no CSV file, or what is there can't be gone on with.
    """

    def __init__(
        self,
        path: Path | None,
        existing: Existing = "refuse",
        shard: tuple[int, int] | None = None,
        channels: Sequence[str] = (),
    ) -> None:
        self._path = None if path is None else of_shard(path, shard)
        self._channels = tuple(channels)
        self._rows: dict[str, list[_Row]] = {}
        if self._path is None:
            return
        if self._path.suffix.lower() != ".csv":
            raise ValueError(f"statistics are written as .csv, got {path}")
        if existing == "refuse" and self._path.exists():
            raise FileExistsError(
                f"{self._path} exists already; replace it with --overwrite, or go on with "
                "--skip-existing"
            )
        if existing == "skip" and self._path.is_file():
            self._rows = _read(self._path)

    def add(
        self,
        case: str,
        image: Image,
        labels: Labels,
        expected_dice: Mapping[int, float] | None = None,
    ) -> None:
        """Measure a case; its lines take the place of those that are there.

        Parameters
        ----------
        expected_dice : mapping of int to float, optional
            Of each label, by the probabilities of the model.
        """
        if self._path is None:
            return
        channels = self._channels or image.names or [str(k) for k in range(image.channels)]
        self._rows[case] = [
            _row(case, found, channels) | _expected(found.label, expected_dice or {})
            for found in label_statistics(image, labels)
        ]

    def complete(
        self,
        done_before: Iterable[tuple[Case, Path]],
        channels: int | None,
        nan: float | None,
        names: Mapping[int, str] | None = None,
    ) -> None:
        """Write the table, with those cases too, read from their files if they have no line."""
        if self._path is None:
            return
        for case, file in done_before:
            if case.name not in self._rows:
                self.add(case.name, case.image(channels, nan), read_labels(file, names))
        self._save(self._path)

    def _save(self, path: Path) -> None:
        rows = [row for case in sorted(self._rows) for row in self._rows[case]]
        columns = dict.fromkeys([*_FIRST, *(column for row in rows for column in row)])
        text = StringIO()
        writer = csv.DictWriter(text, list(columns), restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        replace_file(path, text.getvalue())


def _row(case: str, found: LabelStatistics, channels: Sequence[str]) -> _Row:
    quantity = "volume_ml" if found.unit == "ml" else "area_cm2"
    row = {"case": case, "label": str(found.label), "name": found.name}
    row |= {"voxels": str(found.voxels), quantity: f"{found.size:.6g}"}
    if not found.voxels:
        return row
    row["touches_border"] = "yes" if found.border else "no"
    for end in ("low", "high"):
        for axis, place in zip(_VOXEL, getattr(found, end), strict=False):
            row[f"{end}_{axis}"] = str(place)
        for axis, place in zip(_WORLD, getattr(found, f"{end}_mm"), strict=False):
            row[f"{end}_{axis}_mm"] = f"{place:.4f}"
    for kind in ("mean", "median"):
        for channel, value in zip(channels, getattr(found, kind), strict=True):
            row[f"{kind}_{channel}"] = f"{value:.6g}"
    return row


def _expected(label: int, expected_dice: Mapping[int, float]) -> _Row:
    dice = expected_dice.get(label, nan)
    return {} if isnan(dice) else {"expected_dice": f"{dice:.6g}"}


def _read(path: Path) -> dict[str, list[_Row]]:
    """Lines of each case in a file that `save` wrote."""
    rows: dict[str, list[_Row]] = {}
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file, restval="")
        lines = list(reader)
    # A line with more cells than columns keeps the rest under None.
    if tuple(reader.fieldnames or ())[: len(_FIRST)] != _FIRST or any(None in x for x in lines):
        raise ValueError(f"{path} is no table of statistics; replace it with --overwrite")
    for row in lines:
        rows.setdefault(row["case"], []).append(row)
    return rows
