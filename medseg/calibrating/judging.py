"""Whether probabilities come true, before and after they are calibrated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medseg.calibrating.fitting import fit
from medseg.calibrating.seeing import Seen
from medseg.metrics import CALIBRATION
from medseg.metrics.calibration import Reliability


@dataclass(frozen=True)
class Judged:
    """A case, judged by a scaling that was fitted to others.

    Parameters
    ----------
    case : str
    before, after : mapping of int to Reliability
        Of each label against the rest, without the scaling and with it.
    expected, dice : mapping of int to float
        Dice of each label: as the probabilities before have it, and against the annotation.
    """

    case: str
    before: Mapping[int, Reliability]
    after: Mapping[int, Reliability]
    expected: Mapping[int, float]
    dice: Mapping[int, float]

    def mean(self, metric: str, when: str) -> float:
        """Mean of a metric of `CALIBRATION` over the labels; `when` is "before" or "after"."""
        tables: Mapping[int, Reliability] = getattr(self, when)
        return float(np.mean([CALIBRATION[metric].compute(one) for one in tables.values()]))


def judged_in_halves(seen: Sequence[Seen], method: str) -> tuple[Judged, ...]:
    """Judge each half of the cases with what was fitted to the other half.

    Raises
    ------
    ValueError
        If there are fewer than two cases.
    """
    if len(seen) < 2:
        raise ValueError(
            f"a calibration is judged on cases that it was not fitted to, so it takes 2 or more; "
            f"got {len(seen)}"
        )
    halves = seen[::2], seen[1::2]
    scalings = [fit(half, method) for half in reversed(halves)]
    found = {
        one.case: _judged(one, scaling.of_probabilities(one.probabilities))
        for half, scaling in zip(halves, scalings, strict=True)
        for one in half
    }
    return tuple(found[one.case] for one in seen)


def correlations(expected: Sequence[float], dice: Sequence[float]) -> tuple[float, float, int]:
    """Pearson's and Spearman's correlation over the cases that have both, and how many these are.

    nan of fewer than three cases, or where one side is the same in all.
    """
    from scipy.stats import rankdata

    pairs = np.array([expected, dice], np.float64)
    pairs = pairs[:, np.isfinite(pairs).all(0)]
    count = pairs.shape[1]
    if count < 3 or (pairs.max(axis=1) == pairs.min(axis=1)).any():
        return np.nan, np.nan, count
    of_values, of_ranks = map(np.corrcoef, (pairs, rankdata(pairs, axis=1)))
    return float(np.asarray(of_values)[0, 1]), float(np.asarray(of_ranks)[0, 1]), count


def _judged(one: Seen, scaled: NDArray[np.float32]) -> Judged:
    return Judged(
        one.case,
        _tables(one.probabilities, one),
        _tables(scaled, one),
        one.expected,
        one.dice,
    )


def _tables(probabilities: NDArray[np.float32], one: Seen) -> dict[int, Reliability]:
    return {
        label: Reliability.of(probabilities, one.classes, k)
        for k, label in enumerate(one.expected, start=1)
    }
