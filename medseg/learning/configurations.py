"""Trained configurations, and what they say of the cases that they were not trained on.

By that, configurations are compared; and it is what the second network of a cascade learns from:
what the first one says of cases that it has seen is better than what it will say of others.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
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
        if len({(each.channels, each.labels, each.values) for each in plans}) > 1:
            raise ValueError(
                f"the runs of {self.name} have other channels or labels, or other regions"
            )

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
    def plan(self) -> Plan:
        """Plan of the first run."""
        return Plan.load(Run(self.runs[0]).plan)

    @property
    def names(self) -> Mapping[int, str]:
        """What each label stands for; "" where nothing says it."""
        plan = self.plan
        return {label: plan.names.get(label, "") for label in plan.labels[1:]}

    def validated(self) -> frozenset[str]:
        """Names of the cases that any of the runs has held out."""
        each = (_cases_of(Run(run), None) for run in self.runs)
        return frozenset(case.name for cases in each for case in cases.cases)

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


def planned_after(plan: Plan, first: Configuration) -> Plan:
    """Plan of the second network of a cascade, which also sees the labels of the first.

    Raises
    ------
    ValueError
        If the two do not know the same channels and labels.
    """
    for what in ("channels", "labels"):
        here, there = getattr(plan, what), getattr(first.plan, what)
        if here != there:
            raise ValueError(
                f"both networks of a cascade have the same {what}, got {here} after {there}"
            )
    return replace(plan, earlier=first.plan.values[1:])


def seen_after(dataset: Dataset, first: Configuration, device: str) -> Dataset:
    """Cases with what the first network of a cascade says of each, not having learned from it.

    Raises
    ------
    ValueError
        If all runs of the first network have learned from a case.
    """
    held_out = first.validated()
    if seen := [case.name for case in dataset.cases if case.name not in held_out]:
        raise ValueError(
            f"all runs of {first.name} have learned from {len(seen)} of {len(dataset)} cases "
            f"({', '.join(seen[:3])}{', ...' if seen[3:] else ''}), of which they would say too "
            "much; train one on each fold, --fold 0/5 to 4/5, and name all of them"
        )
    found = first.held_out(device=device)
    return replace(
        dataset,
        cases=tuple(replace(c, earlier_file=found[c.name].prediction) for c in dataset.cases),
    )


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
    # What an earlier network has found is in the run before it, and has not moved.
    moved = (replace(known[case.name], earlier_file=case.earlier_file) for case in listed.cases)
    return Dataset(tuple(moved))


def _predict(run: Run, cases: Dataset, device: str) -> None:
    """Leave predictions of all cases in the folder of the run."""
    digest = hashlib.sha256(run.weights.read_bytes()).hexdigest()
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
