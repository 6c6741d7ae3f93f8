"""Which normalisation a channel takes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from medseg.intensity import Identity, Normalisation, Percentiles, Window, ZScore
from medseg.learning.fingerprint import Fingerprint, Intensities

# Names with which nnU-Net's data sets say that a channel is no MRI.
_BY_NAME: Mapping[str, Normalisation] = MappingProxyType(
    {
        "nonorm": Identity(),
        "rescale_to_0_1": Percentiles(0, 100),
        "rgb_to_0_1": Window(0, 255, 0, 255),
    }
)
# Hounsfield units: air is -1000, what lies outside of the scan often -1024 to -3072; metal and
# bone are far above water, which is 0.
_AIR, _LOWEST, _DENSE = -900, -4096, 100
_LITTLE, _TINY = 0.25, 1e-8


def normalisations_of(
    fingerprint: Fingerprint, *, crop_below: float | None = None
) -> tuple[Normalisation, ...]:
    """Of each channel: for CT, a window that holds the structures; else the z-score of a volume.

    Parameters
    ----------
    fingerprint : Fingerprint
    crop_below : float, optional
        The 0 around an image does not count if the box of all else is a smaller share of the
        volume, in the median. By default, if over a quarter of the volume is 0.
    """
    if crop_below is None:
        nonzero = float(np.median([case.zeros for case in fingerprint.cases])) > _LITTLE
    else:
        nonzero = float(np.median([case.share for case in fingerprint.cases])) < crop_below
    return tuple(
        _normalisation(fingerprint, channel, nonzero=nonzero)
        for channel in range(len(fingerprint.channels))
    )


def is_ct(fingerprint: Fingerprint, channel: int) -> bool:
    """Whether a channel is CT: its name has this word; without names, by its intensities."""
    if fingerprint.named:
        return "ct" in re.split(r"[^a-z]+", fingerprint.channels[channel].casefold())
    cases = fingerprint.cases
    lowest = np.array([case.lowest[channel] for case in cases])
    highest = np.array([case.highest[channel] for case in cases])
    in_units = (lowest <= _AIR) & (lowest >= _LOWEST) & (highest >= _DENSE)
    return bool(in_units.all() and all(case.whole for case in cases))


def _normalisation(fingerprint: Fingerprint, channel: int, *, nonzero: bool) -> Normalisation:
    if is_ct(fingerprint, channel) and fingerprint.intensities:
        return _window(fingerprint.intensities[channel])
    return _BY_NAME.get(fingerprint.channels[channel].casefold(), ZScore(nonzero=nonzero))


def _window(inside: Intensities) -> Window:
    high = max(inside.high, inside.low + 1)
    return Window(inside.low, high, inside.mean, max(inside.deviation, _TINY))
