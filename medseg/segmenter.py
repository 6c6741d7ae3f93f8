"""The one thing every method of medseg is: a `Segmenter`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar, cast, runtime_checkable

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
    import torch
    from torch import Tensor

_Volume = TypeVar("_Volume", bound=Image | Labels)

Run = Callable[["Tensor", tuple[float, ...], "Tensor | None", "Tensor | None"], "Tensor"]
RunProbabilities = Callable[
    ["Tensor", tuple[float, ...], "Tensor | None", "Tensor | None"], tuple[list[int], "Tensor"]
]
Result = TypeVar("Result")
_NUMBERED = re.compile(r"label (\d+)")


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


def names_of(method: object, seeds: Labels | None = None) -> Mapping[int, str]:
    """Names of the labels of a method: those of its plan if it was trained, else of the seeds."""
    plan = getattr(method, "plan", None)
    if plan is not None:
        return cast(Mapping[int, str], plan.names)
    return {} if seeds is None else seeds.names


def labels_of_channels(probabilities: Image, names: Mapping[int, str]) -> tuple[int, ...]:
    """Label of each channel of what a `Probabilistic` gave, by the name of the channel.

    Raises
    ------
    ValueError
        If two labels have one name, or a channel has none that is known.
    """
    named = {name: label for label, name in names.items()}
    labels = [0]
    for name in probabilities.names[1:]:
        if name in named:
            labels.append(named[name])
        elif found := _NUMBERED.fullmatch(name):
            labels.append(int(found[1]))
        else:
            raise ValueError(f"no label is called {name!r}; there are {sorted(named)}")
    if len(set(labels)) < len(labels):
        raise ValueError(f"each label has a name of its own, got {probabilities.names}")
    return tuple(labels)


def canonical(volume: Image | Labels) -> NDArray:
    """Array of `volume` in the storage order that is nearest to RAS+, made contiguous."""
    return np.ascontiguousarray(reorient(volume).array)


def in_place_of(array: NDArray, image: Image, names: Mapping[int, str]) -> Labels:
    """Labels on the grid of `image` from an array in canonical orientation; undoes `canonical`."""
    turned = Labels(array, reorient(image).grid, names)
    return Labels(reorient(turned, orientation(image.grid)).array, image.grid, names)


def put_back(array: NDArray, volume: _Volume) -> _Volume:
    """Volume like `volume`, of an array in canonical orientation; undoes `canonical`."""
    turned = volume.on(array, reorient(volume).grid)
    stored = reorient(turned, orientation(volume.grid))
    return cast(_Volume, volume.on(stored.array, volume.grid))


@dataclass(frozen=True, eq=False)
class Frame:
    """How methods see a grid: in canonical orientation, on a device, without axes of length 1.

    So a single slice of a volume is 2D.

    Parameters
    ----------
    shape : tuple of int
        In canonical orientation, all axes.
    spacing : tuple of float, mm
        Of the axes that are kept.
    device : torch.device
    """

    shape: tuple[int, ...]
    spacing: tuple[float, ...]
    device: torch.device

    @classmethod
    def of(cls, volume: Image | Labels, device: str = "auto") -> Frame:
        """Frame of the grid of `volume`; `device` as for `medseg.device.resolve`."""
        grid = reorient(volume).grid
        spacing = tuple(grid.spacing[axis] for axis in _kept(grid.shape))
        return cls(grid.shape, spacing, devices.resolve(device))

    def upload(self, volume: Image | Labels, dtype: torch.dtype) -> Tensor:
        """Tensor of a volume on this grid: (...), of an image (C, ...)."""
        import torch

        array = canonical(volume)
        lead = array.shape[: array.ndim - len(self.shape)]
        # torch.tensor copies: the arrays of volumes are read-only.
        flat = torch.tensor(array.reshape(*lead, *(self.shape[axis] for axis in _kept(self.shape))))
        return flat.to(self.device, dtype)

    def download(self, tensor: Tensor) -> NDArray:
        """Array in canonical orientation with all axes, of a tensor as `upload` gives."""
        lead = tensor.shape[: tensor.ndim - len(self.spacing)]
        return tensor.cpu().numpy().reshape(*lead, *self.shape)


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
        `spacing` in mm, all as a `Frame` has them. Its result has the shape of `seeds`.
    """
    import torch

    frame, found, inside = run_on_tensors(run, image, seeds, mask, device)
    if inside is not None:
        found = torch.where(inside, found, BACKGROUND)
    array = smallest_integers(frame.download(found))
    return in_place_of(array, image, seeds.names if seeds is not None else {})


def probabilities_with(
    run: RunProbabilities,
    image: Image,
    seeds: Labels | None,
    mask: Labels | None,
    device: str = "auto",
) -> Image:
    """Call `run` on tensors as `segment_with` does, and bring its probabilities back.

    Parameters
    ----------
    run : function of (image, spacing, seeds, mask) -> (labels, probabilities)
        The probabilities are (labels, ...), background first.

    Returns
    -------
    Image
        A channel for each label, named as the seeds name it; outside the mask, background is
        certain.
    """
    frame, (labels, shares), inside = run_on_tensors(run, image, seeds, mask, device)
    if inside is not None:
        shares[:, ~inside] = 0
        shares[0, ~inside] = 1
    named = {} if seeds is None else seeds.names
    names = ("background", *(named.get(label, f"label {label}") for label in labels[1:]))
    turned = Image(frame.download(shares), reorient(image).grid, names)
    return Image(reorient(turned, orientation(image.grid)).array, image.grid, names)


def run_on_tensors(
    run: Callable[[Tensor, tuple[float, ...], Tensor | None, Tensor | None], Result],
    image: Image,
    seeds: Labels | None,
    mask: Labels | None,
    device: str,
) -> tuple[Frame, Result, Tensor | None]:
    """Frame of the image, what `run` gives, and the mask as a tensor."""
    import torch

    require_place(image, seeds, mask)
    frame = Frame.of(image, device)
    inside = None if mask is None else frame.upload(mask, torch.bool)
    found = run(
        frame.upload(image, torch.float32),
        frame.spacing,
        None if seeds is None else frame.upload(seeds, torch.int32),
        inside,
    )
    return frame, found, inside


def _kept(shape: tuple[int, ...]) -> list[int]:
    return [axis for axis, size in enumerate(shape) if size > 1] or [0]
