"""Metrics of the distance between borders.

All are infinite (`nsd` and `nsd_surfel`: 0) if one structure is empty, nan if both are.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import inf, nan

from medseg.metrics.distances import Distances
from medseg.metrics.metric import Metric
from medseg.metrics.pair import Pair


def hd(pair: Pair) -> float:
    """Hausdorff distance in mm: the largest distance from a border voxel to the other border.

    References
    ----------
    D. P. Huttenlocher, G. A. Klanderman, W. J. Rucklidge, Comparing images using the
    Hausdorff distance, IEEE Trans. Pattern Anal. Mach. Intell., 1993, doi:10.1109/34.232073
    """
    return pair.pooled.max()


def hd_percentile(pair: Pair, percent: float = 95.0) -> float:
    """Percentile in mm of the border distances of both directions together, as MedPy has it.

    Others take the larger of the percentiles of the two directions: `hd_percentile_max`.
    """
    return pair.pooled.percentile(percent)


def hd_percentile_max(pair: Pair, percent: float = 95.0) -> float:
    """Larger one in mm of the percentiles of the two directions, as MONAI has it.

    References
    ----------
    L. Maier-Hein et al., Metrics reloaded: recommendations for image analysis validation, Nat.
    Methods, 2024, doi:10.1038/s41592-023-02151-z
    """
    return max(_directed(pair, lambda side: side.percentile(percent)))


def asd_to_reference(pair: Pair) -> float:
    """Mean distance in mm from the border voxels of the prediction to that of the reference."""
    return _directed(pair, Distances.mean)[0]


def asd_to_predicted(pair: Pair) -> float:
    """Mean distance in mm from the border voxels of the reference to that of the prediction."""
    return _directed(pair, Distances.mean)[1]


def assd(pair: Pair) -> float:
    """Average symmetric surface distance in mm: the mean over both borders together.

    References
    ----------
    T. Heimann et al., Comparison and evaluation of methods for liver segmentation from CT
    datasets, IEEE Trans. Med. Imaging, 2009, doi:10.1109/TMI.2009.2013851
    """
    return pair.pooled.mean()


def masd(pair: Pair) -> float:
    """Mean average surface distance in mm: the mean of the two directions' means.

    A border counts as much as the other, however few voxels it has; in `assd` a voxel does.
    """
    return sum(_directed(pair, Distances.mean)) / 2


def nsd(pair: Pair, tolerance_mm: float = 1.0) -> float:
    """Normalised surface Dice, in [0, 1]: the share of both borders within `tolerance_mm`.

    Counts border voxels, not the area of a surface laid through them.

    References
    ----------
    S. Nikolov et al., Clinically applicable segmentation of head and neck anatomy for
    radiotherapy, J. Med. Internet Res., 2021, doi:10.2196/26151
    """
    return pair.pooled.share_within(tolerance_mm)


def nsd_surfel(pair: Pair, tolerance_mm: float = 1.0) -> float:
    """Normalised surface Dice as its authors have it: the share of both surfaces' area.

    The surface is that of marching cubes through the corners between voxels, and so is the
    place from which distances are measured.

    References
    ----------
    S. Nikolov et al., Clinically applicable segmentation of head and neck anatomy for
    radiotherapy, J. Med. Internet Res., 2021, doi:10.2196/26151
    """
    if pair.status == "both_empty":
        return nan
    first, second = pair.surfels
    within = first.area_within(tolerance_mm) + second.area_within(tolerance_mm)
    return within / (first.area + second.area)


def nsd_at(tolerance_mm: float) -> Metric[Pair]:
    """`nsd` at a tolerance in mm; its name says which, unless it is the usual 1 mm."""
    return _tolerant("nsd", nsd, nsd_at, tolerance_mm)


def nsd_surfel_at(tolerance_mm: float) -> Metric[Pair]:
    """`nsd_surfel` at a tolerance in mm; its name says which, unless it is the usual 1 mm."""
    return _tolerant("nsd_surfel", nsd_surfel, nsd_surfel_at, tolerance_mm)


def hd_at(percent: float) -> Metric[Pair]:
    """`hd_percentile` of so many percent, as `hd95`."""
    return _percentile("hd{}", hd_percentile, percent)


def hd_max_at(percent: float) -> Metric[Pair]:
    """`hd_percentile_max` of so many percent, as `hd95_max`."""
    return _percentile("hd{}_max", hd_percentile_max, percent)


def _directed(pair: Pair, measure: Callable[[Distances], float]) -> tuple[float, float]:
    """Number for each direction; infinite if one structure is empty, nan if both are."""
    if pair.status in ("missed", "spurious"):
        return inf, inf
    return measure(pair.distances[0]), measure(pair.distances[1])


def _tolerant(
    name: str,
    compute: Callable[..., float],
    at: Callable[[float], Metric[Pair]],
    tolerance_mm: float,
) -> Metric[Pair]:
    if not 0 <= tolerance_mm < inf:
        raise ValueError(f"a tolerance is a distance in mm, 0 or more, got {tolerance_mm}")
    said = name if tolerance_mm == 1 else f"{name}_{tolerance_mm:.12g}mm"
    measured = partial(compute, tolerance_mm=tolerance_mm)
    return Metric(said, measured, "1", higher_is_better=True, symmetric=True, at=at)


def _percentile(name: str, compute: Callable[..., float], percent: float) -> Metric[Pair]:
    if not 0 <= percent <= 100:
        raise ValueError(f"a percentile is between 0 and 100, got {percent:g}")
    said, measured = name.format(f"{percent:g}"), partial(compute, percent=percent)
    return Metric(said, measured, "mm", higher_is_better=False, symmetric=True)


HD = Metric("hd", hd, "mm", higher_is_better=False, symmetric=True)
HD95, HD95_MAX = hd_at(95), hd_max_at(95)
ASD_TO_REFERENCE = Metric(
    "asd_to_reference", asd_to_reference, "mm", higher_is_better=False, symmetric=False
)
ASD_TO_PREDICTED = Metric(
    "asd_to_predicted", asd_to_predicted, "mm", higher_is_better=False, symmetric=False
)
ASSD = Metric("assd", assd, "mm", higher_is_better=False, symmetric=True)
MASD = Metric("masd", masd, "mm", higher_is_better=False, symmetric=True)
NSD, NSD_SURFEL = nsd_at(1.0), nsd_surfel_at(1.0)
