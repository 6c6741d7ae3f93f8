"""Whether a difference may be chance."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import sqrt

import numpy as np
from numpy.typing import NDArray

_ENUMERATED = 13  # patients whose signs are all tried, 2^13 of them


def signed_rank(differences: NDArray[np.float64], patients: NDArray[np.integer]) -> float:
    """Two-sided p of Wilcoxon's signed-rank test that differences are as often above 0 as below.

    Differences of 0 are left out; infinite ones share the highest rank. Where a patient has
    several, their signs change together (Rosner, Glynn and Lee). Of up to 13 patients all signs
    are tried; of more with several cases each, the sum of the ranks is taken for normal.

    Parameters
    ----------
    differences : (n,) float array
        One a case.
    patients : (n,) integer array
        Whose case it is.

    Returns
    -------
    float
        In (0, 1]; 1 if nothing differs.

    References
    ----------
    F. Wilcoxon, "Individual comparisons by ranking methods", Biometrics Bulletin 1, 1945,
    doi:10.2307/3001968
    B. Rosner, R. J. Glynn, M.-L. T. Lee, "The Wilcoxon signed rank test for paired comparisons
    of clustered data", Biometrics 62, 2006, doi:10.1111/j.1541-0420.2005.00389.x
    """
    from scipy import stats

    differ = differences != 0
    if not differ.any():
        return 1.0
    signs = np.sign(differences[differ])
    ranks = signs * stats.rankdata(np.abs(differences[differ]))
    clusters, index = np.unique(patients[differ], return_inverse=True)
    sums = np.bincount(index, ranks)
    total = abs(float(sums.sum()))
    if len(clusters) <= _ENUMERATED:
        flips = np.array(list(product((-1.0, 1.0), repeat=len(sums))))
        return float(np.mean(np.abs(flips @ sums) >= total - 1e-9))
    if len(clusters) == len(ranks):
        return float(stats.wilcoxon(ranks).pvalue)
    spread = sqrt(float((sums**2).sum()))
    return float(2 * stats.norm.sf(total / spread)) if spread else 1.0


def holm(p_values: Sequence[float]) -> list[float]:
    """P values corrected for being several, in the order in which they came.

    References
    ----------
    S. Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of
    Statistics 6, 1979, doi:10.2307/4615733
    """
    p = np.asarray(p_values, float)
    order = np.argsort(p, kind="stable")
    steps = np.minimum(p[order] * np.arange(len(p), 0, -1), 1)
    corrected = np.empty(len(p))
    corrected[order] = np.maximum.accumulate(steps)
    return [float(value) for value in corrected]


def weighted_medians(
    values: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Median of (n,) values for each row of (samples, n) weights: how often each was drawn.

    nan where nothing was drawn; the mean of the middle two where there are two.
    """
    order = np.argsort(values, kind="stable")
    sums = weights[:, order].cumsum(axis=1)
    half = sums[:, -1:] / 2
    ordered = values[order]
    low, high = ordered[(sums >= half).argmax(axis=1)], ordered[(sums > half).argmax(axis=1)]
    with np.errstate(invalid="ignore"):
        middle = np.where(low == high, low, (low + high) / 2)
    middle[half[:, 0] == 0] = np.nan
    return np.asarray(middle)
