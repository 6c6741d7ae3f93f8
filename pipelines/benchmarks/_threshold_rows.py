"""Rows of classical.py: thresholds and mixtures."""

from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np
from _comparing import OURS, Row, Volume, same_labels
from numpy.typing import ArrayLike, NDArray
from skimage import filters

import medseg
from medseg.classical.histogram import Histogram
from medseg.classical.otsu import thresholds


def five_classes(volume: Volume) -> Row:
    """Four thresholds of Otsu; SimpleITK's are the same, and take it twice as long again."""
    values = volume.tensor(volume.values).flatten()
    sides: dict[str, Callable[[], Any]] = {
        OURS: lambda: thresholds(values, 5),
        "scikit-image": lambda: filters.threshold_multiotsu(volume.values, 5),
    }
    return Row(sides, partial(bins_alike, volume))


def bins_alike(volume: Volume, ours: ArrayLike, theirs: ArrayLike) -> str:
    """How many of 256 bins are parted alike; theirs end in the last dark bin or behind it."""
    histogram = Histogram.of(volume.tensor(volume.values).flatten(), 256, "the benchmark")
    bins = np.flatnonzero(histogram.counts)
    centres = histogram.low + (bins + 0.5) * histogram.width
    ends = np.asarray(ours), np.asarray(theirs) + histogram.width / 4
    first, second = (np.searchsorted(np.atleast_1d(end), centres) for end in ends)
    return f"{int((first == second).sum())} of {len(bins)} bins alike"


def one_threshold(volume: Volume, *, name: str) -> Row:
    """A threshold of the whole volume."""
    values = volume.tensor(volume.values).flatten()
    rule: Any = medseg.method(name)
    theirs = getattr(filters, f"threshold_{name}")

    sides: dict[str, Callable[[], Any]] = {
        OURS: lambda: rule.threshold(values),
        "scikit-image": lambda: theirs(volume.values),
    }
    return Row(sides, partial(bins_alike, volume))


def two_thresholds(volume: Volume) -> Row:
    """Hysteresis between the mean and the mean of what is brighter."""
    low = float(volume.values.mean())
    high = float(volume.values[volume.values > low].mean())
    values, rule = (
        volume.tensor(volume.values)[None],
        medseg.method("hysteresis", low=low, high=high),
    )
    sides: dict[str, Callable[[], Any]] = {
        OURS: lambda: rule.run(values, volume.spacing, None, None).cpu().numpy(),
        "scikit-image": lambda: filters.apply_hysteresis_threshold(volume.values, low, high),
    }
    return Row(sides, same_labels)


def sauvola(volume: Volume) -> Row:
    """A box of 25³ voxels about each voxel; at the border, definitions differ."""
    values = volume.tensor(volume.values)[None]
    span = float(np.ptp(volume.values)) / 2
    lowest = float(volume.values.min())
    rule = medseg.method("sauvola", window=25, span=span)
    ones = (1.0,) * 3
    sides: dict[str, Callable[[], Any]] = {
        OURS: lambda: rule.run(values, ones, None, None).cpu().numpy(),
        "scikit-image": lambda: (
            volume.values - lowest
            > filters.threshold_sauvola(volume.values - lowest, 25, 0.2, span)
        ),
    }
    return Row(sides, same_labels)


def local_gaussian(volume: Volume) -> Row:
    """A Gaussian of 4 voxels about each voxel; at the border, definitions differ."""
    values = volume.tensor(volume.values)[None]
    rule, ones = medseg.method("local-gaussian", sigma=4.0), (1.0,) * 3
    sides: dict[str, Callable[[], Any]] = {
        OURS: lambda: rule.run(values, ones, None, None).cpu().numpy(),
        "scikit-image": lambda: volume.values > filters.threshold_local(volume.values, 25),
    }
    return Row(sides, same_labels)


def mixture(volume: Volume) -> Row:
    """Three bell-shaped classes of the bright voxels; scikit-learn, where it is installed."""
    values, mask = volume.tensor(volume.values)[None], volume.tensor(volume.bright)
    rule = medseg.method("gaussian-mixture", classes=3)
    sides: dict[str, Callable[[], Any]] = {
        OURS: lambda: rule.run(values, volume.spacing, None, mask)[mask].cpu().numpy()
    }
    if find_spec("sklearn"):
        from sklearn.mixture import GaussianMixture

        def theirs() -> NDArray[np.int64]:
            points = volume.values[volume.bright][:, None]
            found = GaussianMixture(3, random_state=0).fit(points)
            return np.argsort(np.argsort(found.means_[:, 0]))[found.predict(points)]

        sides["scikit-learn"] = theirs
    return Row(sides, same_labels)
