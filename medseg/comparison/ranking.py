"""The order of methods, and how often it would have been another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medseg.comparison.aligning import Aligned

_ROUNDED = 9  # digits that mean ranks have, so that equal ones are seen to be equal


@dataclass(frozen=True)
class Ranking:
    """The order of methods in one metric of one label, or in all.

    Parameters
    ----------
    label : int or str or None
        None is the ranking over all labels and metrics.
    metric : str
        "" of that.
    mean_ranks : mapping of str to float
        Mean over the cases of the rank of each method, 1 the best; equal ones share theirs.
    shares : mapping of str to tuple of float
        Share of the bootstrap samples in which a method comes first, second, ...
    tau : float
        Mean of Kendall's tau-b between the ranking of a sample and that of all cases: 1 if
        chance changes nothing. nan if all methods are equal.

    References
    ----------
    M. Wiesenfarth et al., "Methods and open-source toolkit for analyzing and visualizing
    challenge results", Scientific Reports 11, 2021, doi:10.1038/s41598-021-82017-6
    """

    label: int | str | None
    metric: str
    mean_ranks: Mapping[str, float]
    shares: Mapping[str, tuple[float, ...]]
    tau: float


def rankings(
    methods: Sequence[str], aligned: Sequence[Aligned], draws: Iterable[NDArray[np.float64]]
) -> tuple[Ranking, ...]:
    """Ranking over all labels and metrics, then that of each.

    Parameters
    ----------
    draws : iterable of (samples, cases) float arrays
        How often each case is drawn.
    """
    ranks = [_ranks(each) for each in aligned]
    once = np.ones((1, aligned[0].goodness.shape[1]))
    known = np.stack([_mean_ranks(each, once)[0] for each in ranks])  # (aligned, methods)
    samples: list[list[NDArray[np.float64]]] = [[] for _ in ranks]
    together = []
    for drawn in draws:
        found = np.stack([_mean_ranks(each, drawn) for each in ranks])
        for part, each in zip(samples, found, strict=True):
            part.append(each)
        together.append(_mean(found))
    everything = _ranking(methods, (None, ""), _mean(known[:, None])[0], np.concatenate(together))
    return (
        everything,
        *(
            _ranking(methods, (each.label, each.metric), mean, np.concatenate(part))
            for each, mean, part in zip(aligned, known, samples, strict=True)
        ),
    )


def _ranks(aligned: Aligned) -> NDArray[np.float64]:
    """(methods, cases): 1 is the best; nan where there is nothing to compare."""
    from scipy import stats

    ranks = np.full(aligned.goodness.shape, np.nan)
    counts = aligned.counts
    ranks[:, counts] = stats.rankdata(-aligned.goodness[:, counts], axis=0)
    return ranks


def _mean_ranks(ranks: NDArray[np.float64], drawn: NDArray[np.float64]) -> NDArray[np.float64]:
    """(samples, methods); nan where no case that counts was drawn."""
    counts = ~np.isnan(ranks[0])
    weights = drawn[:, counts]
    total = weights.sum(axis=1, keepdims=True)
    sums = weights @ ranks[:, counts].T
    means = np.divide(sums, total, out=np.full(sums.shape, np.nan), where=total > 0)
    return np.asarray(np.round(means, _ROUNDED))


def _mean(mean_ranks: NDArray[np.float64]) -> NDArray[np.float64]:
    """(samples, methods) of (aligned, samples, methods), nan left out."""
    known = ~np.isnan(mean_ranks)
    sums, counts = np.where(known, mean_ranks, 0).sum(axis=0), known.sum(axis=0)
    means = np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)
    return np.asarray(np.round(means, _ROUNDED))


def _ranking(
    methods: Sequence[str],
    what: tuple[int | str | None, str],
    known: NDArray[np.float64],
    samples: NDArray[np.float64],
) -> Ranking:
    samples = samples[~np.isnan(samples).any(axis=1)]
    # Equal methods share the better place, as in sport.
    places = (samples[:, None, :] < samples[:, :, None]).sum(axis=2)  # (samples, methods)
    shares = {
        method: tuple(float(np.mean(places[:, m] == place)) for place in range(len(methods)))
        for m, method in enumerate(methods)
    }
    means = dict(zip(methods, known.tolist(), strict=True))
    return Ranking(*what, means, shares, _mean_tau(known, samples))


def _mean_tau(known: NDArray[np.float64], samples: NDArray[np.float64]) -> float:
    """Mean of Kendall's tau-b between (methods,) and each of (samples, methods)."""
    first, second = np.triu_indices(len(known), 1)
    truth = np.sign(known[first] - known[second])
    found = np.sign(samples[:, first] - samples[:, second])
    scale = np.sqrt((truth**2).sum() * (found**2).sum(axis=1))
    agree = found @ truth
    if not (scale > 0).any():
        return float("nan")
    return float(np.mean(agree[scale > 0] / scale[scale > 0]))
