"""Search settings on all sides of a cross-validation at once."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from medseg.dataset import Case, Dataset
from medseg.progress import progress
from medseg.tuning.halving import Contest, Search, finalists, ranked
from medseg.tuning.space import Space
from medseg.tuning.trials import Fit

log = logging.getLogger("medseg")
_BATCH = 27  # settings, of which the best go on
_FIRST_BATCH = 3  # with a limit of time, to see how long they take
_PATIENCE = 1000  # draws that bring nothing new, until there is nothing new


def shuffled(cases: Sequence[Case], seed: int) -> list[Case]:
    """Cases in the order in which ever more of them are looked at."""
    order = np.random.default_rng(seed).permutation(len(cases))
    return [cases[place] for place in order]


@dataclass(frozen=True)
class Sides:
    """What is fitted to, and what is held out meanwhile; the last side is of all cases."""

    fitting: tuple[tuple[Case, ...], ...]
    held_out: tuple[tuple[Case, ...], ...]

    @classmethod
    def of(cls, training: Dataset, order: Sequence[Case], folds: int) -> Sides:
        """Sides of a cross-validation by patient; the cases of each in this order."""
        count = min(folds, len({case.patient or case.name for case in order}))
        if folds and count < 2:
            log.warning("one patient can't be cross-validated: nothing is held out")
        parts = training.folds(count) if count > 1 else ()
        fitting = [tuple(case for case in order if case in part.cases) for part, _ in parts]
        return cls((*fitting, tuple(order)), tuple(part.cases for _, part in parts))


def search_through(
    trials: Contest, space: Space, sides: Sides, search: Search
) -> list[dict[int, Fit]]:
    """Settings that came through to the end, by number, on each side."""
    fits: list[dict[int, Fit]] = [{} for _ in sides.fitting]
    new = islice(_settings(trials, space, search.seed), search.trials)
    begun, size = time.monotonic(), _BATCH if search.minutes is None else _FIRST_BATCH
    with progress("tune") as shown:
        while batch := list(islice(new, size)):
            before = time.monotonic()
            for number, (found, cases) in enumerate(zip(fits, sides.fitting, strict=True)):
                share = (batch[0] + len(batch) * number / len(fits)) / search.trials
                shown.update(share, f"{len(trials.settings)} settings")
                found.update(finalists(trials, batch, cases))
            now = time.monotonic()
            if search.minutes is not None:
                left = 60 * search.minutes - (now - begun)
                size = min(_BATCH, 3 * size, max(0, int(left * len(batch) / (now - before))))
    if not trials.succeeded:
        why = next(iter(trials.refusals.values()))
        hint = "" if search.seeds != "none" else "; seeds can be made from the reference"
        raise ValueError(f"no setting could segment a case: {why}{hint * ('seeds' in why)}")
    return fits


def best_of(
    trials: Contest, sides: Sides, fits: Sequence[Mapping[int, Fit]]
) -> tuple[list[int], int, dict[str, float]]:
    """Best setting of each fold and that of all cases; and what the former score held out."""
    *of_folds, best = (ranked(trials, side)[0] for side in fits)
    scores: dict[str, float] = {}
    for number, side, cases in zip(of_folds, fits[:-1], sides.held_out, strict=True):
        scores |= trials.apply(number, side[number].pairs, cases).scores
    return of_folds, best, scores


def _settings(trials: Contest, space: Space, seed: int) -> Iterator[int]:
    """Numbers of settings that are new and can be built, the defaults first."""
    rng = np.random.default_rng(seed)
    drawn: dict[str, Any] = {}
    idle, why = 0, ""
    while idle < _PATIENCE:
        idle += 1
        try:
            number = trials.add(drawn)
        except ValueError as error:
            why = str(error)
        else:
            if number is not None:
                idle = 0
                yield number
        drawn = space.draw(rng)
    if not trials.settings:
        raise ValueError(f"no setting is legal: {why}")
