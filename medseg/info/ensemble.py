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
    variants : tuple of str
        What is made of each member; empty if it is itself one.
    """

    path: str
    merge: str
    weights: tuple[float, ...] | None
    members: tuple[RunInfo, ...]
    variants: tuple[str, ...] = ()


def ensemble_info(folder: Path) -> EnsembleInfo:
    """Read the folder of an ensemble and those of its members; ValueError if one is damaged."""
    from medseg.learning.ensemble import Ensemble
    from medseg.learning.ensemble_folder import EnsembleFolder

    Ensemble.load(folder, "cpu")  # refuses members that do not belong together
    found = EnsembleFolder.read(folder)
    members = tuple(run_info(run) for run in found.runs)
    variants = tuple(map(str, found.variants))
    return EnsembleInfo(str(folder), found.merge, found.weights, members, variants)
