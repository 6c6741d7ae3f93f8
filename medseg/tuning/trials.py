"""Settings of a chain, tried on cases: nothing is computed twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from math import isnan, nan
from typing import Any

from medseg.chain import Chain, with_parameters
from medseg.cleanup.cleaning import cleaned
from medseg.cleanup.relabel import Relabel
from medseg.dataset import Case
from medseg.device import computing_threads
from medseg.tuning.classes import Pairs, Table, matched, table_of
from medseg.tuning.judging import Judge
from medseg.tuning.shelf import Ready, Shelf


@dataclass(frozen=True)
class Fit:
    """A setting on some cases.

    Parameters
    ----------
    pairs : tuple of (int, int)
        Which class is which label there, as `Relabel` takes them.
    scores : mapping of str to float
        By case; nan where there is nothing to score.
    """

    pairs: Pairs
    scores: Mapping[str, float]

    @property
    def score(self) -> float:
        """Mean over the cases that have one; nan if none has."""
        values = [value for value in self.scores.values() if not isnan(value)]
        return sum(values) / len(values) if values else nan


class Trials:
    """Settings of a chain, and what they are worth on each case.

    A case that the chain refuses, by ValueError, gets the worst score there is.

    Parameters
    ----------
    steps : sequence of mapping
        Of the chain, with whatever is fixed.
    shelf : Shelf
    judge : Judge
    matching : bool
        Whether classes are matched with labels; there is a step "relabel" then.
    device : str
    """

    def __init__(
        self,
        steps: Sequence[Mapping[str, Any]],
        shelf: Shelf,
        judge: Judge,
        *,
        matching: bool,
        device: str,
    ) -> None:
        self.shelf, self.judge, self.matching = shelf, judge, matching
        self.settings: list[Mapping[str, Any]] = []
        self.refusals: dict[int, str] = {}
        self.succeeded = False  # any of them, anywhere
        self._steps, self._device = steps, device
        self._chains: list[Chain] = []
        self._known: set[str] = set()
        self._measured: dict[tuple[int, Pairs, str], tuple[float, Table]] = {}
        self._guesses: dict[int, Pairs] = {}

    def add(self, setting: Mapping[str, Any]) -> int | None:
        """Number of a setting; None if it makes a chain that is there already.

        Raises
        ------
        ValueError
            If no chain can be built of it.
        """
        chain = Chain.of(with_parameters(self._steps, setting), self._device)
        if repr(chain) in self._known:
            return None
        self._known.add(repr(chain))
        self._chains.append(chain)
        self.settings.append(setting)
        return len(self.settings) - 1

    def chain(self, number: int, pairs: Pairs) -> Chain:
        """Chain of a setting, with its classes turned into labels."""
        chain = self._chains[number]
        if not self.matching:
            return chain
        cleanups = [
            replace(each, pairs=pairs) if isinstance(each, Relabel) else each
            for each in chain.cleanups
        ]
        return replace(chain, cleanups=tuple(cleanups))

    def fit(self, number: int, cases: Sequence[Case]) -> Fit:
        """Match the classes of a setting on some cases, and score it on the same."""
        if not self.matching:
            return self.apply(number, (), cases)
        if number not in self._guesses:
            self._guesses[number] = self._matched(number, (), cases[:1])
        # Most often the classes mean on many cases what they mean on a few, and one round does.
        while True:
            pairs = self._guesses[number]
            found = self.apply(number, pairs, cases)
            self._guesses[number] = self._matched(number, pairs, cases)
            if self._guesses[number] == pairs:
                return found

    def apply(self, number: int, pairs: Pairs, cases: Sequence[Case]) -> Fit:
        """Score a setting on some cases, its classes matched before; several at a time."""
        with ThreadPoolExecutor(computing_threads(), "medseg-tune") as pool:
            measured = pool.map(partial(self._measure, number, pairs), cases)
            return Fit(pairs, {c.name: m[0] for c, m in zip(cases, measured, strict=True)})

    def _matched(self, number: int, pairs: Pairs, cases: Sequence[Case]) -> Pairs:
        tables = (self._measure(number, pairs, case)[1] for case in cases)
        return matched(tables, self.judge.labels)

    def _measure(self, number: int, pairs: Pairs, case: Case) -> tuple[float, Table]:
        """Score of a case, and its voxels by class and label."""
        key = (number, pairs, case.name)
        if key not in self._measured:
            ready = self.shelf.ready(case)
            try:
                self._measured[key] = self._tried(self.chain(number, pairs), ready)
            except ValueError as error:
                self.refusals.setdefault(number, str(error))
                self._measured[key] = self.judge.worst(ready.reference), {}
            else:
                self.succeeded = True
        return self._measured[key]

    def _tried(self, chain: Chain, ready: Ready) -> tuple[float, Table]:
        chain = replace(chain, filters=chain.filters[len(self.shelf.filters) :])
        given = (ready.image, ready.seeds, ready.mask)
        if not self.matching:
            return self.judge.score(chain.segment(*given), ready.reference), {}
        at = [isinstance(each, Relabel) for each in chain.cleanups].index(True)
        classes = replace(chain, cleanups=chain.cleanups[:at]).segment(*given)
        labels = cleaned(classes, chain.cleanups[at:], ready.mask)
        return self.judge.score(labels, ready.reference), table_of(classes, ready.reference)
