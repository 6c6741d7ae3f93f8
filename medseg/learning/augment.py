"""Change the intensities of a batch as another scanner or another day would.

Each function takes (B, C, ...) normalised images on any device and a generator for each sample,
and gives images of the same shape; it changes some of the samples, a share that `chance` may
set, and leaves the others alone. What becomes of a sample is the same in whatever batch it is,
but for matched histograms.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

Generators = Sequence[np.random.Generator]
Augmentation = Callable[[Tensor, Generators], Tensor]
_TINY = 1e-6
_REACH = 3  # voxels, three times the widest blur


def brightness(images: Tensor, rngs: Generators, *, chance: float = 0.3) -> Tensor:
    """Add a constant to each channel, in 30 % of the samples."""

    def draw(rng: np.random.Generator, channels: int) -> np.ndarray:
        return rng.normal(0, 0.15, channels)

    return _changed(images, rngs, chance, draw, torch.add)


def contrast(images: Tensor, rngs: Generators, *, chance: float = 0.3) -> Tensor:
    """Stretch each channel about its mean by 0.7 to 1.4, in 30 % of the samples."""

    def draw(rng: np.random.Generator, channels: int) -> np.ndarray:
        return np.exp(rng.uniform(-0.35, 0.35, channels))

    def stretch(some: Tensor, factor: Tensor) -> Tensor:
        return torch.lerp(some.mean(_voxels(some), keepdim=True), some, factor)

    return _changed(images, rngs, chance, draw, stretch)


def shift_and_scale(images: Tensor, rngs: Generators) -> Tensor:
    """Add to each channel some N(0, 0.05) and multiply it by some N(1, 0.01), in all samples.

    References
    ----------
    K. Kamnitsas et al., "Efficient multi-scale 3D CNN with fully connected CRF for accurate
    brain lesion segmentation", Medical Image Analysis, 2017. doi:10.1016/j.media.2016.10.004
    """

    def draw(rng: np.random.Generator, channels: int) -> np.ndarray:
        return np.stack([rng.normal(0, 0.05, channels), rng.normal(1, 0.01, channels)])

    def change(some: Tensor, values: Tensor) -> Tensor:
        shift, factor = values.unbind(1)
        return (some + shift) * factor

    return _changed(images, rngs, 1.0, draw, change)


def gamma(images: Tensor, rngs: Generators, *, chance: float = 0.3) -> Tensor:
    """Raise to a power of 0.7 to 1.5, mean and deviation kept, in 30 % of the samples."""
    return _changed(images, rngs, chance, _power, _bent)


def noise(images: Tensor, rngs: Generators, *, chance: float = 0.2) -> Tensor:
    """Add Gaussian noise of a deviation up to 0.3, in 20 % of the samples."""

    def change(image: Tensor, rng: np.random.Generator) -> Tensor:
        deviation = _column(rng.uniform(0, 0.3, len(image)), image)
        generator = torch.Generator(image.device).manual_seed(int(rng.integers(2**62)))
        field = torch.empty_like(image).normal_(generator=generator)
        return torch.addcmul(image, field, deviation)

    return _some(images, rngs, chance, change)


def blur(images: Tensor, rngs: Generators, *, chance: float = 0.1) -> Tensor:
    """Blur with a Gaussian of 0.5 to 1 voxel, in 10 % of the samples."""
    return _some(images, rngs, chance, lambda one, rng: _blurred(one, rng.uniform(0.5, 1.0)))


def low_resolution(images: Tensor, rngs: Generators, *, chance: float = 0.1) -> Tensor:
    """Sample at 0.5 to 1 of the resolution and interpolate back, in 10 % of the samples."""
    return _some(images, rngs, chance, lambda one, rng: _coarser(one, rng.uniform(0.5, 1.0)))


def histogram_matching(images: Tensor, rngs: Generators) -> Tensor:
    """Give each sample the histograms of one that is drawn from the batch, perhaps its own.

    Equal intensities stay equal. A batch of one stays as it is: there is none to match.

    References
    ----------
    F. Milletari, N. Navab, S.-A. Ahmadi, "V-Net: fully convolutional neural networks for
    volumetric medical image segmentation", 3DV 2016, doi:10.1109/3DV.2016.79
    """
    values = images.flatten(2).contiguous()
    ordered = values.sort().values
    wanted = ordered[[int(rng.integers(len(images))) for rng in rngs]]
    not_above = torch.searchsorted(ordered, values, right=True)
    return wanted.gather(2, not_above - 1).reshape(images.shape)


def _changed(
    images: Tensor,
    rngs: Generators,
    chance: float,
    draw: Callable[[np.random.Generator, int], np.ndarray],
    change: Callable[[Tensor, Tensor], Tensor],
) -> Tensor:
    """Images of which some are changed together, by (some, ..., C, 1, ...) drawn numbers."""
    chosen = [k for k, rng in enumerate(rngs) if rng.random() < chance]
    if not chosen:
        return images
    values = _column(np.stack([draw(rngs[k], images.shape[1]) for k in chosen]), images[0])
    if len(chosen) == len(images):
        return change(images, values)
    result = images.clone()
    result[chosen] = change(images[chosen], values)
    return result


def _some(
    images: Tensor,
    rngs: Generators,
    chance: float,
    change: Callable[[Tensor, np.random.Generator], Tensor],
) -> Tensor:
    """Images of which some are changed one by one."""
    chosen = [k for k, rng in enumerate(rngs) if rng.random() < chance]
    if not chosen:
        return images
    if len(images) == 1:
        return change(images[0], rngs[0])[None]
    result = images.clone()
    for k in chosen:
        result[k] = change(images[k], rngs[k])
    return result


def _column(values: np.ndarray, image: Tensor) -> Tensor:
    """(..., C, 1, ...) of (..., C) numbers, for (C, ...) images."""
    numbers = torch.as_tensor(values, dtype=image.dtype, device=image.device)
    return numbers.reshape(*values.shape, *[1] * (image.ndim - 1))


def _power(rng: np.random.Generator, channels: int) -> np.ndarray:
    return np.exp(rng.uniform(-0.35, 0.4, channels))


def _bent(some: Tensor, power: Tensor) -> Tensor:
    """Images between their extremes raised to a power, with mean and deviation as before."""
    axes = _voxels(some)
    low, high = some.amin(axes, keepdim=True), some.amax(axes, keepdim=True)
    bent = (
        ((some - low) / (high - low).clamp_min(_TINY)).log_().mul_(power).exp_()
    )  # as pow, but fast
    mean = some.mean(axes, keepdim=True)
    bent -= bent.mean(axes, keepdim=True)
    # Norms have the ratio of the deviations; torch.std takes thirty times as long.
    norm, bent_norm = (
        torch.linalg.vector_norm(x, dim=axes, keepdim=True) for x in (some - mean, bent)
    )
    return bent.mul_(norm / bent_norm.clamp_min(_TINY)).add_(mean)


def _coarser(image: Tensor, zoom: float) -> Tensor:
    """(C, ...) image of which only so large a share of the voxels along each axis is left."""
    size = image.shape[1:]
    small = [max(round(n * zoom), 1) for n in size]
    mode = {2: "bilinear", 3: "trilinear"}[len(size)]
    down = functional.interpolate(image[None], small, mode="nearest-exact")
    return functional.interpolate(down, size, mode=mode, align_corners=False)[0]


def _blurred(image: Tensor, sigma: float) -> Tensor:
    """(C, ...) image convolved with a Gaussian along each axis, its border continued."""
    x = np.arange(_REACH + 1)
    kernel = np.exp(-0.5 * (x / sigma) ** 2)
    weights = kernel / (2 * kernel.sum() - kernel[0])
    for axis in range(1, image.ndim):
        size = image.shape[axis]
        at = np.arange(size)
        mixed = np.zeros((size, size), np.float32)
        for k in range(-_REACH, _REACH + 1):
            np.add.at(mixed, (at, (at + k).clip(0, size - 1)), weights[abs(k)])
        image = _along(image, axis, torch.from_numpy(mixed).to(image))
    return image


def _along(image: Tensor, axis: int, matrix: Tensor) -> Tensor:
    """Image with a matrix applied along an axis: of a patch, faster than a sum of its shifts."""
    sides = image.shape
    if axis == image.ndim - 1:
        return image @ matrix.T
    lines = image.reshape(prod(sides[:axis]), sides[axis], -1)
    return (matrix @ lines).reshape(sides)


def _voxels(images: Tensor) -> tuple[int, ...]:
    return tuple(range(2, images.ndim))
