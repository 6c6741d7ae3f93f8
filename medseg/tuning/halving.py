"""Random search with successive halving: many settings on a few cases, the best on all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil, inf, isnan
from typing import Any, Literal, Protocol, get_args

from medseg.dataset import Case
from medseg.tuning.classes import Pairs
from medseg.tuning.judging import Judge
from medseg.tuning.space import Ranges
from medseg.tuning.trials import Fit

Seeds = Literal["none", "reference"]
_FEWER = 3  # settings, and more cases, from one stage to the next


@dataclass(frozen=True)
class Search:
    """How parameters are searched for.

    Parameters
    ----------
    metric : str
        What is made best: the mean over labels and cases of a name in `METRICS`; or, for
        methods that part an image into objects, of one in `PARTITION`.
    trials : int
        Settings that are drawn; the first has the defaults. Fewer where there are no more.
    minutes : float, optional
        No settings that would take longer than this in all; without it, as many as `trials`.
    folds : int
        Of the cross-validation, by patient; at most one for each patient. 0 leaves it out.
    seed : int
        Of the draws. With the same seed and number of trials, and no limit of time, the same
        is found.
    seeds : str
        "none", or "reference": those of `medseg.tuning.seeds_of`, made of each annotation.
    fixed : mapping of str
        Parameters that do not vary: {"otsu.classes": 3}.
    ranges : mapping of str
        Where to look instead of where the parameter says: {"otsu.classes": (2, 4)}; a list
        has all values that may be.
    device : str
        auto, cpu, cuda or cuda:N.
    """

    metric: str = "dice"
    trials: int = 54
    minutes: float | None = None
    folds: int = 5
    seed: int = 0
    seeds: Seeds = "none"
    fixed: Mapping[str, Any] = field(default_factory=dict)
    ranges: Ranges = field(default_factory=dict)
    device: str = "auto"

    def __post_init__(self) -> None:
        if self.trials < 1 or (self.minutes is not None and not 0 < self.minutes < inf):
            raise ValueError(
                "a search takes 1 or more trials, or more than 0 minutes; got "
                f"trials={self.trials}, minutes={self.minutes}"
            )
        if self.folds < 0 or self.folds == 1:
            raise ValueError(f"cross-validation takes 2 or more folds, or 0, got {self.folds}")
        if self.seeds not in get_args(Seeds):
            raise ValueError(f"seeds are none or made from the reference, got {self.seeds!r}")


class Contest(Protocol):
    """Settings by number, and what they are worth on cases."""

    @property
    def judge(self) -> Judge:
        """Says which score is better."""
        ...

    @property
    def settings(self) -> Sequence[Mapping[str, Any]]:
        """All that were added, in order."""
        ...

    @property
    def refusals(self) -> Mapping[int, str]:
        """Why settings could not be used on some case, by number."""
        ...

    @property
    def succeeded(self) -> bool:
        """Whether any setting could be used on any case."""
        ...

    def add(self, setting: Mapping[str, Any]) -> int | None:
        """Number of a setting; None if it is there already, ValueError if it can't be."""
        ...

    def fit(self, number: int, cases: Sequence[Case]) -> Fit:
        """What a setting is worth on some cases, with its classes matched there if need be."""
        ...

    def apply(self, number: int, pairs: Pairs, cases: Sequence[Case]) -> Fit:
        """What a setting is worth on some cases, with its classes matched before."""
        ...


def finalists(trials: Contest, numbers: Sequence[int], cases: Sequence[Case]) -> dict[int, Fit]:
    """Try settings on ever more of the cases; what the last of them are worth on all.

    From one stage to the next there are three times as many cases, each stage beginning with
    those of the one before, and a third of the settings: the best, of equals the first.
    """
    alive, stages = list(numbers), _stages(len(numbers), len(cases))
    fits: dict[int, Fit] = {}
    for stage in reversed(range(stages + 1)):
        part = cases[: ceil(len(cases) / _FEWER**stage)]
        fits = {number: trials.fit(number, part) for number in alive}
        alive = ranked(trials, fits)[: ceil(len(alive) / _FEWER)]
    return fits


def ranked(trials: Contest, fits: Mapping[int, Fit]) -> list[int]:
    """Numbers of settings, the best first; of equals, the first."""

    def rank(number: int) -> tuple[float, int]:
        score = fits[number].score
        return (inf if isnan(score) else -trials.judge.gain(score)), number

    return sorted(fits, key=rank)


def _stages(settings: int, cases: int) -> int:
    """How often the cases can be divided by three, and the settings too."""
    stages = 0
    while _FEWER ** (stages + 1) <= min(settings, cases):
        stages += 1
    return stages
