"""Metrics of the distance between borders.

All are taken over the border voxels of both structures together; infinite (`nsd`: 0) if
one structure is empty, nan if both are.
"""

from __future__ import annotations

from functools import partial
from math import inf

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


def hd95(pair: Pair) -> float:
    """95th percentile in mm of the border distances of both directions together, as MedPy has it.

    Others take the larger of the percentiles of the two directions, which is another number.
    """
    return pair.pooled.percentile(95)


def assd(pair: Pair) -> float:
    """Average symmetric surface distance in mm: the mean over both borders together.

    References
    ----------
    T. Heimann et al., Comparison and evaluation of methods for liver segmentation from CT
    datasets, IEEE Trans. Med. Imaging, 2009, doi:10.1109/TMI.2009.2013851
    """
    return pair.pooled.mean()


def nsd(pair: Pair, tolerance_mm: float = 1.0) -> float:
    """Normalised surface Dice, in [0, 1]: the share of both borders within `tolerance_mm`.

    Counts border voxels, not the area of a surface laid through them.

    References
    ----------
    S. Nikolov et al., Clinically applicable segmentation of head and neck anatomy for
    radiotherapy, J. Med. Internet Res., 2021, doi:10.2196/26151
    """
    return pair.pooled.share_within(tolerance_mm)


def nsd_at(tolerance_mm: float) -> Metric:
    """`nsd` at a tolerance in mm; its name says which, unless it is the usual 1 mm."""
    if not 0 <= tolerance_mm < inf:
        raise ValueError(f"a tolerance is a distance in mm, 0 or more, got {tolerance_mm}")
    name = "nsd" if tolerance_mm == 1 else f"nsd_{tolerance_mm:.12g}mm"
    compute = partial(nsd, tolerance_mm=tolerance_mm)
    return Metric(name, compute, "1", higher_is_better=True, symmetric=True, at=nsd_at)


HD = Metric("hd", hd, "mm", higher_is_better=False, symmetric=True)
HD95 = Metric("hd95", hd95, "mm", higher_is_better=False, symmetric=True)
ASSD = Metric("assd", assd, "mm", higher_is_better=False, symmetric=True)
NSD = nsd_at(1.0)
