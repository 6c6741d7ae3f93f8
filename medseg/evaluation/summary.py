"""What the scores of one label in one metric say together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan

import numpy as np

from medseg.metrics import Status


@dataclass(frozen=True)
class Summary:
    """One metric of one label over all cases.

    Mean, sd, median, min and max are over the `scored` cases alone, nan where there are too
    few; the counts beside them say who is missing.

    Parameters
    ----------
    label : int or str
        The label, or the name of a region.
    name : str
        What the label stands for.
    metric : str
    scored : int
        Cases with a finite value. A missed structure has one for Dice, which is 0, and none
        for a distance, which is infinite.
    missed, spurious, both_empty : int
        Cases without a prediction, without a reference, without either.
    sd : float
        Of a sample: divided by `scored` - 1.
    """

    label: int | str
    name: str
    metric: str
    scored: int
    missed: int
    spurious: int
    both_empty: int
    mean: float
    sd: float
    median: float
    min: float
    max: float

    @classmethod
    def of(
        cls,
        label: int | str,
        name: str,
        metric: str,
        values: Sequence[float],
        statuses: Sequence[Status],
    ) -> Summary:
        """Summary of one value and one status for each case."""
        finite = np.array([value for value in values if np.isfinite(value)], dtype=np.float64)
        some = len(finite) > 0
        return cls(
            label,
            name,
            metric,
            scored=len(finite),
            missed=statuses.count("missed"),
            spurious=statuses.count("spurious"),
            both_empty=statuses.count("both_empty"),
            mean=float(finite.mean()) if some else nan,
            sd=float(finite.std(ddof=1)) if len(finite) > 1 else nan,
            median=float(np.median(finite)) if some else nan,
            min=float(finite.min()) if some else nan,
            max=float(finite.max()) if some else nan,
        )
