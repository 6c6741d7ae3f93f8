"""Bring intensities to the range that a network knows; `NORMALISATIONS` lists the ways.

A normalisation is a frozen dataclass that is called with the voxels of one channel and, where
there is a mask, with what is inside.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from medseg.registry import Registry, pick

_TINY = 1e-8


class Normalisation(Protocol):
    """Maps the intensities of one channel."""

    def __call__(
        self, values: NDArray[np.float32], inside: NDArray[np.bool_] | None = None
    ) -> NDArray[np.float32]:
        """New intensities, in an array of the same shape; `inside` marks the voxels that count."""
        ...


@dataclass(frozen=True)
class Identity:
    """Leave the intensities as they are."""

    def __call__(
        self, values: NDArray[np.float32], inside: NDArray[np.bool_] | None = None
    ) -> NDArray[np.float32]:
        """Return the same intensities."""
        return values


@dataclass(frozen=True)
class ZScore:
    """Mean 0 and standard deviation 1 over the volume, or over the mask where there is one.

    Outside the mask the result is 0.

    Parameters
    ----------
    nonzero : bool
        Without a mask, take the voxels that are not 0 for it: for images whose background
        was set to 0, as after skull stripping.
    """

    nonzero: bool = False

    def __call__(
        self, values: NDArray[np.float32], inside: NDArray[np.bool_] | None = None
    ) -> NDArray[np.float32]:
        """Normalised intensities."""
        if inside is None and self.nonzero:
            inside = values != 0
        if inside is None or not inside.any():
            return _standardised(values, values)
        return np.where(inside, _standardised(values, values[inside]), np.float32(0))


@dataclass(frozen=True)
class Window:
    """Clip to a fixed window, then subtract a fixed mean and divide by a fixed deviation.

    For intensities with a physical unit, as the Hounsfield units of CT, whose zero and scale
    are the same in every case.

    Parameters
    ----------
    low, high : float
        Ends of the window.
    mean, deviation : float
    """

    low: float
    high: float
    mean: float
    deviation: float

    def __post_init__(self) -> None:
        if not (self.low < self.high and self.deviation > 0):
            raise ValueError(f"a window has low < high and a positive deviation, got {self}")

    def __call__(
        self, values: NDArray[np.float32], inside: NDArray[np.bool_] | None = None
    ) -> NDArray[np.float32]:
        """Normalised intensities; the mask plays no part."""
        clipped = np.clip(values, self.low, self.high)
        return _f32((clipped - self.mean) / self.deviation)


# Level and width in Hounsfield units, as radiologists use them.
CT_WINDOWS: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "lung": (-600, 1500),
        "mediastinum": (50, 350),
        "soft-tissue": (50, 400),
        "liver": (30, 150),
        "brain": (40, 80),
        "subdural": (75, 215),
        "stroke": (32, 8),
        "spine": (50, 250),
        "bone": (400, 1800),
        "temporal-bone": (600, 2800),
    }
)


@dataclass(frozen=True)
class CTWindow:
    """Map a window of Hounsfield units, picked by name, to 0 and 1, and clip beyond.

    Parameters
    ----------
    tissue : str
        One of `CT_WINDOWS`, which has the level and the width of each.
    """

    tissue: str = "soft-tissue"

    def __post_init__(self) -> None:
        pick(CT_WINDOWS, self.tissue, "CT window")

    @property
    def ends(self) -> tuple[float, float]:
        """Lowest and highest intensity in the window, HU."""
        level, width = CT_WINDOWS[self.tissue]
        return level - width / 2, level + width / 2

    def __call__(
        self, values: NDArray[np.float32], inside: NDArray[np.bool_] | None = None
    ) -> NDArray[np.float32]:
        """Normalised intensities in [0, 1]; the mask plays no part."""
        low, high = self.ends
        return _f32(np.clip((values - np.float32(low)) / np.float32(high - low), 0, 1))


@dataclass(frozen=True)
class Percentiles:
    """Map two percentiles of the volume, or of the mask, to 0 and 1, and clip beyond.

    Parameters
    ----------
    low, high : float in [0, 100]
    """

    low: float = 0.5
    high: float = 99.5

    def __post_init__(self) -> None:
        if not 0 <= self.low < self.high <= 100:
            raise ValueError(f"percentiles are 0 <= low < high <= 100, got {self}")

    def __call__(
        self, values: NDArray[np.float32], inside: NDArray[np.bool_] | None = None
    ) -> NDArray[np.float32]:
        """Normalised intensities in [0, 1]."""
        counted = values if inside is None or not inside.any() else values[inside]
        low, high = np.percentile(counted, [self.low, self.high])
        return _f32(np.clip((values - low) / max(high - low, _TINY), 0, 1))


NORMALISATIONS: Registry[Any] = Registry(
    "normalisation",
    {
        "identity": ("medseg.intensity:Identity", "intensities as they are"),
        "zscore": ("medseg.intensity:ZScore", "mean 0, deviation 1 over volume or mask (MRI)"),
        "window": ("medseg.intensity:Window", "clip to a window, fixed mean and deviation (CT)"),
        "ct-window": ("medseg.intensity:CTWindow", "a window of CT by name, to 0 and 1, clipped"),
        "percentiles": ("medseg.intensity:Percentiles", "two percentiles to 0 and 1, clipped"),
    },
)


def match_histogram(
    values: NDArray,
    reference: NDArray,
    inside: NDArray[np.bool_] | None = None,
    reference_inside: NDArray[np.bool_] | None = None,
) -> NDArray[np.float32]:
    """Intensities mapped so that their histogram becomes that of another image.

    Each intensity goes to that of which the same share of the reference is lower, so that the
    order of intensities stays. Against the different scales of two MRI of one kind; images in
    which tissues have other shares become more alike than they are.

    Parameters
    ----------
    values, reference : arrays of any shapes
    inside, reference_inside : bool arrays of these shapes, optional
        Where intensities count; outside, they follow the same map, and beyond its ends stay there.

    Raises
    ------
    ValueError
        If nothing is inside.

    References
    ----------
    R. C. Gonzalez, R. E. Woods, "Digital Image Processing", 4th edition, Pearson 2018, 3.3.
    """
    given = values.ravel() if inside is None else values[inside]
    wanted = reference.ravel() if reference_inside is None else reference[reference_inside]
    if not given.size or not wanted.size:
        raise ValueError("histograms are matched inside of masks, and one of them is empty")
    (levels, shares), (targets, aims) = _shares(given), _shares(wanted)
    return _f32(np.interp(values, levels, np.interp(shares, aims, targets)))


def _shares(values: NDArray) -> tuple[NDArray, NDArray[np.float64]]:
    """Intensities that occur, and the share of all that is not above each."""
    levels, counts = np.unique(values, return_counts=True)
    return levels, np.cumsum(counts) / values.size


def normalisation_to_json(normalisation: Normalisation) -> dict[str, Any]:
    """Fields of a normalisation, and the name under which it is found again."""
    return NORMALISATIONS.to_json(normalisation)


def normalisation_from_json(content: Mapping[str, Any]) -> Normalisation:
    """Normalisation from what `normalisation_to_json` gave."""
    normalisation: Normalisation = NORMALISATIONS.from_json(content)
    return normalisation


def _standardised(values: NDArray[np.float32], counted: NDArray[np.float32]) -> NDArray[np.float32]:
    # In float64: a scanner's offset of 1e5 leaves float32 sums little room for the deviation.
    mean = counted.mean(dtype=np.float64)
    deviation = max(float(counted.std(dtype=np.float64)), _TINY)
    return _f32((values - mean) / deviation)


def _f32(array: NDArray) -> NDArray[np.float32]:
    return array.astype(np.float32, copy=False)
