"""Fit the parameters of a method, or of a chain, to annotated cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import TypeVar

from medseg.chain import Chain, with_parameters
from medseg.classical import METHODS
from medseg.crf import REFINEMENTS
from medseg.dataset import Dataset
from medseg.filters import FILTERS
from medseg.tuning.halving import Search
from medseg.tuning.judging import Judge
from medseg.tuning.searching import Sides, best_of, search_through, shuffled
from medseg.tuning.shelf import Shelf
from medseg.tuning.space import Space
from medseg.tuning.trials import Fit, Trials
from medseg.tuning.tuned import Tuned

T = TypeVar("T")
_LOOKED_AT = 8  # cases that say how bright images are
_RELABEL, _PAIRS = "relabel", "relabel.pairs"


def tune(chain: str, training: Dataset, search: Search | None = None) -> Tuned:
    """Find parameters with which a method, or a chain, does best on annotated cases.

    Settings are drawn at random from the ranges that parameters declare. Of every 27, all are
    tried on a ninth of the cases, the best third on a third of them, and the best third of
    these on all. The same is done without each fold, and what is found then is scored on the
    cases of the fold: the mean of these is the figure to quote, `Tuned.score`.

    Methods without seeds give classes, and each label is matched with the class that it overlaps
    best, one for one, on the cases that are fitted to; a step `relabel` behind the method says
    which. Fix `relabel.pairs` to say it yourself. With seeds, or a metric of objects, nothing is
    matched. Masks of the cases are used. A case that a setting can't segment gets the worst
    score.

    Parameters
    ----------
    chain : str
        As `Chain.parse` takes it: "otsu", "gaussian+otsu+keep-largest".
    training : Dataset
        All cases annotated.
    search : Search, optional
        How to look, and for what.

    Raises
    ------
    ValueError
        If there is no such chain, parameter or metric, a case can't be read, or no setting can
        segment any case.

    References
    ----------
    K. Jamieson, A. Talwalkar, "Non-stochastic best arm identification and hyperparameter
    optimization", AISTATS 2016. doi:10.48550/arXiv.1502.07943
    """
    wanted = search or Search()
    judge = Judge(wanted.metric, _labels_of(training))
    names = [name.strip() for name in chain.split("+")]
    fixed, ranges = (_with_names(given, names) for given in (wanted.fixed, wanted.ranges))
    matching = wanted.seeds == "none" and not judge.by_objects and _PAIRS not in fixed
    if (matching or _PAIRS in fixed) and _RELABEL not in names:
        names = _with_relabel(names)
    steps = with_parameters([{"name": name} for name in names], fixed)
    space = Space.of(steps, fixed, ranges)
    leading = takewhile(lambda s: s["name"] in FILTERS and not space.varies(s["name"]), steps)
    # A chain has a method, and any does for building the filters.
    steady = Chain.of([*leading, {"name": "mean"}], wanted.device).filters
    shelf = Shelf(steady, seeded=wanted.seeds == "reference")
    order = shuffled(training.cases, wanted.seed)
    if space.open:
        space = space.within(*shelf.span(order[:_LOOKED_AT]))
    trials = Trials(steps, shelf, judge, matching=matching, device=wanted.device)
    sides = Sides.of(training, order, wanted.folds)
    fits = search_through(trials, space, sides, wanted)
    return _chosen(trials, space, sides, fits, wanted)


def _chosen(
    trials: Trials, space: Space, sides: Sides, fits: Sequence[Mapping[int, Fit]], search: Search
) -> Tuned:
    """The best setting of all cases; and the scores of those of the folds where held out."""
    of_folds, best, scores = best_of(trials, sides, fits)
    whole = fits[-1][best]
    return Tuned(
        trials.chain(best, whole.pairs),
        whole.score,
        scores,
        tuple(trials.settings[number] for number in of_folds),
        len(trials.settings),
        len(trials.refusals),
        space.to_json(),
        search,
    )


def _labels_of(training: Dataset) -> tuple[int, ...]:
    """Labels that the data set names, or else those that its annotations have."""
    if training.names:
        return tuple(sorted(training.names))
    found = {label for case in training.cases for label in case.labels().values()}
    return tuple(sorted(found))


def _with_relabel(names: Sequence[str]) -> list[str]:
    """Names of a chain with the step behind its method, and what refines that."""
    whole = {*METHODS, *REFINEMENTS}
    at = max((k + 1 for k, name in enumerate(names) if name in whole), default=0)
    return [*names[:at], _RELABEL, *names[at:]]


def _with_names(given: Mapping[str, T], names: Sequence[str]) -> dict[str, T]:
    """Parameters by the name of their step too, which the method's may lack."""
    method = next((name for name in names if name in METHODS), "")
    return {key if "." in key else f"{method}.{key}": value for key, value in given.items()}
