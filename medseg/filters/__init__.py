"""What is done to an image before it is segmented; `FILTERS` lists the ways.

A filter is a frozen dataclass: `run` works on tensors, a call on an `Image`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from medseg.registry import Registry, build

if TYPE_CHECKING:
    from medseg.filters.filtering import Filter

FILTERS: Registry[Callable[..., Filter]] = Registry(
    "filter",
    {
        "gaussian": ("medseg.filters.smooth:Gaussian", "smoothed by a Gaussian, width in mm"),
        "median": ("medseg.filters.smooth:Median", "median of the surroundings, radius in mm"),
        "n4": ("medseg.filters.bias:N4", "bias field of MRI divided out (SimpleITK, on the CPU)"),
        "clip": ("medseg.filters.intensities:Clip", "clipped to two percentiles"),
        "normalise": (
            "medseg.filters.intensities:Normalise",
            "mean 0 and deviation 1, of each channel",
        ),
        "invert": ("medseg.filters.intensities:Invert", "what is dark becomes bright"),
    },
)


def filter_called(name: str, **parameters: object) -> Filter:
    """Build the filter called `name`.

    Raises
    ------
    ValueError
        If there is no such filter, or it has no such parameter, or refuses its value.
    """
    return build(FILTERS.pick(name), parameters, name)


__all__ = ["FILTERS", "filter_called"]
