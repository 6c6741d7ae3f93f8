"""Region growing by intervals and by confidence: by hand, against SimpleITK, and in torch."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage

from medseg import Grid, Image, Labels, method
from medseg.classical.growing import Rule, spread, spread_in_torch

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.cuda)]


def image_of(values: object) -> Image:
    return Image.from_array(np.asarray(values, dtype=np.float32))


def grow(name: str, values: object, seeds: object, mask: object = None, **parameters: Any) -> Any:
    image = image_of(values)
    known = Labels(np.asarray(seeds, np.int32), image.grid)
    inside = None if mask is None else Labels(np.asarray(mask, np.uint8), image.grid)
    return method(name, **parameters).segment(image, known, inside).array.tolist()


def blobs(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    values = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 1.5)
    return (values / values.std()).astype(np.float32)


# Connected threshold


def test_both_ends_of_the_interval_belong_to_it() -> None:
    values = [[1, 2, 3, 2, 4, 2]]
    seeds = [[0, 0, 1, 0, 0, 0]]
    assert grow("connected-threshold", values, seeds, lower=2, upper=3) == [[0, 1, 1, 1, 0, 0]]
    assert grow("connected-threshold", values, seeds, upper=3) == [[1, 1, 1, 1, 0, 0]]
    assert grow("connected-threshold", values, seeds, lower=2) == [[0, 1, 1, 1, 1, 1]]


def test_a_voxel_gets_the_label_with_the_fewest_steps_to_it() -> None:
    flat = np.zeros((1, 9))
    seeds = [[7, 0, 0, 0, 0, 0, 0, 0, -1]]
    # Four steps from both: background comes last.
    assert grow("connected-threshold", flat, seeds, upper=0) == [[7] * 5 + [0] * 4]
    seeds = [[7, 0, 0, 0, 0, 0, 0, 0, 3]]
    assert grow("connected-threshold", flat, seeds, upper=0) == [[7] * 4 + [3] * 5]


def test_a_seed_keeps_its_label_outside_of_the_interval_and_grows_from_there() -> None:
    assert grow("connected-threshold", [[1, 9, 1, 9]], [[0, 4, 0, 0]], upper=5) == [[4, 4, 4, 0]]


def test_the_mask_is_a_wall() -> None:
    walls = [[1, 1, 0, 1]]
    found = grow("connected-threshold", np.zeros((1, 4)), [[2, 0, 0, 0]], walls, upper=0)
    assert found == [[2, 2, 0, 0]]


@pytest.mark.parametrize("name", ["connected-threshold", "neighbourhood-connected"])
@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({}, "takes a lower end, an upper end, or both; got neither"),
        ({"lower": 3, "upper": 2}, "takes lower <= upper, got lower=3, upper=2"),
    ],
)
def test_intervals_that_are_none_are_refused(
    name: str, parameters: dict[str, float], message: str
) -> None:
    with pytest.raises(ValueError, match=f"{name} {message}"):
        method(name, **parameters)


# Neighbourhood-connected


def test_a_bridge_thinner_than_the_box_is_not_crossed() -> None:
    values = np.zeros((7, 11))
    values[:, 5] = 9
    values[3, 5] = 0
    seeds = np.zeros((7, 11), int)
    seeds[3, 1] = 1
    thin, wide = (
        np.array(grow("neighbourhood-connected", values, seeds, upper=5, radius=radius))
        for radius in (0.5, 1.0)
    )
    assert thin[:, 6:].any()
    assert not wide[:, 6:].any()
    # The box may reach beyond the border of the image, but not over that of the region.
    np.testing.assert_array_equal(wide[:, :4], 1)
    assert not wide[:, 4].any()


def test_the_box_is_as_wide_as_the_radius_in_mm() -> None:
    values = np.zeros((1, 1, 9, 9))
    values[0, 0, 4, 4] = 9
    image = Image(values, Grid.from_spacing((1, 9, 9), (1.0, 1.0, 2.0)))
    seeds = np.zeros((1, 9, 9), int)
    seeds[0, 0, 0] = 1
    found = method("neighbourhood-connected", upper=5, radius=2.0).segment(
        image, Labels(seeds, image.grid)
    )
    wanted = np.ones((9, 9), int)
    wanted[2:7, 3:6] = 0
    np.testing.assert_array_equal(found.array[0], wanted)


# Confidence-connected


def test_confidence_is_learned_from_the_region() -> None:
    values = [[10, 11, 10, 13, 10, 11, 30, 10]]
    seeds = [[1, 1, 0, 0, 0, 0, 0, 0]]
    narrow = {"radius": 0, "multiplier": 4}  # 10.5 and 0.7: up to 13.3
    assert grow("confidence-connected", values, seeds, iterations=0, **narrow) == [[1] * 6 + [0, 0]]
    narrow["multiplier"] = 3  # up to 12.6; then 10.3 and 0.6: up to 12.1
    assert grow("confidence-connected", values, seeds, **narrow) == [[1] * 3 + [0] * 5]


@pytest.mark.parametrize("name", ["confidence-connected", "vector-confidence-connected"])
def test_labels_compete_by_likeness_and_do_not_cross_seeds(name: str) -> None:
    values = [[0, 1, 0, 4, 8, 9, 8, 9, 0, 1]]
    seeds = [[5, 5, 0, 0, 0, 0, 2, 2, 0, 0]]
    found = grow(name, values, seeds, radius=0, iterations=0, multiplier=9)
    # 4 is 7 deviations of 0.5 from the mean of label 5, and 9 from that of label 2.
    assert found == [[5, 5, 5, 5, 2, 2, 2, 2, 0, 0]]


@pytest.mark.parametrize("name", ["confidence-connected", "vector-confidence-connected"])
def test_in_a_flat_surrounding_only_the_same_intensity_joins(name: str) -> None:
    assert grow(name, [[7, 7, 7, 7.01, 7]], [[0, 1, 0, 0, 0]]) == [[1, 1, 1, 0, 0]]


# Against SimpleITK


def sitk_images(*channels: np.ndarray) -> Any:
    import SimpleITK as sitk  # noqa: N813

    images = [sitk.GetImageFromArray(channel) for channel in channels]
    return images[0] if len(images) == 1 else sitk.Compose(images)


def points(shape: tuple[int, ...], seed: int) -> tuple[np.ndarray, list[list[int]]]:
    """Up to three seeds, as labels and as SimpleITK takes them."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, np.int32)
    for _ in range(1 + seed % 3):
        labels[tuple(rng.integers(0, shape))] = 1
    return labels, np.argwhere(labels)[:, ::-1].tolist()


@pytest.mark.parametrize("multiplier", [1.0, 2.5])
@pytest.mark.parametrize("radius", [1, 2])
@pytest.mark.parametrize("shape", [(40, 31), (17, 12, 19)], ids=str)
def test_confidence_connected_regions_are_those_of_simpleitk(
    shape: tuple[int, ...], radius: int, multiplier: float
) -> None:
    import SimpleITK as sitk  # noqa: N813

    sizes = []
    for seed in range(8):
        values, (labels, places) = blobs(shape, seed), points(shape, seed)
        iterations = seed % 5
        theirs = sitk.GetArrayFromImage(
            sitk.ConfidenceConnected(sitk_images(values), places, iterations, multiplier, radius, 1)
        )
        ours = method(
            "confidence-connected",
            multiplier=multiplier,
            iterations=iterations,
            radius=float(radius),
        ).segment(image_of(values), Labels(labels, image_of(values).grid))
        if theirs.any():  # SimpleITK finds no deviation in a region of one voxel, and gives up
            np.testing.assert_array_equal(ours.array, theirs)
            sizes.append(int(theirs.sum()))
    assert len(sizes) > 5
    assert max(sizes) > 100  # they did grow


@pytest.mark.parametrize("multiplier", [1.5, 2.5])
@pytest.mark.parametrize("shape", [(40, 31), (17, 12, 19)], ids=str)
def test_vector_confidence_connected_regions_are_those_of_simpleitk(
    shape: tuple[int, ...], multiplier: float
) -> None:
    import SimpleITK as sitk  # noqa: N813

    compared = 0
    for seed in range(8):
        one = blobs(shape, seed)
        two = (one + 0.5 * blobs(shape, seed + 100)).astype(np.float32)
        labels, places = points(shape, seed)
        grid = Grid.from_spacing(shape)
        iterations = seed % 4
        theirs = sitk.GetArrayFromImage(
            sitk.VectorConfidenceConnected(
                sitk_images(one, two), places, iterations, multiplier, 1, 1
            )
        )
        ours = method(
            "vector-confidence-connected", multiplier=multiplier, iterations=iterations
        ).segment(Image(np.stack([one, two]), grid), Labels(labels, grid))
        if theirs[labels == 1].all():  # SimpleITK gives up seeds that are no longer near
            np.testing.assert_array_equal(ours.array, theirs)
            compared += int(theirs.sum() > 20)
    assert compared >= 2


@pytest.mark.parametrize("radius", [0, 1, 2])
def test_connected_intervals_are_those_of_simpleitk(radius: int) -> None:
    import SimpleITK as sitk  # noqa: N813

    values = blobs((20, 24, 18))
    values[:9, :9, :9] = 0  # so that wide boxes fit
    labels = np.zeros(values.shape, np.int32)
    labels[4, 4, 4] = 1
    image, grid = sitk_images(values), Grid.from_spacing(values.shape)
    if radius:
        theirs = sitk.NeighborhoodConnected(image, [[4, 4, 4]], -0.9, 1.2, [radius] * 3, 1)
        chosen = method("neighbourhood-connected", lower=-0.9, upper=1.2, radius=float(radius))
    else:
        theirs = sitk.ConnectedThreshold(image, [[4, 4, 4]], -0.9, 1.2, 1)
        chosen = method("connected-threshold", lower=-0.9, upper=1.2)
    ours = chosen.segment(Image(values[None], grid), Labels(labels, grid))
    np.testing.assert_array_equal(ours.array, sitk.GetArrayFromImage(theirs))
    assert 200 < ours.array.sum() < 0.9 * ours.array.size


# In torch as on the CPU


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("kept", [0.9, 1.0])
@pytest.mark.parametrize(
    ("shape", "reach"), [((60,), (1,)), ((25, 31), (0, 1)), ((11, 12, 13), (0, 0, 0))], ids=str
)
def test_torch_spreads_as_the_kernels_do(
    shape: tuple[int, ...], reach: tuple[int, ...], kept: float, device: str
) -> None:
    axes = np.array([[1.0, 0.3], [0.0, 2.0]])
    rules = [
        Rule.within(-0.8, 1.5, reach),
        Rule.within(-math.inf, math.inf),
        Rule.near(np.array([0.1, -0.2]), axes, 2.0),
    ]
    for seed in range(5):
        rng = np.random.default_rng(seed)
        image = torch.from_numpy(np.stack([blobs(shape, seed), blobs(shape, seed + 50)]))
        mask = torch.from_numpy(rng.random(shape) < kept) if kept < 1 else None
        seeds = torch.zeros(shape, dtype=torch.int32)
        seeds.view(-1)[rng.choice(seeds.numel(), 5, replace=False)] = torch.tensor(
            [3, 1, -1, 2, 1], dtype=torch.int32
        )
        for rule in rules:
            given = image if len(rule.mean) else image[:1]
            inside = None if mask is None else mask.to(device)
            labels, members = spread(given, seeds, rule, mask)
            found, places = spread_in_torch(given.to(device), seeds.to(device), rule, inside)
            np.testing.assert_array_equal(found.cpu(), labels)
            np.testing.assert_array_equal(places.cpu().sort().values, members.sort().values)
            assert len(members) == int((labels != 0).sum())
