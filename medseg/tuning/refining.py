"""Fit the parameters of a dense CRF to what a method says of annotated cases."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isfinite
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from medseg.chain import with_parameters
from medseg.crf import REFINEMENTS, DenseCRF, Refined
from medseg.crf.saved import save_crf
from medseg.dataset import Case, Dataset
from medseg.evaluation import Bootstrap
from medseg.learning.run import Run, runs_in
from medseg.registry import build
from medseg.segmenter import Probabilistic
from medseg.tuning.classes import Pairs
from medseg.tuning.halving import Search
from medseg.tuning.judging import Judge
from medseg.tuning.kept import Kept
from medseg.tuning.searching import Sides, best_of, search_through, shuffled
from medseg.tuning.space import Space
from medseg.tuning.trials import Fit
from medseg.tuning.tuned import mean_of, number, record

log = logging.getLogger("medseg")
_CRF = "crf"


@dataclass(frozen=True)
class TunedCRF:
    """A CRF with fitted parameters, and whether it helps.

    Parameters
    ----------
    crf : DenseCRF
        Fitted to all cases.
    before : mapping of str to float
        Score of each case without a CRF.
    training_score : float
        Mean score with it on the cases that it was fitted to: flattering.
    scores : mapping of str to float
        Score of each case with the CRF that was found without its fold; empty without
        cross-validation.
    settings : tuple of mapping
        What was found for each fold; where they differ much, there are too few cases.
    trials, refused : int
        Settings that were tried, and how many of them some case could not be refined with.
    space : mapping
        Where was looked.
    search : Search
    """

    crf: DenseCRF
    before: Mapping[str, float]
    training_score: float
    scores: Mapping[str, float] = field(default_factory=dict)
    settings: tuple[Mapping[str, Any], ...] = ()
    trials: int = 0
    refused: int = 0
    space: Mapping[str, Any] = field(default_factory=dict)
    search: Search = field(default_factory=Search)

    @property
    def score_before(self) -> float:
        """Mean score without a CRF."""
        return mean_of(self.before.values())

    @property
    def score(self) -> float:
        """Mean score of cases that were held out; nan without cross-validation."""
        return mean_of(self.scores.values())

    @property
    def gains(self) -> dict[str, float]:
        """What each case gains where it was held out, so that more than 0 is better."""
        judge = Judge(self.search.metric, ())
        found = {
            case: judge.gain(after) - judge.gain(self.before[case])
            for case, after in self.scores.items()
        }
        return {case: gain for case, gain in found.items() if isfinite(gain)}

    @property
    def interval(self) -> tuple[float, float]:
        """Bootstrap interval of the mean gain, cases drawn anew; nan below two cases."""
        gains = np.array([*self.gains.values()])
        if len(gains) < 2:
            return np.nan, np.nan
        return Bootstrap().of_mean(gains)[1:]

    def save(self, folder: str | Path, data: str = "") -> None:
        """Write `crf.json` into the folder of a run, for `medseg predict --crf`.

        Parameters
        ----------
        folder : path
        data : str
            What the data set is called.
        """
        save_crf(self.crf, Path(folder), {"data": data, **self.to_json()})

    def to_json(self) -> dict[str, Any]:
        """How it was found, as plain values; null is not defined."""
        low, high = self.interval
        return {
            **record(self),
            "score_before": number(self.score_before),
            "gain": number(mean_of(self.gains.values())),
            "gain_interval": [number(low), number(high)],
            "before": {case: number(score) for case, score in self.before.items()},
        }


def tune_crf(method: Probabilistic, cases: Dataset, search: Search | None = None) -> TunedCRF:
    """Find parameters with which a dense CRF behind a method does best on annotated cases.

    The method is asked once for the probabilities of each case; they are kept in the folder for
    temporary files (TMPDIR), so that a setting costs no more than the CRF. Settings are drawn,
    tried and cross-validated as `tune` does. Masks of the cases are used.

    Parameters
    ----------
    method : Probabilistic
        A trained model, say.
    cases : Dataset
        Annotated, and none that the method was trained on: on those, its probabilities are
        better than they will be, and the CRF would learn to trust them; see `not_trained_on`.
    search : Search, optional
        `fixed` and `ranges` go by the fields of `DenseCRF`.

    Raises
    ------
    ValueError
        If the method gives no probabilities, or those of regions; a case can't be read or
        segmented, or there is no such parameter or metric.
    """
    wanted = search or Search()
    if wanted.seeds != "none":
        raise ValueError("a CRF is tuned to probabilities that need no seeds; leave them out")
    Refined(method)  # refuses what gives no probabilities
    fixed, ranges = (
        {key if "." in key else f"{_CRF}.{key}": value for key, value in given.items()}
        for given in (wanted.fixed, wanted.ranges)
    )
    steps = with_parameters([{"name": _CRF}], fixed)
    space = Space.of(steps, fixed, ranges)
    with TemporaryDirectory(prefix="medseg-") as folder:
        kept = Kept(method, Path(folder))
        kept.add(cases)
        trials = CRFTrials(steps, kept, wanted)
        sides = Sides.of(cases, shuffled(cases.cases, wanted.seed), wanted.folds)
        fits = search_through(trials, space, sides, wanted)
        of_folds, best, scores = best_of(trials, sides, fits)
        before = trials.without(cases.cases)
    return TunedCRF(
        trials.crf(best),
        before,
        fits[-1][best].score,
        scores,
        tuple(trials.settings[number] for number in of_folds),
        len(trials.settings),
        len(trials.refusals),
        space.to_json(),
        wanted,
    )


def not_trained_on(folder: str | Path, cases: Dataset) -> Dataset:
    """Those of the cases that validated in a run, or in all runs of an ensemble.

    All of them, with a warning, if that is none: the folder does not say on which cases its
    weights were trained.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    """
    listed = [Run(run).held_out for run in runs_in(Path(folder))]
    names = [
        {case.name for case in Dataset.read(file).cases} if file.is_file() else set()
        for file in listed
    ]
    held_out = set.intersection(*names) if names else set()
    found = tuple(case for case in cases.cases if case.name in held_out)
    if found:
        log.info("tuning to the %d of %d cases that validated", len(found), len(cases))
        return replace(cases, cases=found)
    log.warning(
        "no case validated in %s, so all %d are tuned to: if it was trained on them, what is found "
        "is too good, and so is its score",
        folder,
        len(cases),
    )
    return cases


class CRFTrials:
    """Settings of a CRF, and what they are worth on each case; a `Contest`.

    Parameters
    ----------
    steps : sequence of mapping
        The one step, with whatever is fixed.
    kept : Kept
    search : Search
    """

    def __init__(self, steps: Sequence[Mapping[str, Any]], kept: Kept, search: Search) -> None:
        self.judge = Judge(search.metric, kept.labels[1:])
        self.settings: list[Mapping[str, Any]] = []
        self.refusals: dict[int, str] = {}
        self.succeeded = False
        self._steps, self._kept, self._device = steps, kept, search.device
        self._crfs: list[DenseCRF] = []
        self._measured: dict[tuple[int, str], float] = {}

    def add(self, setting: Mapping[str, Any]) -> int | None:
        """Number of a setting; None if it makes a CRF that is there already."""
        (step,) = with_parameters(self._steps, setting)
        given = {key: value for key, value in step.items() if key != "name"}
        crf = build(REFINEMENTS[_CRF], {"device": self._device, **given}, _CRF)
        if crf in self._crfs:
            return None
        self._crfs.append(crf)
        self.settings.append(setting)
        return len(self.settings) - 1

    def crf(self, number: int) -> DenseCRF:
        """CRF of a setting."""
        return self._crfs[number]

    def fit(self, number: int, cases: Sequence[Case]) -> Fit:
        """Score a setting on some cases; there is nothing to adapt."""
        return self.apply(number, (), cases)

    def apply(self, number: int, pairs: Pairs, cases: Sequence[Case]) -> Fit:
        """Score a setting on some cases, one after the other: a CRF computes in threads."""
        return Fit((), {case.name: self._measure(number, case) for case in cases})

    def without(self, cases: Sequence[Case]) -> dict[str, float]:
        """Score of each case without a CRF."""
        scores = {}
        for case in cases:
            said = self._kept.of(case)
            scores[case.name] = self.judge.score(said.without(), said.reference)
        return scores

    def _measure(self, number: int, case: Case) -> float:
        key = (number, case.name)
        if key not in self._measured:
            said = self._kept.of(case)
            try:
                found = said.refined(self._crfs[number])
            except ValueError as error:
                self.refusals.setdefault(number, str(error))
                self._measured[key] = self.judge.worst(said.reference)
            else:
                self._measured[key] = self.judge.score(found, said.reference)
                self.succeeded = True
        return self._measured[key]
