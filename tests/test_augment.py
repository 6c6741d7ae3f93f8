"""Augmentations of intensities: what they change, and what they leave alone."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from medseg.intensity import match_histogram
from medseg.learning import AUGMENTATIONS, augment
from medseg.learning.augment import Augmentation

pytestmark = pytest.mark.usefixtures("one_thread")
NAMES = (
    *("brightness", "contrast", "gamma", "noise", "blur", "low-resolution"),
    *("histogram-matching", "shift-and-scale"),
)
SAMPLES = 400


def some_images(ndim: int = 2, samples: int = SAMPLES, side: int = 8) -> Tensor:
    shape = (samples, 2, *(side,) * ndim)
    return torch.randn(shape, generator=torch.manual_seed(0))


def augmented(name: str, images: Tensor, seed: int = 0) -> Tensor:
    function: Augmentation = AUGMENTATIONS[name]
    return function(images, np.random.default_rng(seed).spawn(len(images)))


def changed(images: Tensor, found: Tensor) -> Tensor:
    """Which samples are not what they were; contrast multiplies all, so by a hair."""
    return ((images - found).abs() > 1e-5).flatten(1).any(1)


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_each_function_of_this_file_is_in_the_registry_and_tested() -> None:
    here = {n for n in AUGMENTATIONS if AUGMENTATIONS[n].__module__ == augment.__name__}
    assert here == set(NAMES)


@pytest.mark.parametrize("ndim", [2, 3])
def test_shape_and_dtype_stay_and_all_is_finite(name: str, ndim: int) -> None:
    images = some_images(ndim, samples=40)
    found = augmented(name, images)
    assert found.shape == images.shape
    assert found.dtype == images.dtype
    assert found.isfinite().all()


def test_the_input_is_left_alone(name: str) -> None:
    images = some_images()
    before = images.clone()
    augmented(name, images)
    assert torch.equal(images, before)


def test_same_rng_gives_the_same_and_another_another(name: str) -> None:
    images = some_images()
    assert torch.equal(augmented(name, images), augmented(name, images))
    assert not torch.equal(augmented(name, images), augmented(name, images, seed=1))


def test_the_random_state_of_torch_plays_no_part(name: str) -> None:
    images = some_images()
    before = torch.get_rng_state()
    augmented(name, images)
    assert torch.equal(torch.get_rng_state(), before)


def test_some_samples_are_changed_and_the_others_left_alone(name: str) -> None:
    rare = {"noise": 0.2, "blur": 0.1, "low-resolution": 0.1}
    most = {"histogram-matching": 1 - 1 / SAMPLES, "shift-and-scale": 1.0}
    share = {**rare, **most}.get(name, 0.3)
    found = changed(some_images(), augmented(name, some_images()))
    assert float(found.float().mean()) == pytest.approx(share, abs=0.07)


def test_a_constant_image_stays_finite(name: str) -> None:
    assert augmented(name, torch.full((SAMPLES, 2, 4, 4), 3.0)).isfinite().all()


@pytest.mark.parametrize("shape", [(1, 5), (1, 1, 4), (2, 1, 3)], ids=str)
def test_thin_images_come_back(name: str, shape: tuple[int, ...]) -> None:
    images = torch.randn(60, 1, *shape, generator=torch.manual_seed(0))
    found = augmented(name, images)
    assert found.shape == images.shape
    assert found.isfinite().all()


# Each on its own


def test_brightness_adds_a_constant_to_each_channel() -> None:
    added = augmented("brightness", some_images()) - some_images()
    assert float(added.flatten(2).std(2).max()) < 1e-6
    per_channel = added[..., 0, 0]
    assert (per_channel[:, 0] != per_channel[:, 1]).any()
    assert float(per_channel[per_channel != 0].std()) == pytest.approx(0.15, rel=0.2)


def test_contrast_keeps_the_mean_and_multiplies_the_deviation() -> None:
    images, found = some_images(), augmented("contrast", some_images())
    torch.testing.assert_close(found.mean((2, 3)), images.mean((2, 3)), atol=1e-5, rtol=0)
    ratio = found.std((2, 3)) / images.std((2, 3))
    assert 0.7 < float(ratio.min()) < 0.8
    assert 1.3 < float(ratio.max()) < 1.42


def test_a_shift_comes_before_a_factor_drawn_for_each_channel_of_all_samples() -> None:
    dark, bright = (torch.full((SAMPLES, 2, 2, 2), value) for value in (0.0, 1.0))
    zero, one = (augmented("shift-and-scale", images)[..., 0, 0] for images in (dark, bright))
    factor = one - zero
    assert factor.mean().item() == pytest.approx(1, abs=0.002)
    assert factor.std().item() == pytest.approx(0.01, rel=0.1)
    assert (zero / factor).std().item() == pytest.approx(0.05, rel=0.1)
    assert (factor[:, 0] != factor[:, 1]).all()


def test_gamma_keeps_mean_deviation_and_order() -> None:
    images, found = some_images().flatten(2), augmented("gamma", some_images()).flatten(2)
    torch.testing.assert_close(found.mean(2), images.mean(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(found.std(2), images.std(2), atol=1e-4, rtol=1e-4)
    ranked = found.gather(2, images.argsort(2))
    assert (ranked.diff(dim=2) >= -1e-6).all()


def test_noise_is_of_mean_zero_and_new_in_every_voxel() -> None:
    images = torch.zeros(SAMPLES, 1, 24, 24)
    found = augmented("noise", images)
    noisy = found[changed(images, found)]
    assert float(noisy.mean()) == pytest.approx(0, abs=0.01)
    assert float(noisy.std((1, 2, 3)).max()) < 0.33
    assert len(noisy[0].unique()) > 500


@pytest.mark.parametrize("ndim", [2, 3])
def test_blur_equals_a_plain_convolution(ndim: int) -> None:
    image = some_images(ndim, samples=1)[0]
    found = augment._blurred(image, 0.8)
    x = torch.arange(-3.0, 4)
    line = torch.exp(-0.5 * (x / 0.8) ** 2)
    kernel = line / line.sum()
    whole = kernel
    for _ in range(ndim - 1):
        whole = whole[..., None] * kernel
    padded = functional.pad(image[:, None], (3,) * 2 * ndim, mode="replicate")
    convolve: Callable[..., Tensor] = {2: functional.conv2d, 3: functional.conv3d}[ndim]
    wanted = convolve(padded, whole[None, None])[:, 0]
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)


def test_blur_smooths() -> None:
    images, found = some_images(), augmented("blur", some_images())
    some = changed(images, found)
    assert (found[some].std((1, 2, 3)) < 0.8 * images[some].std((1, 2, 3))).all()


def test_low_resolution_stays_between_the_extremes() -> None:
    images, found = some_images(side=12), augmented("low-resolution", some_images(side=12))
    assert (found.amax((2, 3)) <= images.amax((2, 3)) + 1e-5).all()
    assert (found.amin((2, 3)) >= images.amin((2, 3)) - 1e-5).all()
    some = changed(images, found)
    assert (found[some].std((1, 2, 3)) < images[some].std((1, 2, 3))).all()


def test_matched_histograms_are_those_of_a_sample_of_the_batch() -> None:
    images, found = some_images(), augmented("histogram-matching", some_images())
    given, wanted = (x.flatten(2).sort().values for x in (images, found))
    partners = [int((given == one).all(2).all(1).nonzero()[0, 0]) for one in wanted]
    assert len({*partners}) > SAMPLES / 2
    assert torch.equal(images.flatten(2).argsort(), found.flatten(2).argsort())


def test_histograms_are_matched_as_by_shares_of_not_higher_intensities() -> None:
    # Many equal intensities, and channels last, as a slice of a larger batch is stored.
    images = (some_images(3, samples=2) * 2).round().movedim(1, -1).contiguous().movedim(-1, 1)
    seeds = (k for k in range(20) if np.random.default_rng(k).spawn(2)[0].integers(2) == 1)
    seed = next(seeds)
    found = augmented("histogram-matching", images, seed)[0]
    for channel, other, matched in zip(images[0], images[1], found, strict=True):
        wanted = match_histogram(channel.numpy(), other.numpy())
        # That goes between two intensities where their shares have no equal.
        assert np.abs(matched.numpy() - wanted).max() < 1
        assert len(matched.unique()) <= len(channel.unique())


@pytest.mark.cuda
def test_cuda_gives_what_the_cpu_gives(name: str) -> None:
    if name == "noise":
        pytest.skip("generators of CPU and CUDA draw other numbers")
    found = augmented(name, some_images().cuda()).cpu()
    torch.testing.assert_close(found, augmented(name, some_images()), atol=1e-4, rtol=1e-4)
