"""Segmentations that go on: more seeds are given until the result is right."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from medseg.segmenter import Frame, in_place_of, require_place
from medseg.volume import (
    BACKGROUND,
    Image,
    Labels,
    require_match,
    smallest_integers,
)

if TYPE_CHECKING:
    from torch import Tensor


class Solver(Protocol):
    """What a method knows of an image on a device, and what it remembers of the last seeds."""

    def labels(self, seeds: Tensor) -> Tensor:
        """Labels (...) int32 of seeds (...) int32, 0 for background."""
        ...


Prepare = Callable[["Tensor", tuple[float, ...], "Tensor | None"], Solver]


class Session:
    """An image that is segmented again and again, each time from all seeds so far.

    What depends on the image alone is computed once, and each result starts from the last
    one; it is the one that `segment` of the method gives at once.

    Parameters
    ----------
    prepare : function of (image, spacing, mask) -> Solver
        All tensors as a `Frame` has them.
    image : Image
    mask : Labels, optional
    device : str
    """

    def __init__(
        self, prepare: Prepare, image: Image, mask: Labels | None, device: str = "auto"
    ) -> None:
        import torch

        require_place(image, None, mask)
        self._image = image
        self._frame = Frame.of(image, device)
        self._mask = None if mask is None else self._frame.upload(mask, torch.bool)
        values = self._frame.upload(image, torch.float32)
        self._solver = prepare(values, self._frame.spacing, self._mask)

    def segment(self, seeds: Labels) -> Labels:
        """Label every voxel; `seeds` are all of them, those of earlier calls too.

        Parameters
        ----------
        seeds : Labels
            On the grid of the image: 0 is unknown, -1 background, a positive value that label.

        Raises
        ------
        ValueError
            If the seeds lie on another grid, or mark nothing.
        """
        import torch

        require_match(self._image.grid, seeds.grid, "the seed volume")
        found = self._solver.labels(self._frame.upload(seeds, torch.int32))
        if self._mask is not None:
            found = torch.where(self._mask, found, BACKGROUND)
        array = smallest_integers(self._frame.download(found))
        return in_place_of(array, self._image, seeds.names)
