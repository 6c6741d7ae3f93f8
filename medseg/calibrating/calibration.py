"""Calibrate a model on cases that it was not trained on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import isfinite
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from medseg.calibrating.fitting import METHODS, fit
from medseg.calibrating.judging import Judged, correlations, judged_in_halves
from medseg.calibrating.seeing import seen
from medseg.dataset import Case, Dataset
from medseg.evaluation.reliability import pooled
from medseg.io import PathLike, replace_file
from medseg.learning.ensemble import Ensemble, loader_of
from medseg.learning.ensemble_folder import ENSEMBLE_FILE, EnsembleFolder
from medseg.learning.model import Model
from medseg.learning.run import SCALING_FILE, Run
from medseg.learning.scaling import Scaling
from medseg.learning.uncertainty import require_labels
from medseg.learning.weights import load_tensors, named_weights
from medseg.metrics import CALIBRATION
from medseg.metrics.calibration import Reliability
from medseg.progress import progress
from medseg.registry import pick

MARGIN_MM = 3.0  # farther away, most of what is judged is plain background
Which = Literal["validation", "all"]


@dataclass(frozen=True)
class Calibration:
    """A scaling that was fitted to cases, and how well such scalings do on others.

    Parameters
    ----------
    scaling : Scaling
        Fitted to all cases.
    method : str
    margin_mm : float
        How far from the border of what is annotated voxels were looked at.
    names : mapping of int to str
        What each label is called.
    cases : tuple of Judged
        Each judged by a scaling that was fitted to the other half of the cases.
    """

    scaling: Scaling
    method: str
    margin_mm: float
    names: Mapping[int, str]
    cases: tuple[Judged, ...]

    def tables(self, when: Literal["before", "after"]) -> dict[int, Reliability]:
        """Of each label, over the voxels of all cases together."""
        return {
            label: pooled([getattr(case, when)[label] for case in self.cases])
            for label in self.cases[0].before
        }

    def of_cases(
        self, what: str, when: Literal["before", "after"] = "before"
    ) -> NDArray[np.float64]:
        """(cases,) mean over the labels of the Dice, or of a metric of `CALIBRATION`."""
        if what == "dice":
            return np.array([np.nanmean([*case.dice.values()]) for case in self.cases])
        return np.array([case.mean(what, when) for case in self.cases])

    def confidence(self, label: int) -> tuple[float, float, int]:
        """Correlation of the expected Dice with that found; see `correlations`."""
        return correlations(
            [case.expected[label] for case in self.cases], [case.dice[label] for case in self.cases]
        )

    def to_json(self) -> dict[str, Any]:
        """Numbers of each label, before and after, as JSON knows them."""
        labels = {}
        tables = {when: self.tables(when) for when in ("before", "after")}
        for label, name in self.names.items():
            pearson, spearman, count = self.confidence(label)
            labels[str(label)] = {
                "name": name,
                **{
                    when: {k: _number(CALIBRATION[k].compute(some[label])) for k in CALIBRATION}
                    for when, some in tables.items()
                },
                "expected_dice": {
                    "pearson": _number(pearson),
                    "spearman": _number(spearman),
                    "cases": count,
                },
            }
        return {
            "method": self.method,
            "margin_mm": self.margin_mm,
            "temperature": self.scaling.temperature,
            "cases": [case.case for case in self.cases],
            "labels": labels,
        }

    def save(self, path: PathLike) -> None:
        """Write the numbers as JSON."""
        replace_file(Path(path), json.dumps(self.to_json(), indent=1, allow_nan=False) + "\n")


def calibrate(
    model: Model | Ensemble,
    data: Dataset,
    *,
    method: str = "temperature",
    margin_mm: float = MARGIN_MM,
    seed: int = 0,
) -> Calibration:
    """Fit a scaling of the logits to annotated cases, which the model was not trained on.

    It is fitted, and judged, on voxels no farther than a margin from the border of what is
    annotated, up to 100,000 a case: far from it everything is background and every model right.
    What is judged was not fitted to: each half of the cases is scaled by what fits the other.

    Parameters
    ----------
    method : str
        "temperature", or "vector": a factor and an offset for each class.
    seed : int
        Of the voxels that are drawn where there are more.

    Raises
    ------
    ValueError
        If the model knows regions or is calibrated already, there is no such method, or there
        are fewer than two cases with annotated structures.
    """
    require_labels(model)
    pick(METHODS, method, "way to calibrate")
    if model.scaling is not None:
        raise ValueError("the model is calibrated already; load it with scaling='none'")
    if not margin_mm > 0:
        raise ValueError(f"the margin is some mm above 0, got {margin_mm}")
    found = []
    with progress("calibrate") as bar:
        for case in data.annotated().cases:
            one = seen(model, case, margin_mm, seed)
            if len(one.classes):
                found.append(one)
            bar.update(len(found) / len(data), case.name)
    judged = judged_in_halves(found, method)
    plan = model.plan
    names = {label: plan.names.get(label, f"label {label}") for label in judged[0].before}
    notes = {"method": method, "margin_mm": margin_mm, "cases": [one.case for one in found]}
    scaling = replace(fit(found, method), notes=notes)
    return Calibration(scaling, method, margin_mm, names, judged)


def calibrate_folder(
    folder: str | Path,
    data: Dataset,
    *,
    cases: Which = "validation",
    method: str = "temperature",
    margin_mm: float = MARGIN_MM,
    device: str = "auto",
) -> Calibration:
    """Calibrate the model in the folder of a run or an ensemble, and store the scaling there.

    Whoever loads the model then gets calibrated probabilities.

    Parameters
    ----------
    cases : str
        "validation": those of `data` that validated, in the training of each member; or "all".

    Raises
    ------
    ValueError
        As for `calibrate`; or if no case of `data` validated.
    """
    place = Path(folder)
    if cases not in ("validation", "all"):
        raise ValueError(f"cases are validation or all, got {cases!r}")
    chosen = data if cases == "all" else _held_out(place, data)
    model = loader_of(place)(place, device, scaling="none")
    found = calibrate(model, chosen, method=method, margin_mm=margin_mm)
    scaling = replace(found.scaling, fitted_to=_named(place))
    scaling.save(place / SCALING_FILE)
    return replace(found, scaling=scaling)


def _runs(folder: Path) -> tuple[Path, ...]:
    if (folder / ENSEMBLE_FILE).is_file():
        return EnsembleFolder.read(folder).runs
    return (folder,)


def _held_out(folder: Path, data: Dataset) -> Dataset:
    """Cases of a data set that validated in all runs."""
    names = {case.name for case in data.cases}
    for run in map(Run, _runs(folder)):
        if not run.held_out.is_file():
            raise ValueError(
                f"{run.folder} does not say which cases validated; name a data set that it was "
                "not trained on, with --cases all"
            )
        names &= {case.name for case in Dataset.read(run.held_out).cases}
    if not names:
        raise ValueError(
            f"no case of the data set validated in all runs of {folder}; calibrate each run, or "
            "name cases that none was trained on, with --cases all"
        )
    kept: tuple[Case, ...] = tuple(case for case in data.cases if case.name in names)
    return replace(data, cases=kept)


def _named(folder: Path) -> str:
    """What the scaling is fitted to."""
    if (folder / ENSEMBLE_FILE).is_file():
        return EnsembleFolder.read(folder).named()
    file = Run(folder).weights
    return named_weights(file, load_tensors(file)[1])


def _number(value: float) -> float | None:
    return float(value) if isfinite(value) else None
