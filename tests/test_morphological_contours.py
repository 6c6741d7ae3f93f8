"""Contours that move by whole voxels: scikit-image's, to the bit, and what it does not do."""

from itertools import cycle

import numpy as np
import pytest
import torch
from scipy import ndimage
from skimage.segmentation import (
    morphological_chan_vese,
    morphological_geodesic_active_contour,
    morphsnakes,
)

from medseg import Grid, Image, Labels, method
from medseg.classical import METHODS
from medseg.classical.bit_planes import PackedRegion, TensorRegion
from medseg.classical.deforming import Start
from medseg.classical.edges import edge_map, slopes
from medseg.classical.morphological_chan_vese import MorphologicalChanVese
from medseg.classical.morphological_gac import MorphologicalGAC

SHAPES = [(33, 70), (12, 20, 130), (5, 64, 64), (9, 11, 7)]
NAMES = ["morphological-chan-vese", "morphological-gac"]
KINDS = [PackedRegion, TensorRegion]
BALLOONS = {"grow": 1, "shrink": -1, "none": 0}


def drawn(shape: tuple[int, ...], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Whole numbers, whose sums no order of adding changes, and a region in pieces."""
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.normal(size=shape), 2)
    values = np.round(100 * smooth / smooth.std()).astype(np.float32)
    return values, ndimage.binary_dilation(rng.random(shape) < 0.05, iterations=2)


def reset_cycle() -> None:
    """scikit-image takes its two orders of smoothing in turn, even from call to call."""
    first, second = morphsnakes.sup_inf, morphsnakes.inf_sup
    morphsnakes._curvop.funcs = cycle([lambda u: first(second(u)), lambda u: second(first(u))])


def ball(
    shape: tuple[int, ...], spacing: tuple[float, ...] | float, radius: float
) -> tuple[Image, Labels, np.ndarray]:
    """A noisy ball, a seed in its middle, and the ball itself."""
    grid = Grid.from_spacing(shape, spacing)
    steps = np.reshape(grid.spacing, (-1, *[1] * len(shape)))
    middle = np.reshape(shape, steps.shape) // 2
    inside = np.sqrt((((np.indices(shape) - middle) * steps) ** 2).sum(axis=0)) < radius
    noise = np.random.default_rng(0).normal(scale=0.1, size=shape)
    seeds = np.zeros(shape, np.uint8)
    seeds[tuple(size // 2 for size in shape)] = 1
    return Image((inside + noise)[None], grid), Labels(seeds, grid), inside


def dice(found: np.ndarray, wanted: np.ndarray) -> float:
    return float(2 * (found & wanted).sum() / (found.sum() + wanted.sum()))


# Against scikit-image


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("smoothing", [0, 1, 2, 3])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_chan_vese_is_that_of_scikit_image_to_the_bit(
    shape: tuple[int, ...], smoothing: int, kind: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("medseg.classical.morphological_chan_vese.region_of", kind)
    values, start = drawn(shape)
    wanted: list[np.ndarray] = []
    reset_cycle()
    morphological_chan_vese(
        *(values.astype(float), 7, start, smoothing, 1, 1.5),
        iter_callback=lambda u: wanted.append(u.copy()),
    )
    model = MorphologicalChanVese(smoothing, weight_outside=1.5, iterations=7)
    seeds = torch.from_numpy(start.astype(np.int32))
    spacing = (1.0,) * len(shape)
    states = [
        look().numpy() for look in model.evolve(torch.tensor(values[None]), spacing, seeds, None)
    ]
    np.testing.assert_array_equal(states, wanted)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("balloon", BALLOONS)
@pytest.mark.parametrize("smoothing", [0, 1, 2])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_geodesic_contour_is_that_of_scikit_image_to_the_bit(
    *,
    shape: tuple[int, ...],
    smoothing: int,
    balloon: str,
    kind: type,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("medseg.classical.morphological_gac.region_of", kind)
    values, start = drawn(shape)
    speed = ((values - values.min()) / np.ptp(values)).astype(np.float32)
    wanted: list[np.ndarray] = []
    reset_cycle()
    morphological_geodesic_active_contour(
        *(speed, 9, start, smoothing, 0.4, BALLOONS[balloon]),
        iter_callback=lambda u: wanted.append(u.copy()),
    )
    model = MorphologicalGAC(threshold=0.4, balloon=balloon, smoothing=smoothing, iterations=9)
    begin = Start({1: torch.from_numpy(start)}, torch.ones(shape, dtype=torch.bool))
    states = model.on(torch.from_numpy(speed), begin, (1.0,) * len(shape))
    np.testing.assert_array_equal([look().numpy() for look in states], wanted)


# Packed as in torch, with what scikit-image has not


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.cuda)])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(400,), *SHAPES], ids=str)
def test_torch_gives_what_packed_words_give(
    shape: tuple[int, ...], name: str, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    values, start = drawn(shape)
    rng = np.random.default_rng(1)
    seeds = torch.from_numpy(start.astype(np.int32) * rng.integers(1, 4, shape, np.int32))
    seeds[seeds == 3] = -1
    mask = torch.from_numpy(rng.random(shape) < 0.9)
    spacing = (1.0, 2.0, 3.0)[: len(shape)]
    given = (torch.tensor(np.stack([values, values[::-1]])), spacing, seeds, mask)
    found = []
    for kind, place in zip(KINDS, ("cpu", device), strict=True):
        monkeypatch.setattr(f"{METHODS[name].__module__}.region_of", kind)
        there = [each.to(place) if torch.is_tensor(each) else each for each in given]
        states = METHODS[name](iterations=9, radius=1.5).evolve(*there)
        found.append([look().cpu().numpy() for look in states])
    np.testing.assert_array_equal(*found)
    assert set(np.unique(found)) == {0, 1, 2}
    assert not np.any(np.array(found[0])[:, ~mask.numpy() | (seeds.numpy() == -1)])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(40,), *SHAPES, (3, 4, 64), (3, 4, 65)], ids=str)
def test_faces_and_changes_are_counted(shape: tuple[int, ...], kind: type) -> None:
    inside = torch.from_numpy(np.random.default_rng(0).random(shape) < 0.5)
    region = kind(inside, torch.ones(shape, dtype=torch.bool), torch.zeros((1, *shape)))
    faces = [int(inside.diff(dim=axis).sum()) for axis in range(len(shape))]
    assert region.faces() == faces
    assert region.changed(region.pack(~inside)) == inside.numel()
    assert torch.equal(region.inside(), inside)


# What they find


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("shape", "spacing", "radius"),
    [((64, 60), 1, 20), ((48, 50, 52), 1, 15), ((50, 26, 18), (1, 2, 3), 18)],
    ids=["2d", "3d", "anisotropic"],
)
def test_a_contour_that_starts_small_comes_to_the_border_of_a_ball(
    name: str, shape: tuple[int, ...], spacing: tuple[float, ...] | float, radius: float
) -> None:
    image, seeds, wanted = ball(shape, spacing, radius)
    # An edge that is less than a voxel wide can be stepped over.
    blur = {"scale": max(image.grid.spacing)} if name == "morphological-gac" else {}
    found = method(name, radius=8, **blur).segment(image, seeds).array == 1
    assert dice(found, wanted) > 0.93


def test_a_contour_around_a_ball_shrinks_to_it() -> None:
    image, _, wanted = ball((64, 60), 1, 15)
    box = np.zeros((64, 60), np.uint8)
    box[6:-6, 6:-6] = 1
    model = method("morphological-gac", balloon="shrink")
    assert dice(model.segment(image, Labels(box, image.grid)).array == 1, wanted) > 0.96


def test_a_channel_without_contrast_does_not_hide_one_with_contrast() -> None:
    image, seeds, wanted = ball((64, 60), 1, 20)
    other = np.random.default_rng(1).normal(scale=0.1, size=image.array.shape)
    both = Image(np.concatenate([other, image.array]), image.grid)
    for name in NAMES:
        found = method(name, radius=8).segment(both, seeds).array == 1
        assert dice(found, wanted) > 0.96


def test_two_contours_share_what_both_would_take() -> None:
    image, _, wanted = ball((64, 60), 1, 20)
    two = np.zeros((64, 60), np.uint8)
    two[28:32, 30], two[33:37, 30] = 1, 5
    found = method("morphological-chan-vese", radius=2).segment(image, Labels(two, image.grid))
    assert dice(found.array > 0, wanted) > 0.98
    np.testing.assert_allclose(*np.bincount(found.array.ravel())[[1, 5]], rtol=0.25)


# When they end


@pytest.mark.parametrize("name", NAMES)
def test_states_begin_with_the_seeds_and_end_with_the_result(name: str) -> None:
    image, seeds, _ = ball((30, 32), 1, 10)
    model = method(name, radius=4)
    states = [labels.array for labels in model.states(image, seeds)]  # type: ignore[attr-defined]
    np.testing.assert_array_equal(states[-1], model.segment(image, seeds).array)
    near = ndimage.distance_transform_edt(seeds.array == 0) <= 4
    np.testing.assert_array_equal(states[0] == 1, near)
    assert 10 < len(states) < 200


@pytest.mark.parametrize("name", NAMES)
def test_a_larger_tolerance_ends_earlier(name: str) -> None:
    image, seeds, _ = ball((64, 64), 1, 28)
    lengths = [
        len(list(METHODS[name](radius=4, tolerance=tolerance).states(image, seeds)))
        for tolerance in (0.01, 100)
    ]
    assert lengths[0] > lengths[1] == 11


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_endless_in_a_constant_image(name: str) -> None:
    image = Image(np.full((1, 20, 21), 3.0), Grid.from_spacing((20, 21)))
    seeds = np.zeros((20, 21), np.uint8)
    seeds[8:12, 9:13] = 1
    states = METHODS[name](iterations=10_000).states(image, Labels(seeds, image.grid))
    assert len(list(states)) < 50


# Edges


def test_the_edge_map_is_a_half_at_the_root_mean_square() -> None:
    steepness = np.array([0, 0, 0, 0, 1, 3, 5, 6, 6, 6], np.float32)
    mean_square = (np.gradient(steepness) ** 2).mean()
    found = edge_map(torch.from_numpy(steepness)[None], 0, 1, (1.0,))
    np.testing.assert_allclose(
        found, 1 / (1 + np.gradient(steepness) ** 2 / mean_square), rtol=1e-6
    )


def test_an_edge_map_depends_neither_on_units_nor_on_what_is_outside() -> None:
    values, _ = drawn((20, 22))
    mask = torch.zeros((20, 22), dtype=torch.bool)
    mask[4:, 3:-2] = True
    image = torch.from_numpy(values)[None]
    first = edge_map(image, 1.5, 0.7, (1.0, 2.0), mask)
    second = edge_map((image * 30).where(mask, 1e5), 1.5, 0.7, (1.0, 2.0), mask)
    torch.testing.assert_close(first[mask], second[mask])
    for each in (first, second):
        assert torch.equal(slopes(each, mask)[:, ~mask], torch.zeros(2, int((~mask).sum())))
