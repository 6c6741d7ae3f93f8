"""What clean-ups have in common: the protocol, and the way from labels to tensors and back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from medseg.segmenter import Frame, put_back
from medseg.volume import BACKGROUND, Labels, require_match

if TYPE_CHECKING:
    from torch import Tensor

Run = Callable[["Tensor", tuple[float, ...]], "Tensor"]


@runtime_checkable
class Cleanup(Protocol):
    """Turns labels into tidier ones: same grid, names and dtype, and no label that is new."""

    def __call__(self, labels: Labels) -> Labels:
        """Clean `labels` up; those that are all background come back as they are."""
        ...

    def run(self, labels: Tensor, spacing: tuple[float, ...]) -> Tensor:
        """Do the same on tensors, as `medseg.segmenter.Frame` has them."""
        ...


def clean_with(run: Run, labels: Labels, device: str = "auto") -> Labels:
    """Call `run` on a tensor in canonical orientation and bring its labels back.

    Parameters
    ----------
    run : function of (labels, spacing) -> labels
        `labels` a (...) int32 tensor, or int64 if they need it; `spacing` in mm.
    """
    import torch

    dtype = torch.int32 if np.can_cast(labels.array.dtype, np.int32) else torch.int64
    frame = Frame.of(labels, device)
    found = run(frame.upload(labels, dtype), frame.spacing)
    return put_back(frame.download(found).astype(labels.array.dtype), labels)


def cleaned(
    labels: Labels, cleanups: Sequence[Callable[[Labels], Labels]], mask: Labels | None = None
) -> Labels:
    """Labels after one clean-up after the other; 0 outside the mask, as before them."""
    for cleanup in cleanups:
        labels = cleanup(labels)
    if mask is None or not cleanups:
        return labels
    require_match(labels.grid, mask.grid, "the mask")
    return labels.on(np.where(mask.array != 0, labels.array, BACKGROUND), labels.grid)
