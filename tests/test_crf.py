"""The dense CRF: the lattice against the exact Gaussian, mean field against the exact one."""

import numpy as np
import pytest
import torch
from torch import Tensor

from medseg import Grid, Image, Labels
from medseg.crf import DenseCRF
from medseg.crf.lattice import CompiledLattice, TorchLattice
from medseg.crf.mean_field import Kernel, mean_field
from medseg.smoothing import gaussian

WAYS = [CompiledLattice, TorchLattice]
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.cuda)]
SPACING = (1.0, 2.0, 3.0)


def exact(features: Tensor) -> Tensor:
    """Gaussian of the distances of all pairs."""
    return (-torch.cdist(features, features).square() / 2).exp().float()


def scene(size: int = 14, seed: int = 0, noise: float = 1.0) -> tuple[Tensor, Tensor, Tensor]:
    """Ball of one look in two channels, what it is, and noisy probabilities of two classes."""
    rng = np.random.default_rng(seed)
    place = np.indices((size,) * 3) - (size - 1) / 2
    truth = (place**2).sum(0) < (size / 3) ** 2
    image = rng.normal(0, 0.1, (2, *truth.shape)) + truth
    logits = rng.normal(0, noise, (2, *truth.shape)) + np.stack([~truth, truth])
    return (
        torch.tensor(image, dtype=torch.float32),
        torch.from_numpy(truth),
        torch.tensor(logits).softmax(0).float(),
    )


def features_of(image: Tensor, mm: float = 4.0, look: float = 0.3) -> Tensor:
    places = torch.ones_like(image[0]).nonzero().double() / mm
    return torch.cat([places, image.flatten(1).T.double() / look], dim=1)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("channels", [0, 1, 2])
def test_the_normalised_filter_is_the_gaussian_within_three_per_cent(
    way: type, channels: int
) -> None:
    image, _, noisy = scene()
    features, values = features_of(image)[:, : 3 + channels], noisy.flatten(1).T
    pairs = exact(features)
    wanted = Kernel.of(1.0, lambda v: pairs @ v, features).message(values)
    found = Kernel.of(1.0, way.of(features).filter, features).message(values)
    assert (found - wanted).norm() / wanted.norm() < 0.03


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("d", [2, 3, 5])
def test_torch_filters_as_the_compiled_loops_do(d: int, device: str) -> None:
    rng = np.random.default_rng(d)
    features = torch.from_numpy(rng.normal(size=(3000, d)) * 3)
    values = torch.from_numpy(rng.random((3000, 6))).float()
    wanted = CompiledLattice.of(features).filter(values)
    found = TorchLattice.of(features.to(device)).filter(values.to(device)).cpu()
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


def test_torch_alone_refines_as_the_compiled_loops_do(monkeypatch: pytest.MonkeyPatch) -> None:
    image, _, noisy = scene()
    crf = DenseCRF(smooth_mm=2, alike_mm=5, intensity=0.3)
    wanted = crf.run(noisy, image, SPACING, None)
    monkeypatch.setattr("medseg.crf.mean_field.lattice_of", TorchLattice.of)
    found = crf.run(noisy, image, SPACING, None)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize("way", WAYS)
def test_the_order_of_the_points_plays_no_part(way: type) -> None:
    rng = np.random.default_rng(0)
    features = torch.from_numpy(rng.normal(size=(500, 4)))
    values = torch.from_numpy(rng.random((500, 2))).float()
    order = torch.from_numpy(rng.permutation(500))
    wanted = way.of(features).filter(values)[order]
    torch.testing.assert_close(way.of(features[order]).filter(values[order]), wanted)


@pytest.mark.parametrize("way", WAYS)
def test_a_far_away_cluster_hears_nothing(way: type) -> None:
    near = torch.from_numpy(np.random.default_rng(0).normal(size=(50, 3)))
    values = torch.cat([torch.zeros(50, 1), torch.ones(50, 1)])
    found = way.of(torch.cat([near, near + 100])).filter(values)
    assert found[:50].abs().max() == 0
    assert found[50:].min() > 0


@pytest.mark.parametrize("way", WAYS)
def test_more_lattice_points_than_places_in_the_first_table(way: type) -> None:
    features = torch.arange(6000, dtype=torch.float64)[:, None] * torch.tensor([50.0, 70.0])
    values = torch.rand(6000, 1, generator=torch.manual_seed(0))
    lattice = way.of(features)
    assert lattice.neighbours.shape[2] > 2 * 6000
    ratio = lattice.filter(values) / values
    assert ratio.min() > 0.2  # of itself alone, by its place in its simplex
    assert ratio.max() <= 1.001


@pytest.mark.parametrize("iterations", [1, 5])
@pytest.mark.parametrize("look", [0.2, 0.6])
def test_labels_are_those_of_the_exact_mean_field(iterations: int, look: float) -> None:
    image, _, noisy = scene()
    features = features_of(image, look=look)
    given = noisy.flatten(1).T.contiguous()
    lattice = Kernel.gaussian(3.0, features)
    pairs = exact(features)
    found = mean_field(given, [lattice], iterations)
    wanted = mean_field(given, [Kernel.of(3.0, lambda v: pairs @ v, features)], iterations)
    assert (found.argmax(1) == wanted.argmax(1)).float().mean() >= 0.995
    assert (found - wanted).abs().mean() < 1e-2


def test_one_step_by_hand() -> None:
    # Two points at a distance of 1: the Gaussian is 1 and e = exp(-1/2), the norms 1 / (1 + e).
    features = torch.tensor([[0.0], [1.0]], dtype=torch.float64)
    e = np.exp(-0.5)
    kernel = Kernel.of(2.0, lambda v: exact(features) @ v, features)
    found = mean_field(torch.tensor([[0.8, 0.2], [0.4, 0.6]]), [kernel], 1)
    first = 2 / (1 + e) * (np.array([0.8, 0.2]) + e * np.array([0.4, 0.6]))
    energy = np.log([0.8, 0.2]) + first
    np.testing.assert_allclose(found[0], np.exp(energy) / np.exp(energy).sum(), rtol=1e-5)


def test_a_smooth_kernel_alone_is_a_gaussian_of_the_grid() -> None:
    image, _, noisy = scene(24)
    kernel = Kernel.gaussian(1.0, torch.ones_like(image[0]).nonzero().double() / 2)
    ones = torch.ones_like(noisy[:1])
    norm = gaussian(ones, 2.0, (1, 1, 1)).rsqrt()
    inner = (slice(None), *(slice(8, -8),) * 3)  # at the border, the two go on differently
    wanted = (norm * gaussian(norm * noisy, 2.0, (1, 1, 1)))[inner]
    found = kernel.message(noisy.flatten(1).T).T.reshape(noisy.shape)[inner]
    assert (found - wanted).norm() / wanted.norm() < 0.03


@pytest.mark.parametrize("device", DEVICES)
def test_a_ball_comes_out_of_the_noise(device: str) -> None:
    image, truth, noisy = scene()
    crf = DenseCRF(smooth_mm=1.5, alike_mm=5, intensity=0.5)
    found = crf.run(*(part.to(device) for part in (noisy, image)), (1.0,) * 3, None).cpu()
    assert (noisy.argmax(0) == truth).float().mean() < 0.8
    assert (found.argmax(0) == truth).float().mean() > 0.97


def test_probabilities_add_up_to_one() -> None:
    image, _, noisy = scene()
    for mode in ("multiclass", "whole-foreground"):
        found = DenseCRF(mode=mode, device="cpu").run(noisy, image, SPACING, None)
        torch.testing.assert_close(found.sum(0), torch.ones_like(found[0]))


@pytest.mark.parametrize("nothing", [{"smooth_weight": 0, "alike_weight": 0}, {"iterations": 0}])
def test_without_kernels_or_rounds_nothing_changes(nothing: dict[str, int]) -> None:
    image, _, noisy = scene()
    found = DenseCRF(**nothing).run(noisy, image, SPACING, None)
    torch.testing.assert_close(found, noisy)


def test_an_even_image_leaves_the_places_alone() -> None:
    image, _, noisy = scene()
    even = DenseCRF(smooth_weight=0, alike_mm=3, alike_weight=2)
    near = DenseCRF(smooth_mm=3, smooth_weight=2, alike_weight=0)
    found = even.run(noisy, torch.full_like(image, 7.0), SPACING, None)
    wanted = near.run(noisy, image, SPACING, None)
    # The lattices have other dimensions, and so other errors.
    assert (found - wanted).abs().mean() < 0.01


def test_whole_foreground_keeps_the_shares_of_the_labels() -> None:
    image, truth, noisy = scene()
    share = torch.rand(truth.shape, generator=torch.manual_seed(0))
    three = torch.stack([noisy[0], noisy[1] * share, noisy[1] * (1 - share)])
    found = DenseCRF(mode="whole-foreground").run(three, image, SPACING, None)
    torch.testing.assert_close(found[1] / (found[1] + found[2]), share)
    two = DenseCRF().run(noisy, image, SPACING, None)
    torch.testing.assert_close(found[0], two[0])


def test_outside_the_mask_nothing_changes_or_matters() -> None:
    image, truth, noisy = scene()
    mask = torch.zeros_like(truth)
    mask[2:9, 3:12, 1:10] = True
    crf = DenseCRF()
    found = crf.run(noisy, image, SPACING, mask)
    torch.testing.assert_close(found[:, ~mask], noisy[:, ~mask])
    elsewhere = torch.where(mask, image, 1e3)
    torch.testing.assert_close(crf.run(noisy, elsewhere, SPACING, mask), found)
    box = (slice(None), slice(2, 9), slice(3, 12), slice(1, 10))
    alone = crf.run(noisy[box], image[box], SPACING, None)
    assert (alone - found[box]).abs().mean() < 0.01  # the lattice lies elsewhere


def test_millimetres_count_and_not_voxels() -> None:
    image, _, noisy = scene()
    crf, twice = DenseCRF(smooth_mm=2, alike_mm=4), DenseCRF(smooth_mm=4, alike_mm=8)
    wanted = crf.run(noisy, image, (1, 2, 3), None)
    torch.testing.assert_close(twice.run(noisy, image, (2, 4, 6), None), wanted)


def test_the_unit_of_intensities_plays_no_part() -> None:
    image, _, noisy = scene()
    wanted = DenseCRF().run(noisy, image, SPACING, None)
    found = DenseCRF().run(noisy, image * 1000 + 300, SPACING, None)
    assert (found - wanted).abs().mean() < 1e-3


def test_refine_keeps_grid_names_and_orientation() -> None:
    image, _, noisy = scene()
    affine = np.diag([1.0, 2.0, 3.0, 1.0])
    grid = Grid(tuple(noisy.shape[1:]), affine)
    names = ("background", "ball")
    wanted = DenseCRF().refine(Image(noisy.numpy(), grid, names), Image(image.numpy(), grid))
    flipped = Grid(grid.shape, affine @ np.diag([-1.0, 1, 1, 1]))
    turned = [Image(part.numpy()[:, ::-1], flipped) for part in (noisy, image)]
    found = DenseCRF().refine(*turned)
    assert wanted.grid is grid
    assert wanted.names == names
    np.testing.assert_allclose(found.array[:, ::-1], wanted.array, atol=1e-6)


def test_a_slice_of_a_volume_is_flat() -> None:
    image, _, noisy = scene()
    flat = DenseCRF().run(noisy[:, 5], image[:, 5], (1.0, 2.0), None)
    grid = Grid((1, *noisy.shape[2:]), np.diag([9.0, 1, 2, 1]))
    parts = [Image(part[:, 5:6].numpy(), grid) for part in (noisy, image)]
    np.testing.assert_allclose(DenseCRF().refine(*parts).array[:, 0], flat.numpy(), atol=1e-6)


def test_what_it_refuses() -> None:
    image, _, noisy = scene()
    grid = Grid(tuple(noisy.shape[1:]), np.eye(4))
    probabilities, whole = Image(noisy.numpy(), grid), Image(image.numpy(), grid)
    with pytest.raises(ValueError, match="one for each of 2 channels"):
        DenseCRF(intensity=(0.1, 0.1, 0.1)).refine(probabilities, whole)
    with pytest.raises(ValueError, match="intensity is a number above 0"):
        DenseCRF(intensity=0)
    with pytest.raises(ValueError, match="smooth_mm"):
        DenseCRF(smooth_mm=-1)
    empty = Labels(np.zeros(grid.shape, np.uint8), grid)
    with pytest.raises(ValueError, match="the mask is empty"):
        DenseCRF().refine(probabilities, whole, empty)
    with pytest.raises(ValueError, match="probabilities"):
        DenseCRF().refine(probabilities, Image(image.numpy()[:, 1:], Grid((13, 14, 14), np.eye(4))))
