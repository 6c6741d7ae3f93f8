"""Bring intensities to the range that a network knows; `NORMALISATIONS` lists the ways.

A normalisation is a frozen dataclass that is called with the voxels of one channel and, where
there is a mask, with what is inside.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from medseg.registry import Registry

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
        "percentiles": ("medseg.intensity:Percentiles", "two percentiles to 0 and 1, clipped"),
    },
)


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
