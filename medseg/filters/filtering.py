"""What filters have in common: the protocol, and the way from an image to tensors and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from medseg.segmenter import Frame, put_back, require_place
from medseg.volume import Image, Labels

if TYPE_CHECKING:
    from torch import Tensor

Run = Callable[["Tensor", tuple[float, ...], "Tensor | None"], "Tensor"]


@runtime_checkable
class Filter(Protocol):
    """Turns an image into another one on the same grid, with the same channels."""

    def __call__(self, image: Image, mask: Labels | None = None) -> Image:
        """Filter `image`; statistics are those of the voxels of `mask` that are not 0.

        Raises
        ------
        ValueError
            If the mask lies on another grid or is empty, or the image can't be filtered.
        """
        ...

    def run(self, image: Tensor, spacing: tuple[float, ...], mask: Tensor | None) -> Tensor:
        """Do the same on tensors, as `medseg.segmenter.Frame` has them."""
        ...


def filter_with(run: Run, image: Image, mask: Labels | None, device: str = "auto") -> Image:
    """Call `run` on tensors in canonical orientation and bring its image back.

    Parameters
    ----------
    run : function of (image, spacing, mask) -> image
        `image` a (C, ...) float32 tensor, `mask` (...) bool or None, `spacing` in mm.
    """
    import torch

    require_place(image, None, mask)
    frame = Frame.of(image, device)
    inside = None if mask is None else frame.upload(mask, torch.bool)
    found = run(frame.upload(image, torch.float32), frame.spacing, inside)
    return put_back(frame.download(found), image)
