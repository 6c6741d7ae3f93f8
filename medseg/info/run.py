"""Facts of a training run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medseg import strict_json


@dataclass(frozen=True)
class RunInfo:
    """What a run folder holds.

    Parameters
    ----------
    path : str
    plan : mapping
        As in its JSON file.
    training : mapping
        How it was trained; empty where the run has only a plan.
    steps : int
        Updates that are done.
    seconds : float
        Wall time of the training so far.
    best_dice : float or None
        Highest mean over the validation cases; None without validation.
    best_step : int or None
    weights : tuple of str
        Files of weights that are there.
    """

    path: str
    plan: Mapping[str, Any]
    training: Mapping[str, Any]
    steps: int
    seconds: float
    best_dice: float | None
    best_step: int | None
    weights: tuple[str, ...]


def run_info(folder: Path) -> RunInfo:
    """Read a run folder; ValueError if its plan, settings or log is none."""
    from medseg.learning.plan import Plan
    from medseg.learning.run import Run

    run = Run(folder)
    plan = Plan.load(run.plan).to_json()
    lines = _logged(run.log)
    scored = [line for line in lines if "dice" in line]
    best = max(scored, key=lambda line: line["dice"]["mean"], default=None)
    last = lines[-1] if lines else {}
    return RunInfo(
        path=str(folder),
        plan=plan,
        training=strict_json.read(run.training) if run.training.is_file() else {},
        steps=last.get("step", 0),
        seconds=last.get("seconds", 0.0),
        best_dice=None if best is None else best["dice"]["mean"],
        best_step=None if best is None else best["step"],
        weights=tuple(file.name for file in (run.best, run.last) if file.is_file()),
    )


def _logged(log: Path) -> list[Mapping[str, Any]]:
    """Whole lines; the last one may be half there, where training was killed."""
    text = log.read_text(encoding="utf-8") if log.is_file() else ""
    try:
        return [_entry(line) for line in text[: text.rfind("\n") + 1].splitlines()]
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{log} is no log of a training: {error}") from error


def _entry(line: str) -> Mapping[str, Any]:
    facts: dict[str, Any] = dict(strict_json.parse(line))
    facts["step"], facts["seconds"] = int(facts["step"]), float(facts["seconds"])
    if "dice" in facts:
        facts["dice"] = {"mean": float(facts["dice"]["mean"])}
    return facts
