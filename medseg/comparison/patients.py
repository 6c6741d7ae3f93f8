"""Which cases belong to the same patient."""

from __future__ import annotations

import csv
from pathlib import Path

from medseg.dataset import Dataset


def read_patients(source: str | Path) -> dict[str, str]:
    """Patient of each case.

    Parameters
    ----------
    source : path or text
        A data set; any CSV file with the columns `case` and `patient`; or such a file and the
        name of another column behind a colon, as in "cases.csv:hospital".

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it says nothing of patients.
    """
    file, column = Path(source), "patient"
    if not file.exists() and ":" in str(source):
        name, _, column = str(source).rpartition(":")
        file = Path(name)
    elif file.is_dir() and Dataset.recognises(file):
        cases = Dataset.read(file).cases
        return {case.name: case.patient or case.name for case in cases}
    if not file.exists():
        raise FileNotFoundError(f"{file} does not exist")
    if not _has_columns(file, column):
        raise ValueError(
            f"{file} is no data set and no CSV file with the columns case and {column}"
        )
    with file.open(newline="", encoding="utf-8-sig") as stream:
        return {row["case"]: row[column] or row["case"] for row in csv.DictReader(stream)}


def _has_columns(file: Path, column: str) -> bool:
    if not file.is_file() or file.suffix.lower() != ".csv":
        return False
    with file.open(newline="", encoding="utf-8-sig") as stream:
        return {"case", column} <= set(next(csv.reader(stream), []))
