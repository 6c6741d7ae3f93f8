"""Steepness, grey reconstruction and valleys: analytic cases, scikit-image, and both devices."""

import math

import numpy as np
import pytest
import torch

from medseg.relief import gradient_magnitude, reconstruction, reconstruction_in_torch, valleys

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.cuda)]
WAYS = [reconstruction, reconstruction_in_torch]
SHAPES = [(40,), (23, 31), (9, 12, 11), (1, 8, 1)]


def noise(shape: tuple[int, ...], seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


# Gradient magnitude


@pytest.mark.parametrize("scale", [0.0, 1.5])
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (1.0, 2.0, 3.0)], ids=str)
def test_a_ramp_is_as_steep_as_it_rises_per_mm(spacing: tuple[float, ...], scale: float) -> None:
    slopes = np.array([3.0, -4.0, 12.0])
    places = np.indices((24, 20, 18)) * np.reshape(spacing, (3, 1, 1, 1))
    ramp = torch.from_numpy(np.tensordot(slopes, places, 1)[None].astype(np.float32))
    found = gradient_magnitude(ramp, scale, spacing)
    torch.testing.assert_close(found[8:-8, 8:-8, 8:-8], torch.full((8, 4, 2), 13.0))


@pytest.mark.parametrize("device", DEVICES)
def test_a_smoothed_edge_is_steepest_by_the_height_of_the_gaussian(device: str) -> None:
    spacing, sigma = 0.25, 2.0
    edge = torch.zeros((1, 201), device=device)
    edge[:, 101:] = 100
    found = gradient_magnitude(edge, sigma, (spacing,))
    assert float(found.max()) == pytest.approx(100 / (sigma * math.sqrt(2 * math.pi)), rel=0.005)


def test_channels_add_up_as_lengths_do() -> None:
    one = noise((1, 12, 13))
    two = torch.cat([3 * one, -4 * one])
    expected = 5 * gradient_magnitude(one, 1.0, (1.0, 2.0))
    torch.testing.assert_close(gradient_magnitude(two, 1.0, (1.0, 2.0)), expected)


def test_a_mask_of_everything_changes_nothing() -> None:
    image = noise((2, 9, 10, 11))
    everywhere = torch.ones((9, 10, 11), dtype=torch.bool)
    torch.testing.assert_close(
        gradient_magnitude(image, 1.2, (1, 2, 3), everywhere),
        gradient_magnitude(image, 1.2, (1, 2, 3)),
    )


def test_what_lies_outside_the_mask_is_not_seen() -> None:
    image, mask = noise((1, 12, 13)), noise((12, 13), 1) > -0.5
    other = image.where(mask, 1e6)
    first, second = (gradient_magnitude(each, 1.5, (1, 2), mask) for each in (image, other))
    torch.testing.assert_close(first, second, rtol=0, atol=0)
    assert not first[~mask].any()


def test_beside_the_mask_a_ramp_is_as_steep_as_elsewhere() -> None:
    ramp = 2.0 * torch.arange(10.0)[None]
    mask = torch.ones(10, dtype=torch.bool)
    mask[4:6] = False
    found = gradient_magnitude(ramp, 0.0, (0.5,), mask)
    torch.testing.assert_close(found, torch.where(mask, 4.0, 0.0))


def test_a_voxel_alone_is_flat() -> None:
    assert gradient_magnitude(torch.ones((1, 1)), 1.0, (1.0,)).tolist() == [0]


# Reconstruction


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_reconstruction_is_that_of_scikit_image(
    shape: tuple[int, ...], way: type, device: str
) -> None:
    from skimage.morphology import reconstruction as theirs

    ceiling = noise(shape)
    values = ceiling - noise(shape, 1).abs()
    cross = np.zeros((3,) * len(shape))
    for axis in range(len(shape)):
        cross[tuple(slice(None) if a == axis else 1 for a in range(len(shape)))] = 1
    wanted = theirs(values.numpy(), ceiling.numpy(), footprint=cross)
    found = way(values.to(device), ceiling.to(device))
    np.testing.assert_array_equal(found.cpu(), wanted.astype(np.float32))


@pytest.mark.parametrize("way", WAYS)
def test_a_value_goes_along_a_winding_valley_and_over_no_wall(way: type) -> None:
    ceiling = torch.full((15, 16), 5.0)
    ceiling[1::4, :-1] = ceiling[3::4, 1:] = 2
    values = torch.zeros((15, 16))
    values[0, 0] = 9
    torch.testing.assert_close(way(values, ceiling), ceiling)
    values[0, 0] = 1
    torch.testing.assert_close(way(values, ceiling), torch.ones((15, 16)))


@pytest.mark.parametrize("way", WAYS)
def test_a_ceiling_of_minus_infinity_lets_nothing_through(way: type) -> None:
    values = torch.tensor([3.0, 0, 0, 0])
    ceiling = torch.tensor([3.0, 3, -math.inf, 3])
    assert way(values, ceiling).tolist() == [3, 3, -math.inf, 0]


def test_values_and_ceiling_of_two_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"one shape, got \(3,\) and \(4,\)"):
        reconstruction(torch.zeros(3), torch.zeros(4))


# Valleys


@pytest.mark.parametrize("device", DEVICES)
def test_only_valleys_that_are_deep_enough_count(device: str) -> None:
    relief = torch.tensor([9.0, 0, 5, 3, 4, 4, 1, 1, 9], device=device)
    numbered = {depth: valleys(relief, depth)[0].tolist() for depth in (0.5, 2, 5)}
    assert numbered == {
        0.5: [0, 1, 0, 2, 0, 0, 3, 3, 0],
        2: [0, 1, 0, 0, 0, 0, 2, 2, 0],
        5: [0, 1, 0, 0, 0, 0, 0, 0, 0],
    }


def test_two_bottoms_that_are_as_low_are_one_valley_if_what_parts_them_is_low() -> None:
    relief = torch.tensor([9.0, 0, 2, 0, 9])
    assert valleys(relief, 3)[0].tolist() == [0, 1, 1, 1, 0]
    assert valleys(relief, 1)[0].tolist() == [0, 1, 0, 2, 0]


@pytest.mark.parametrize("depth", [0.5, 8.5, 30.5])
def test_valleys_are_the_minima_of_the_h_minima_transform(depth: float) -> None:
    from scipy import ndimage
    from skimage.morphology import local_minima
    from skimage.morphology import reconstruction as theirs

    cross = ndimage.generate_binary_structure(3, 1)
    relief = np.random.default_rng(0).integers(0, 50, (20, 30, 10)).astype(np.float32)
    filled = theirs(relief + depth, relief, method="erosion", footprint=cross)
    wanted, count = ndimage.label(local_minima(filled, footprint=cross))
    numbered, found = valleys(torch.from_numpy(relief), depth)
    assert found == count
    np.testing.assert_array_equal(numbered, wanted)


def test_ways_to_lower_places_stay_inside_the_mask() -> None:
    relief = torch.tensor([0.0, 5, 3, 5, 9])
    mask = torch.tensor([True, False, True, True, True])
    assert valleys(relief, 1, mask)[0].tolist() == [1, 0, 2, 0, 0]
    assert valleys(relief, 4, mask)[1] == 2
    assert valleys(relief, 4)[0].tolist() == [1, 0, 0, 0, 0]


def test_a_flat_relief_is_one_valley() -> None:
    numbered, count = valleys(torch.zeros((3, 4)), 1.0)
    assert count == 1
    assert (numbered == 1).all()


@pytest.mark.parametrize("depth", [0, -1, math.nan, math.inf])
def test_depths_that_are_none_are_refused(depth: float) -> None:
    with pytest.raises(ValueError, match="depth of a valley is above 0"):
        valleys(torch.zeros(3), depth)


def test_a_depth_that_float32_cannot_add_is_refused() -> None:
    with pytest.raises(ValueError, match="lost beside heights of up to 2e"):
        valleys(torch.tensor([1e9, 2e9]), 1.0)
