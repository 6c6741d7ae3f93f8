"""Cases made ready for a search, as many of them in memory as there is room for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from medseg.dataset import Case
from medseg.filters.filtering import Filter
from medseg.tuning.seeds import seeds_of
from medseg.volume import Image, Labels, require_match

# Bytes that are kept in memory; the cases beyond are read again whenever they are wanted.
_ROOM = 2**30
_ENDS = (0.1, 99.9)  # percentiles


@dataclass(frozen=True, eq=False)
class Ready:
    """What a chain is given of a case, and what it should find there."""

    image: Image
    reference: Labels
    mask: Labels | None
    seeds: Labels | None


class Shelf:
    """Cases by name, read when first asked for.

    Parameters
    ----------
    filters : sequence of Filter
        What comes first in every chain and never varies, so that it is computed once.
    seeded : bool
        Whether seeds are made of the annotation.
    """

    def __init__(self, filters: Sequence[Filter] = (), *, seeded: bool = False) -> None:
        self.filters = tuple(filters)
        self._seeded = seeded
        self._kept: dict[str, Ready] = {}
        self._room = _ROOM

    def ready(self, case: Case) -> Ready:
        """Read a case, and filter it.

        Raises
        ------
        ValueError
            If it has no annotation, or that can't be used, or a file is damaged.
        """
        if case.name in self._kept:
            return self._kept[case.name]
        try:
            found = self._read(case)
        except ValueError as error:
            raise ValueError(f"case {case.name} can't be tuned to: {error}") from error
        size = found.image.array.nbytes + found.reference.array.nbytes
        if size <= self._room:
            self._room -= size
            self._kept[case.name] = found
        return found

    def span(self, cases: Sequence[Case]) -> tuple[float, float]:
        """Lowest and highest intensity of most cases, but for the last thousandth of each."""
        ends = []
        for case in cases:
            found = self.ready(case)
            inside = ... if found.mask is None else found.mask.array != 0
            ends.append(np.percentile(found.image.array[:, inside], _ENDS))
        low, high = np.median(ends, axis=0)  # one odd case is not to stretch the range
        return float(low), float(high)

    def _read(self, case: Case) -> Ready:
        image, reference, mask = case.image(), case.labels(), case.mask()
        require_match(image.grid, reference.grid, "the annotation")
        seeds = seeds_of(reference, mask) if self._seeded else None
        for each in self.filters:
            image = each(image, mask)
        return Ready(image, reference, mask, seeds)
