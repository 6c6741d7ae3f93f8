"""The one thing every method of medseg is: a `Segmenter`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from medseg import device as devices
from medseg.volume import (
    BACKGROUND,
    Image,
    Labels,
    orientation,
    reorient,
    require_match,
    smallest_integers,
)

if TYPE_CHECKING:
    from torch import Tensor

Run = Callable[["Tensor", tuple[float, ...], "Tensor | None", "Tensor | None"], "Tensor"]


@runtime_checkable
class Segmenter(Protocol):
    """Turns an image into labels on the same grid.

    Classical methods are frozen dataclasses whose fields are their parameters; a trained
    `Model` is one too. None of them keeps anything of an image between calls.
    """

    def segment(
        self, image: Image, seeds: Labels | None = None, mask: Labels | None = None
    ) -> Labels:
        """Label every voxel of `image`.

        Parameters
        ----------
        image : Image
        seeds : Labels, optional
            Voxels known beforehand, on the grid of `image`: 0 is unknown, -1 background, a
            positive value that label.
        mask : Labels, optional
            Where to look, on the grid of `image`: 0 is outside, and stays 0.

        Raises
        ------
        ValueError
            If the method cannot take this image, or needs seeds and got none (or the
            other way round).
        """
        ...


@runtime_checkable
class Probabilistic(Protocol):
    """Says how probable each label is."""

    def probabilities(
        self, image: Image, seeds: Labels | None = None, mask: Labels | None = None
    ) -> Image:
        """Probability of each label at each voxel: one channel a class, background first."""
        ...


def require_place(image: Image, seeds: Labels | None, mask: Labels | None) -> None:
    """Raise ValueError unless seeds and mask lie on the grid of `image` and say something."""
    if seeds is not None:
        require_match(image.grid, seeds.grid, "the seed volume")
    if mask is not None:
        require_match(image.grid, mask.grid, "the mask")
        if not mask.array.any():
            raise ValueError("the mask is empty: no voxel is inside")


def canonical(volume: Image | Labels) -> NDArray:
    """Array of `volume` in the storage order that is nearest to RAS+, made contiguous."""
    return np.ascontiguousarray(reorient(volume).array)


def in_place_of(array: NDArray, image: Image, names: Mapping[int, str]) -> Labels:
    """Labels on the grid of `image` from an array in canonical orientation; undoes `canonical`."""
    turned = Labels(array, reorient(image).grid, names)
    return Labels(reorient(turned, orientation(image.grid)).array, image.grid, names)


def segment_with(
    run: Run, image: Image, seeds: Labels | None, mask: Labels | None, device: str = "auto"
) -> Labels:
    """Call `run` on tensors in canonical orientation and bring its labels back.

    Every `segment` of a classical method is this function, so that the same head stored in
    any of the 48 orientations gives the same segmentation in the world.

    Parameters
    ----------
    run : function of (image, spacing, seeds, mask) -> labels
        `image` a (C, ...) float32 tensor, `seeds` int32, `mask` bool, both (...) or None,
        `spacing` in mm. Axes of length 1 are left out, so that a single slice of a volume is
        2D. Its result has the shape of `seeds`.
    """
    import torch

    require_place(image, seeds, mask)
    where = devices.resolve(device)
    shape = reorient(image).grid.shape
    kept = [axis for axis, size in enumerate(shape) if size > 1] or [0]
    spacing = reorient(image).grid.spacing

    def upload(volume: Image | Labels, dtype: torch.dtype) -> Tensor:
        array = canonical(volume)
        lead = array.shape[: array.ndim - len(shape)]
        # torch.tensor copies: the arrays of volumes are read-only.
        flat = torch.tensor(array.reshape(*lead, *(shape[axis] for axis in kept)))
        return flat.to(where, dtype)

    inside = None if mask is None else upload(mask, torch.bool)
    found = run(
        upload(image, torch.float32),
        tuple(spacing[axis] for axis in kept),
        None if seeds is None else upload(seeds, torch.int32),
        inside,
    )
    if inside is not None:
        found = torch.where(inside, found, BACKGROUND)
    array = smallest_integers(found.cpu().numpy().reshape(shape))
    return in_place_of(array, image, seeds.names if seeds is not None else {})
