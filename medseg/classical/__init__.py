"""Methods that need no training, one to a file; `METHODS` lists them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from medseg.registry import Registry, build

if TYPE_CHECKING:
    from medseg.segmenter import Segmenter

METHODS: Registry[Callable[..., Segmenter]] = Registry(
    "method",
    {
        "otsu": (
            "medseg.classical.otsu:Otsu",
            "thresholds that part the intensities into classes, dark to bright",
        ),
        "region-growing": (
            "medseg.classical.region_growing:RegionGrowing",
            "what touches a seed and looks like it; needs seeds",
        ),
    },
)


def method(name: str, **parameters: object) -> Segmenter:
    """Build the classical method called `name`.

    Raises
    ------
    ValueError
        If there is no such method, or it has no such parameter, or refuses its value.
    """
    return build(METHODS.pick(name), parameters, name)


__all__ = ["METHODS", "method"]
