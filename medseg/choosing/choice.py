"""Compare configurations on held-out cases, and leave the best one as one folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any
from uuid import uuid4

from medseg.choosing.polishing import Judged, Polished, mean_dice, polish
from medseg.cleanup.saved import cleanup_to_json, save_cleanups
from medseg.dataset import Dataset
from medseg.io import replace_file
from medseg.learning.configurations import Configuration, HeldOut
from medseg.learning.earlier import copy_run
from medseg.learning.ensemble import save_ensemble
from medseg.learning.run import Run

_CHOICE = "choice.json"


@dataclass(frozen=True)
class Choice:
    """Configurations, what became of each, and which is the best.

    Parameters
    ----------
    configurations : tuple of Configuration
    polished : tuple of Polished
        Of each configuration: its Dice without and with the clean-ups that help it.
    best : int
        The configuration with the highest mean Dice after its clean-ups; of equal ones that
        with fewer runs, then the first.
    """

    configurations: tuple[Configuration, ...]
    polished: tuple[Polished, ...]
    best: int

    @property
    def cases(self) -> tuple[str, ...]:
        """Names of the cases on which the configurations were compared."""
        return self.polished[self.best].before.cases

    @property
    def folders(self) -> tuple[str, ...]:
        """Folders of models inside that of the choice: itself, or one for each of several folds."""
        runs = len(self.configurations[self.best].runs)
        return (".",) if runs == 1 else tuple(f"fold_{k}" for k in range(runs))

    @property
    def reason(self) -> str:
        """Why it is the best, in a sentence."""
        name, mean = self.configurations[self.best].name, mean_dice(self.polished[self.best].after)
        others = [
            (mean_dice(found.after), other.name)
            for k, (found, other) in enumerate(zip(self.polished, self.configurations, strict=True))
            if k != self.best
        ]
        if not others:
            return f"{name} is the only one; its mean Dice is {mean:.4f}"
        second, runner_up = max(others)
        return f"{name} has the highest mean Dice, {mean:.4f}; the next, {runner_up}, {second:.4f}"

    def to_json(self) -> dict[str, Any]:
        """What was compared, as JSON knows it."""
        return {
            "chosen": self.configurations[self.best].name,
            "reason": self.reason,
            "cases": list(self.cases),
            "configurations": [
                {
                    "name": configuration.name,
                    "runs": [str(run) for run in configuration.runs],
                    "dice": _dice(found, "before"),
                    "dice_after_cleanups": _dice(found, "after"),
                    "cleanups": [cleanup_to_json(each) for each in found.cleanups],
                    "tried": [
                        {
                            **cleanup_to_json(each.cleanup),
                            "dice_before": each.before,
                            "dice_after": each.after if isfinite(each.after) else None,
                            "kept": each.kept,
                        }
                        for each in found.tried
                    ],
                }
                for configuration, found in zip(self.configurations, self.polished, strict=True)
            ],
        }


def choose(
    configurations: Sequence[str | Configuration],
    folder: str | Path,
    *,
    data: Dataset | None = None,
    device: str = "auto",
    overwrite: bool = False,
) -> Choice:
    """Compare configurations on the cases that validated, and leave the best one in `folder`.

    Each is scored by the mean Dice of its labels, after the clean-ups that help it: such as
    raise the mean and lower no label. If one of them knows regions, all are scored by these.
    The weights of a run are those that were best on the same cases, so all figures are a little
    too good, and alike so for all.

    Parameters
    ----------
    configurations : sequence of str or Configuration
        See `Configuration.named`; all validated on the same cases.
    folder : path
        For the weights, the clean-ups and what was compared; `medseg predict` takes it like a
        run. Of several folds, each has a folder in it, `fold_0` and so on, that it takes so; the
        folder itself is their ensemble.
    data : Dataset, optional
        Where the cases are now, if their files have moved since the training.
    overwrite : bool
        Replace a choice that is there.

    Raises
    ------
    FileExistsError
        If the folder is not empty; with `overwrite`, if it holds anything but a choice.
    ValueError
        If two configurations were validated on other cases, or have the same name.
    """
    place = Path(folder)
    _require_room(place, overwrite=overwrite)
    given = tuple(
        c if isinstance(c, Configuration) else Configuration.named(c) for c in configurations
    )
    _require_names(given)
    held_out = [configuration.held_out(data, device) for configuration in given]
    _require_same_cases(given, held_out)
    regions = _regions(given)
    polished = tuple(
        polish(cases, Judged(each.names, regions, each.plan.ignore), device)
        for each, cases in zip(given, held_out, strict=True)
    )
    best = max(
        range(len(given)),
        key=lambda k: (mean_dice(polished[k].after), -len(given[k].runs), -k),
    )
    choice = Choice(given, polished, best)
    _write(choice, place)
    return choice


def _regions(configurations: Sequence[Configuration]) -> Mapping[str, tuple[int, ...]]:
    """What all are judged by, if any of them knows regions."""
    known = [each for each in configurations if each.plan.regions]
    for other in known[1:]:
        if other.plan.regions != known[0].plan.regions:
            raise ValueError(
                f"{known[0].name} and {other.name} know other regions, {known[0].plan.regions} "
                f"and {other.plan.regions}; choose among those that know the same"
            )
    return known[0].plan.regions if known else {}


def _dice(found: Polished, when: str) -> dict[str, float | None]:
    scores = getattr(found, when)
    means = {str(label): scores.mean("dice", label) for label in scores.labels}
    means["mean"] = mean_dice(scores)
    return {label: mean if isfinite(mean) else None for label, mean in means.items()}


def _require_room(folder: Path, *, overwrite: bool) -> None:
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not overwrite:
        raise FileExistsError(f"{folder} exists already; --overwrite replaces a choice")
    if not (folder / _CHOICE).is_file():
        raise FileExistsError(f"{folder} holds no choice of medseg; choose another folder")


def _require_names(configurations: Sequence[Configuration]) -> None:
    if not configurations:
        raise ValueError("there is nothing to choose from; name the folder of a run")
    names = [configuration.name for configuration in configurations]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"two configurations are called {', '.join(twice)}; say NAME=RUN")


def _require_same_cases(
    configurations: Sequence[Configuration], held_out: Sequence[Mapping[str, HeldOut]]
) -> None:
    for configuration, cases in zip(configurations, held_out, strict=True):
        if odd := sorted(cases.keys() ^ held_out[0].keys()):
            raise ValueError(
                f"{configurations[0].name} and {configuration.name} were not validated on the "
                f"same cases ({', '.join(odd[:3])}); train them on the same folds"
            )


def _write(choice: Choice, folder: Path) -> None:
    """Make the folder beside its place and rename it, so that it is never half there."""
    runs = [Run(run) for run in choice.configurations[choice.best].runs]
    made = folder.with_name(f".{folder.name}.{uuid4().hex}")
    try:
        for name, run in zip(choice.folders, runs, strict=True):
            place = made / name
            copy_run(run, place)
            save_cleanups(choice.polished[choice.best].cleanups, place)
        if len(runs) > 1:
            save_ensemble(made, [made / name for name in choice.folders])
            save_cleanups(choice.polished[choice.best].cleanups, made)
        replace_file(made / _CHOICE, json.dumps(choice.to_json(), indent=2) + "\n")
        if folder.exists():
            shutil.rmtree(folder)
        made.rename(folder)
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise
