"""What is done to labels after a segmentation; `CLEANUPS` lists the ways.

A clean-up is a frozen dataclass: `run` works on tensors, a call on `Labels`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from medseg.registry import Registry, build

if TYPE_CHECKING:
    from medseg.cleanup.cleaning import Cleanup

CLEANUPS: Registry[Callable[..., Cleanup]] = Registry(
    "clean-up",
    {
        "keep-largest": (
            "medseg.cleanup.islands:KeepLargest",
            "the largest component of each label, or of all together",
        ),
        "drop-small": (
            "medseg.cleanup.islands:DropSmall",
            "components of less than a volume in mm³ become background",
        ),
        "fill-holes": (
            "medseg.cleanup.islands:FillHoles",
            "background that a label encloses becomes that label",
        ),
        "open": (
            "medseg.cleanup.morphology:Open",
            "what a ball of a radius in mm fits into; thin parts go",
        ),
        "close": (
            "medseg.cleanup.morphology:Close",
            "gaps that a ball of a radius in mm can't enter are filled",
        ),
        "smooth": (
            "medseg.cleanup.morphology:Smooth",
            "borders smoothed at a width in mm, no gap between labels",
        ),
        "relabel": (
            "medseg.cleanup.relabel:Relabel",
            "which class of a method is which label; the others become background",
        ),
    },
)


def cleanup_called(name: str, **parameters: object) -> Cleanup:
    """Build the clean-up called `name`.

    Raises
    ------
    ValueError
        If there is no such clean-up, or it has no such parameter, or refuses its value.
    """
    return build(CLEANUPS.pick(name), parameters, name)


__all__ = ["CLEANUPS", "cleanup_called"]
