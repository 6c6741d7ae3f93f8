"""Facts of an ensemble."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from medseg.info.run import RunInfo, run_info


@dataclass(frozen=True)
class EnsembleInfo:
    """What the folder of an ensemble lists.

    Parameters
    ----------
    path : str
    merge : str
        How the members decide together.
    weights : tuple of float or None
        How much each counts; None if all count the same.
    members : tuple of RunInfo
    """

    path: str
    merge: str
    weights: tuple[float, ...] | None
    members: tuple[RunInfo, ...]


def ensemble_info(folder: Path) -> EnsembleInfo:
    """Read the folder of an ensemble and those of its members; ValueError if one is damaged."""
    from medseg.learning.ensemble import Ensemble, Stored

    found = Ensemble.load(folder, "cpu")
    members = tuple(run_info(each.folder) for each in found.members if isinstance(each, Stored))
    return EnsembleInfo(str(folder), found.merge, found.weights, members)
