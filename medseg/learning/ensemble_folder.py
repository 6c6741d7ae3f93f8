"""The file in the folder of an ensemble: which runs, and how they decide together."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medseg import strict_json
from medseg.io import replace_file
from medseg.learning import VARIANTS
from medseg.learning.run import Run
from medseg.learning.variants import Variants

ENSEMBLE_FILE = "ensemble.json"


@dataclass(frozen=True)
class EnsembleFolder:
    """What the folder of an ensemble says.

    Parameters
    ----------
    runs : tuple of Path
        Folders of trained models.
    merge : str
    weights : tuple of float, optional
        One a run.
    variants : tuple of Variants
        What is made of each run; without any, it is a member itself.
    """

    runs: tuple[Path, ...]
    merge: str = "mean"
    weights: tuple[float, ...] | None = None
    variants: tuple[Variants, ...] = ()

    @classmethod
    def read(cls, folder: str | Path) -> EnsembleFolder:
        """Read the file in the folder.

        Raises
        ------
        FileNotFoundError
            If there is none, or a run has moved away.
        ValueError
            If it is damaged.
        """
        file = Path(folder) / ENSEMBLE_FILE
        content = strict_json.read(file)
        if not _is_ensemble(content):
            raise ValueError(
                f'{file} holds no ensemble; expected {{"members": ["fold_0", ...], '
                '"merge": "mean", "weights": null}'
            )
        runs = tuple(Path(os.path.normpath(file.parent / each)) for each in content["members"])
        for run in runs:
            if not Run(run).plan.is_file():
                raise FileNotFoundError(f"{run} is no run of medseg train, and {file} lists it")
        weights = content["weights"]
        try:
            variants = tuple(VARIANTS.from_json(each) for each in content.get("variants", ()))
        except ValueError as error:
            raise ValueError(f"{file}: {error}") from error
        return cls(runs, content["merge"], None if weights is None else tuple(weights), variants)

    def named(self) -> str:
        """What the ensemble is made of, in a few words that tell it from another."""
        content = repr((self.merge, self.weights, self.variants, [run.name for run in self.runs]))
        return f"ensemble {hashlib.sha256(content.encode()).hexdigest()[:16]}"

    def save(self, folder: str | Path) -> None:
        """Write the file, the runs relative to the folder."""
        place = Path(folder)
        content = {
            "members": [Path(os.path.relpath(run, place)).as_posix() for run in self.runs],
            "merge": self.merge,
            "weights": None if self.weights is None else list(self.weights),
            "variants": [VARIANTS.to_json(each) for each in self.variants],
        }
        replace_file(place / ENSEMBLE_FILE, json.dumps(content, indent=2) + "\n")


def _is_ensemble(content: Any) -> bool:
    known = {"members", "merge", "weights"}
    if not isinstance(content, Mapping) or set(content) - {"variants"} != known:
        return False
    members, weights = content["members"], content["weights"]
    return (
        isinstance(members, list)
        and all(isinstance(each, str) for each in members)
        and isinstance(content["merge"], str)
        and isinstance(content.get("variants", []), list)
        and (
            weights is None
            or (isinstance(weights, list) and all(type(each) in (int, float) for each in weights))
        )
    )
