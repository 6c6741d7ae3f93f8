"""Trained configurations, and what they say of the cases that they were not trained on."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from medseg.dataset import Case, Dataset
from medseg.io import replace_file
from medseg.learning.model import Model
from medseg.learning.plan import Plan
from medseg.learning.predicting import predict
from medseg.learning.run import Run, runs_in


@dataclass(frozen=True)
class HeldOut:
    """A case that validated, and the file of its prediction."""

    case: Case
    prediction: Path


@dataclass(frozen=True)
class Configuration:
    """One way to train, tried on one fold or on several.

    Parameters
    ----------
    name : str
    runs : tuple of Path
        Folders of training runs, one a fold.

    Raises
    ------
    ValueError
        If there is no run, or the runs do not have the same channels and labels.
    FileNotFoundError
        If one of them does not exist.
    """

    name: str
    runs: tuple[Path, ...]

    def __post_init__(self) -> None:
        if not self.runs:
            raise ValueError(f"{self.name} holds no run of medseg train")
        plans = [Plan.load(Run(run).plan) for run in self.runs]
        if len({(plan.channels, plan.labels) for plan in plans}) > 1:
            raise ValueError(f"the runs of {self.name} have other channels or labels")

    @classmethod
    def named(cls, text: str) -> Configuration:
        """Read a run, a folder of runs, or runs with commas between them; NAME= may stand first.

        A folder of runs is the folds of one configuration.
        """
        name, equals, places = text.partition("=")
        if not equals:
            name, places = "", text
        paths = [Path(place.strip()) for place in places.split(",")]
        runs = tuple(run for path in paths for run in runs_in(path))
        return cls(name or paths[0].resolve().name, runs)

    @property
    def names(self) -> Mapping[int, str]:
        """What each label stands for; "" where nothing says it."""
        plan = Plan.load(Run(self.runs[0]).plan)
        return {label: plan.names.get(label, "") for label in plan.labels[1:]}

    def held_out(self, data: Dataset | None = None, device: str = "auto") -> dict[str, HeldOut]:
        """Predict the cases that validated, each with the run that did not see it.

        Predictions are kept in the folder of the run and made again if its weights changed.

        Parameters
        ----------
        data : Dataset, optional
            Where the cases are now, if their files have moved since the training.

        Raises
        ------
        ValueError
            If a run had no cases that validated, two runs had the same, or one can't be
            predicted.
        """
        found: dict[str, HeldOut] = {}
        for folder in self.runs:
            run = Run(folder)
            cases = _cases_of(run, data)
            if twice := sorted(found.keys() & {case.name for case in cases.cases}):
                raise ValueError(
                    f"two runs of {self.name} were validated on {', '.join(twice[:3])}; the runs "
                    "of one configuration are different folds"
                )
            for case in cases.cases:
                found[case.name] = HeldOut(case, run.predictions / f"{case.name}.nii.gz")
            _predict(run, cases, device)
        return found


def weights_of(run: Run) -> Path:
    """File of the weights that a run predicts with."""
    return run.best if run.best.is_file() else run.last


def _cases_of(run: Run, data: Dataset | None) -> Dataset:
    if not run.held_out.is_file():
        raise ValueError(
            f"{run.folder} does not say which cases validated; train it with --fold i/n"
        )
    listed = Dataset.read(run.held_out)
    if data is None:
        return listed
    known = {case.name: case for case in data.cases}
    if missing := [case.name for case in listed.cases if case.name not in known]:
        raise ValueError(f"the data set lacks {', '.join(missing[:5])}, of {run.folder}")
    return Dataset(tuple(known[case.name] for case in listed.cases))


def _predict(run: Run, cases: Dataset, device: str) -> None:
    """Leave predictions of all cases in the folder of the run."""
    digest = hashlib.sha256(weights_of(run).read_bytes()).hexdigest()
    stamp, index = run.predictions / "weights.sha256", run.predictions / "cases.csv"
    if not stamp.is_file() or stamp.read_text() != digest:
        shutil.rmtree(run.predictions, ignore_errors=True)
        replace_file(stamp, digest)
    if all((run.predictions / f"{case.name}.nii.gz").is_file() for case in cases.cases):
        return
    cases.save(index)
    model = Model.load(run.folder, device)
    outcome = predict(model, index, run.predictions, existing="skip")
    if outcome.failed:
        case, why = next(iter(outcome.failed.items()))
        raise ValueError(f"{len(outcome.failed)} cases can't be predicted; {case}: {why}")
