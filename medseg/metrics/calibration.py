"""Metrics of probabilities: do things come true as often as was said? `CALIBRATION` lists them.

They are functions of a `Reliability`, which is made of probabilities and labels: of the most
likely class of each voxel, or of one class against the rest; of all voxels or some of them.
Background is easy and plenty, so over a whole image any model looks calibrated: give `inside`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medseg.distance import distance_to
from medseg.metrics.metric import Metric
from medseg.metrics.pair import border_of

# What was called impossible and came true would make the mean of all infinite.
_LEAST = 1e-7


@dataclass(frozen=True, eq=False)
class Reliability:
    """Voxels sorted into bins of equal width by their probability.

    Parameters
    ----------
    counts : (bins,) integer array
        Voxels with a probability above n / bins, up to (n + 1) / bins; 0 is in the first.
    confidence : (bins,) float array
        Mean probability in each bin; nan in an empty one.
    frequency : (bins,) float array
        Share of the voxels of each bin for which it came true; nan in an empty one.
    brier, nll : float
        Of the same voxels; nan if there are none.
    """

    counts: NDArray[np.int64]
    confidence: NDArray[np.float64]
    frequency: NDArray[np.float64]
    brier: float
    nll: float

    @classmethod
    def of(
        cls,
        probabilities: NDArray[np.floating],
        labels: NDArray[np.integer],
        label: int | None = None,
        inside: NDArray[np.bool_] | None = None,
        *,
        bins: int = 15,
    ) -> Reliability:
        """Compare probabilities with what was true.

        Parameters
        ----------
        probabilities : (classes, ...) array
            In [0, 1], and 1 together in each voxel.
        labels : (...) integer array
            The class that is true, from 0 on.
        label : int, optional
            The class to look at; without it, that which is the most likely in each voxel.
        inside : (...) bool array, optional
            Voxels to look at.
        bins : int

        Raises
        ------
        ValueError
            If shapes do not fit, there is no such class, or numbers are no probabilities.
        """
        _require(probabilities, labels, label, bins)
        if inside is None:
            inside = np.ones(labels.shape, bool)
        chosen, true = probabilities[:, inside], labels[inside]
        if label is None:
            said, came = chosen.max(axis=0), chosen.argmax(axis=0) == true
            brier, likelihood = _brier(chosen, true), chosen[true, np.arange(len(true))]
        else:
            said, came = chosen[label], true == label
            brier = _mean((said.astype(np.float64) - came) ** 2)
            likelihood = np.where(came, said, 1 - said)
        nll = _mean(-np.log(np.clip(likelihood.astype(np.float64), _LEAST, 1)))
        return cls(*_binned(said, came, bins), brier, nll)


def ece(table: Reliability) -> float:
    """Expected calibration error, in [0, 1]: mean gap of confidence and frequency over voxels.

    References
    ----------
    M. P. Naeini, G. F. Cooper, M. Hauskrecht, Obtaining well calibrated probabilities using
    Bayesian binning, AAAI, 2015, doi:10.1609/aaai.v29i1.9602
    """
    gaps, counts = _gaps(table)
    return float(gaps @ counts) / int(counts.sum()) if len(gaps) else np.nan


def ace(table: Reliability) -> float:
    """Average calibration error, in [0, 1]: mean gap over the bins that are not empty.

    Not the adaptive calibration error, whose bins hold equally many.

    References
    ----------
    L. Neumann, A. Zisserman, A. Vedaldi, Relaxed softmax: efficient confidence auto-calibration
    for safe pedestrian detection, NeurIPS workshop on machine learning for intelligent
    transportation systems, 2018
    """
    gaps, _ = _gaps(table)
    return float(gaps.mean()) if len(gaps) else np.nan


def mce(table: Reliability) -> float:
    """Maximum calibration error, in [0, 1]: the largest gap of any bin that is not empty."""
    gaps, _ = _gaps(table)
    return float(gaps.max()) if len(gaps) else np.nan


def brier(table: Reliability) -> float:
    """Mean squared error of the probabilities, summed over the classes if it is of all.

    In [0, 1] for one class, in [0, 2] for all.

    References
    ----------
    G. W. Brier, Verification of forecasts expressed in terms of probability, Mon. Weather Rev.,
    1950, doi:10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2
    """
    return table.brier


def nll(table: Reliability) -> float:
    """Mean negative logarithm of the probability of what was true; probabilities from 1e-7 on."""
    return table.nll


def band(mask: ArrayLike, spacing: tuple[float, ...], width_mm: float) -> NDArray[np.bool_]:
    """Voxels no farther than `width_mm` from the border of a structure, on either side of it.

    Parameters
    ----------
    mask : (...) bool array
    spacing : tuple of float, mm
    width_mm : float
    """
    border = border_of(np.asarray(mask, bool))
    near: NDArray[np.bool_] = distance_to(border, spacing) <= width_mm + 1e-9
    return near


def _require(
    probabilities: NDArray[np.floating], labels: NDArray[np.integer], label: int | None, bins: int
) -> None:
    classes = len(probabilities)
    if probabilities.shape[1:] != labels.shape:
        raise ValueError(
            f"probabilities of shape {probabilities.shape} need labels of shape "
            f"{probabilities.shape[1:]}, got {labels.shape}"
        )
    if bins < 1:
        raise ValueError(f"there is at least 1 bin, got {bins}")
    if label is not None and not 0 <= label < classes:
        raise ValueError(f"there are classes 0 to {classes - 1}, got {label}")
    if not 0 <= labels.min(initial=0) <= labels.max(initial=0) < classes:
        raise ValueError(f"labels are classes 0 to {classes - 1}, got others; map them first")
    low, high = probabilities.min(initial=0), probabilities.max(initial=0)
    if not (low >= 0 and high <= 1 + 1e-4):  # nan is neither
        raise ValueError(f"probabilities are in [0, 1], got {low:g} to {high:g}")


def _brier(probabilities: NDArray[np.floating], true: NDArray[np.integer]) -> float:
    # Class by class, as all of them in float64 would take much memory.
    return sum(
        _mean((said.astype(np.float64) - (true == label)) ** 2)
        for label, said in enumerate(probabilities)
    )


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean()) if len(values) else np.nan


def _binned(
    said: NDArray[np.floating], came: NDArray[np.bool_], bins: int
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    # The edges themselves, as products round: 0.6 is not above 9 / 15.
    edges = (np.arange(1, bins) / bins).astype(said.dtype)
    places = np.searchsorted(edges, said, side="left")
    counts = np.bincount(places, minlength=bins)
    with np.errstate(invalid="ignore"):
        confidence = np.bincount(places, said, bins) / counts
        frequency = np.bincount(places, came, bins) / counts
    return counts, confidence, frequency


def _gaps(table: Reliability) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Gap of confidence and frequency in each bin that is not empty, and its voxels."""
    filled = table.counts > 0
    return np.abs(table.confidence - table.frequency)[filled], table.counts[filled]


ECE = Metric("ece", ece, "1", higher_is_better=False, symmetric=False)
ACE = Metric("ace", ace, "1", higher_is_better=False, symmetric=False)
MCE = Metric("mce", mce, "1", higher_is_better=False, symmetric=False)
BRIER = Metric("brier", brier, "1", higher_is_better=False, symmetric=False)
NLL = Metric("nll", nll, "1", higher_is_better=False, symmetric=False)
