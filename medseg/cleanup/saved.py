"""Clean-ups as JSON: a list of names and parameters, beside the model whose labels they clean."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from medseg import strict_json
from medseg.cleanup import CLEANUPS
from medseg.cleanup.cleaning import Cleanup
from medseg.io import replace_file

CLEANUPS_FILE = "cleanups.json"


def cleanup_to_json(cleanup: Cleanup) -> dict[str, Any]:
    """Name and parameters of a clean-up, without the device."""
    return {key: value for key, value in CLEANUPS.to_json(cleanup).items() if key != "device"}


def save_cleanups(cleanups: Sequence[Cleanup], folder: Path) -> None:
    """Write `cleanups.json` into the folder of a model, to be done whenever it is used."""
    content = [cleanup_to_json(cleanup) for cleanup in cleanups]
    replace_file(folder / CLEANUPS_FILE, json.dumps(content, indent=2) + "\n")


def load_cleanups(folder: str | Path, device: str = "auto") -> tuple[Cleanup, ...]:
    """Clean-ups that belong to the model in a folder; none, where it has no such file.

    Raises
    ------
    ValueError
        If the file holds something else.
    """
    file = Path(folder) / CLEANUPS_FILE
    if not file.is_file():
        return ()
    content = strict_json.read(file)
    if not isinstance(content, list) or not all(isinstance(each, dict) for each in content):
        raise ValueError(f'{file} holds no clean-ups; expected [{{"name": "fill-holes"}}, ...]')
    try:
        return tuple(CLEANUPS.from_json({**each, "device": device}) for each in content)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error
