"""What a search found, and how it was found."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from math import isfinite, nan
from pathlib import Path
from typing import TYPE_CHECKING, Any

import medseg
from medseg.chain import Chain
from medseg.io import replace_file
from medseg.tuning.halving import Search
from medseg.volume import Image, Labels

if TYPE_CHECKING:
    from medseg.tuning.refining import TunedCRF


@dataclass(frozen=True)
class Tuned:
    """A chain with fitted parameters; a `Segmenter`.

    Parameters
    ----------
    chain : Chain
        Fitted to all cases.
    training_score : float
        Its mean score on the cases that it was fitted to: flattering.
    scores : mapping of str to float
        Score of each case by a setting that was found, and whose classes were matched, without
        its fold; empty without cross-validation.
    settings : tuple of mapping
        What was found for each fold; where they differ much, there are too few cases.
    trials, refused : int
        Settings that were tried, and how many of them some case could not be segmented with.
    space : mapping
        Where was looked.
    search : Search
    """

    chain: Chain
    training_score: float
    scores: Mapping[str, float] = field(default_factory=dict)
    settings: tuple[Mapping[str, Any], ...] = ()
    trials: int = 0
    refused: int = 0
    space: Mapping[str, Any] = field(default_factory=dict)
    search: Search = field(default_factory=Search)

    @property
    def score(self) -> float:
        """Mean score of cases that were held out; nan without cross-validation."""
        return mean_of(self.scores.values())

    def segment(
        self, image: Image, seeds: Labels | None = None, mask: Labels | None = None
    ) -> Labels:
        """Segment with the fitted chain."""
        return self.chain.segment(image, seeds, mask)

    def save(self, path: str | Path, data: str = "") -> None:
        """Write the chain as JSON, for `Chain.load` and `medseg segment -m`, and how it was found.

        Parameters
        ----------
        path : path
        data : str
            What the data set is called.
        """
        content = {"chain": self.chain.steps(), "tuned": {"data": data, **self.to_json()}}
        replace_file(Path(path), json.dumps(content, indent=2, allow_nan=False) + "\n")

    def to_json(self) -> dict[str, Any]:
        """How it was found, as plain values; null is not defined."""
        return record(self)


def record(found: Tuned | TunedCRF) -> dict[str, Any]:
    """How something was found, as plain values; null is not defined."""
    searched = asdict(found.search)
    return {
        "version": medseg.__version__,
        "metric": found.search.metric,
        "held_out_score": number(found.score),
        "training_score": number(found.training_score),
        "seeds": found.search.seeds,
        "seed": found.search.seed,
        "trials": found.trials,
        "refused": found.refused,
        "fixed": searched["fixed"],
        "space": dict(found.space),
        "folds": [dict(setting) for setting in found.settings],
        "scores": {case: number(score) for case, score in found.scores.items()},
    }


def mean_of(scores: Iterable[float]) -> float:
    """Mean of those that are finite; nan if none is."""
    values = [value for value in scores if isfinite(value)]
    return sum(values) / len(values) if values else nan


def number(value: float) -> float | None:
    """Value as JSON has it: null if it is not finite."""
    return value if isfinite(value) else None
