"""What the scores of one label in one metric say together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import nan
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from medseg.evaluation.scores import Score

_AT_ONCE = 1000


@dataclass(frozen=True)
class Bootstrap:
    """How often cases are drawn anew, with replacement, and from which seed.

    Parameters
    ----------
    samples : int
    seed : int
    level : float
        Share of the samples inside the interval.

    References
    ----------
    B. Efron, "Bootstrap methods: another look at the jackknife", Annals of Statistics 7, 1979,
    doi:10.1214/aos/1176344552
    """

    samples: int = 10_000
    seed: int = 0
    level: float = 0.95

    def __post_init__(self) -> None:
        if self.samples < 1 or not 0 < self.level < 1:
            raise ValueError(
                "a bootstrap takes 1 or more samples and a level between 0 and 1, got "
                f"{self.samples} and {self.level}"
            )

    def draws(self, units: int) -> Iterable[NDArray[np.float64]]:
        """How often each of so many units is drawn: arrays (samples, units), some at a time."""
        rng = np.random.default_rng(self.seed)
        shares = np.full(units, 1 / units)
        for start in range(0, self.samples, _AT_ONCE):
            many = min(_AT_ONCE, self.samples - start)
            yield rng.multinomial(units, shares, size=many).astype(np.float64)

    def of_mean(self, values: NDArray[np.float64]) -> tuple[float, float, float]:
        """Mean of finite (n,) values, and the interval of it when they are drawn anew."""
        means = [drawn @ values / len(values) for drawn in self.draws(len(values))]
        low, high = self.interval(np.concatenate(means))
        return float(values.mean()), float(low), float(high)

    def interval(self, samples: NDArray[np.float64]) -> NDArray[np.float64]:
        """(2, ...): percentile interval of (samples, ...), nan left out."""
        ordered = np.sort(samples, axis=0)  # nan comes last
        last = np.maximum((~np.isnan(ordered)).sum(axis=0) - 1, 0)
        tails = np.array([(1 - self.level) / 2, (1 + self.level) / 2])
        at = np.multiply.outer(tails, last)
        below, above = np.floor(at).astype(int), np.ceil(at).astype(int)
        low, high = (np.take_along_axis(ordered, i, axis=0) for i in (below, above))
        # Between two infinities there is nothing to interpolate.
        with np.errstate(invalid="ignore"):
            between = low + (high - low) * (at - below)
        return np.where(low == high, low, between)


@dataclass(frozen=True)
class Summary:
    """One metric of one label over all cases.

    Mean, sd, median, quartiles, min and max are over the `scored` cases alone, nan where there
    are too few; the counts beside them say who is missing.

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
    q1, q3 : float
        Quartiles, interpolated linearly.
    low, high : float
        Bootstrap interval of the mean, cases drawn anew; nan of fewer than two scored cases.
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
    q1: float
    q3: float
    min: float
    max: float
    low: float
    high: float


def summarise(
    rows: Sequence[Score],
    labels: Sequence[int | str],
    metrics: Sequence[str],
    bootstrap: Bootstrap,
) -> tuple[Summary, ...]:
    """Summary of each label and metric of which there are rows.

    Raises
    ------
    ValueError
        If a case has a metric of a label twice.
    """
    groups: dict[tuple[int | str, str], dict[str, Score]] = {
        (label, metric): {} for label in labels for metric in metrics
    }
    for row in rows:
        if groups[row.label, row.metric].setdefault(row.case, row) is not row:
            raise ValueError(
                f"case {row.case!r} has {row.metric} of {row.label} twice; a case is scored once"
            )
    found = [group for group in groups.values() if group]
    cases = list(dict.fromkeys(row.case for row in rows))
    values = np.array([[g[c].value if c in g else nan for g in found] for c in cases])
    intervals = _intervals(values.reshape(len(cases), len(found)), bootstrap)
    return tuple(
        _summary(list(group.values()), *ends) for group, ends in zip(found, intervals, strict=True)
    )


def _summary(rows: Sequence[Score], low: float, high: float) -> Summary:
    statuses = [row.status for row in rows]
    finite = np.array([row.value for row in rows if np.isfinite(row.value)], np.float64)
    some = len(finite) > 0
    quartiles = np.percentile(finite, (25, 50, 75)).tolist() if some else [nan] * 3
    return Summary(
        rows[0].label,
        next((row.name for row in rows if row.name), ""),
        rows[0].metric,
        scored=len(finite),
        missed=statuses.count("missed"),
        spurious=statuses.count("spurious"),
        both_empty=statuses.count("both_empty"),
        mean=float(finite.mean()) if some else nan,
        sd=float(finite.std(ddof=1)) if len(finite) > 1 else nan,
        median=quartiles[1],
        q1=quartiles[0],
        q3=quartiles[2],
        min=float(finite.min()) if some else nan,
        max=float(finite.max()) if some else nan,
        low=low,
        high=high,
    )


def _intervals(values: NDArray[np.float64], bootstrap: Bootstrap) -> list[tuple[float, float]]:
    """Interval of the mean of each column of (cases, columns)."""
    finite = np.isfinite(values)
    enough = finite.sum(axis=0) > 1
    ends = np.full((2, values.shape[1]), nan)
    if enough.any():
        scored = finite[:, enough]
        known = np.where(scored, values[:, enough], 0.0)
        # All labels and metrics share their samples, so that one product gives all means.
        means = [_ratio(n @ known, n @ scored) for n in bootstrap.draws(len(values))]
        ends[:, enough] = bootstrap.interval(np.concatenate(means))
    return list(zip(*ends.tolist(), strict=True))


def _ratio(sums: NDArray[np.float64], counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Quotients; nan where no case that counts was drawn."""
    return np.divide(sums, counts, out=np.full_like(sums, nan), where=counts > 0)
