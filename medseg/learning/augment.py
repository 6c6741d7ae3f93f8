"""Change the intensities of a batch as another scanner or another day would.

Each function takes (B, C, ...) normalised images on any device and a generator, and gives
images of the same shape; it changes some of the samples and leaves the others alone.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

Augmentation = Callable[[Tensor, np.random.Generator], Tensor]
_TINY = 1e-6


def brightness(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Add a constant to each channel, in 30 % of the samples."""
    return images + _per_channel(images, rng, 0.3, lambda n: rng.normal(0, 0.15, n), rest=0.0)


def contrast(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Stretch each channel about its mean by 0.7 to 1.4, in 30 % of the samples."""
    factor = _per_channel(images, rng, 0.3, lambda n: np.exp(rng.uniform(-0.35, 0.35, n)), rest=1.0)
    mean = images.mean(_voxels(images), keepdim=True)
    return torch.lerp(mean, images, factor)


def shift_and_scale(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Add to each channel some N(0, 0.05) and multiply it by some N(1, 0.01), in all samples.

    References
    ----------
    K. Kamnitsas et al., "Efficient multi-scale 3D CNN with fully connected CRF for accurate
    brain lesion segmentation", Medical Image Analysis, 2017. doi:10.1016/j.media.2016.10.004
    """
    shift = _per_channel(images, rng, 1.0, lambda n: rng.normal(0, 0.05, n), rest=0.0)
    factor = _per_channel(images, rng, 1.0, lambda n: rng.normal(1, 0.01, n), rest=1.0)
    return (images + shift) * factor


def gamma(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Raise to a power of 0.7 to 1.5, mean and deviation kept, in 30 % of the samples."""
    power = _per_channel(images, rng, 0.3, lambda n: np.exp(rng.uniform(-0.35, 0.4, n)), rest=1.0)
    changed = power.flatten(1).ne(1).any(1)
    if not changed.any():
        return images
    some, axes = images[changed], _voxels(images)
    low = some.amin(axes, keepdim=True)
    span = (some.amax(axes, keepdim=True) - low).clamp_min(_TINY)
    bent = ((some - low) / span) ** power[changed]
    deviation, mean = torch.std_mean(some, axes, keepdim=True)
    bent_deviation, bent_mean = torch.std_mean(bent, axes, keepdim=True)
    result = images.clone()
    result[changed] = (bent - bent_mean) / bent_deviation.clamp_min(_TINY) * deviation + mean
    return result


def noise(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Add Gaussian noise of a deviation up to 0.3, in 20 % of the samples."""
    deviation = _per_channel(images, rng, 0.2, lambda n: rng.uniform(0, 0.3, n), rest=0.0)
    generator = torch.Generator(images.device).manual_seed(int(rng.integers(2**62)))
    if not deviation.any():
        return images
    field = torch.empty_like(images).normal_(generator=generator)
    return torch.addcmul(images, field, deviation)


def blur(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Blur with a Gaussian of 0.5 to 1 voxel, in 10 % of the samples."""
    return _some(images, rng, 0.1, lambda one: _blurred(one, rng.uniform(0.5, 1.0)))


def low_resolution(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Sample at 0.5 to 1 of the resolution and interpolate back, in 10 % of the samples."""

    def coarser(one: Tensor) -> Tensor:
        size = one.shape[1:]
        zoom = rng.uniform(0.5, 1.0)
        small = [max(round(n * zoom), 1) for n in size]
        mode = {2: "bilinear", 3: "trilinear"}[len(size)]
        down = functional.interpolate(one[None], small, mode="nearest-exact")
        return functional.interpolate(down, size, mode=mode, align_corners=False)[0]

    return _some(images, rng, 0.1, coarser)


def histogram_matching(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Give each sample the histograms of one that is drawn from the batch, perhaps its own.

    Equal intensities stay equal. A batch of one stays as it is: there is none to match.

    References
    ----------
    F. Milletari, N. Navab, S.-A. Ahmadi, "V-Net: fully convolutional neural networks for
    volumetric medical image segmentation", 3DV 2016, doi:10.1109/3DV.2016.79
    """
    values = images.flatten(2).contiguous()
    ordered = values.sort().values
    wanted = ordered[rng.integers(len(images), size=len(images))]
    not_above = torch.searchsorted(ordered, values, right=True)
    return wanted.gather(2, not_above - 1).reshape(images.shape)


def _per_channel(
    images: Tensor,
    rng: np.random.Generator,
    chance: float,
    draw: Callable[[tuple[int, int]], np.ndarray],
    *,
    rest: float,
) -> Tensor:
    """(B, C, 1, ...) numbers, `rest` in the samples that are left alone."""
    size = (images.shape[0], images.shape[1])
    chosen = rng.random((size[0], 1)) < chance
    values = np.where(chosen, draw(size), rest)
    shape = (*size, *[1] * (images.ndim - 2))
    return torch.tensor(values, dtype=images.dtype, device=images.device).reshape(shape)


def _some(
    images: Tensor, rng: np.random.Generator, chance: float, change: Callable[[Tensor], Tensor]
) -> Tensor:
    chosen = np.flatnonzero(rng.random(len(images)) < chance).tolist()
    if not chosen:
        return images
    result = images.clone()
    for k in chosen:
        result[k] = change(images[k])
    return result


def _blurred(image: Tensor, sigma: float) -> Tensor:
    """(C, ...) image convolved with a Gaussian along each axis, its border continued."""
    x = torch.arange(-3, 4, device=image.device, dtype=image.dtype)
    kernel = torch.exp(-0.5 * (x / sigma) ** 2)
    kernel = kernel / kernel.sum()
    for axis in range(1, image.ndim):
        lines = image.movedim(axis, -1)
        flat = functional.pad(lines.reshape(-1, 1, lines.shape[-1]), (3, 3), mode="replicate")
        smooth = functional.conv1d(flat, kernel[None, None])
        image = smooth.reshape(lines.shape).movedim(-1, axis)
    return image


def _voxels(images: Tensor) -> tuple[int, ...]:
    return tuple(range(2, images.ndim))
