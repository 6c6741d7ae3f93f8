"""The contract that every method keeps; a new line in METHODS is tested without a new test."""

from itertools import permutations, product
from typing import Any

import numpy as np
import pytest
import torch

from medseg import METHODS, Grid, Image, Labels, Segmenter, orientation, reorient

SEEDED = {
    "region-growing",
    "connected-threshold",
    "neighbourhood-connected",
    "confidence-connected",
    "vector-confidence-connected",
    "fast-marching",
    "watershed",
    "morphological-chan-vese",
    "morphological-gac",
    "random-walker",
    "geodesic",
    "grow-cut",
    "graph-cut",
    "chan-vese",
    "geodesic-contour",
    "threshold-level-set",
    "laplacian-level-set",
    "shape-detection",
    "snake",
}
MULTICHANNEL: set[str] = {
    "geodesic-contour",
    "shape-detection",
    "chan-vese",
    "snake",
    "vector-confidence-connected",
    "fast-marching",
    "watershed",
    "basins",
    "morphological-chan-vese",
    "morphological-gac",
    "k-means",
    "gaussian-mixture",
    "slic",
    "random-walker",
    "geodesic",
    "grow-cut",
    "graph-cut",
}
# Parts of these cover all; together they make up the ball.
PARTITIONS = {"basins", "slic"}
# What a method needs to find the ball, where its defaults are for heads.
SETTINGS: dict[str, dict[str, Any]] = {
    "connected-threshold": {"lower": 0.5},
    "neighbourhood-connected": {"lower": 0.5, "radius": 0.5},
    "fast-marching": {"scale": 0.3},
    "watershed": {"scale": 0.3},  # the ball is a few voxels wide
    "basins": {"scale": 0.3},
    "snake": {"scale": 0.3},
    "threshold": {"low": 0.5},
    "hysteresis": {"low": 0.3, "high": 0.7},
    "sauvola": {"window": 60},
    "niblack": {"window": 60, "weight": -1},
    "yen": {"bins": 8},  # with more, it parts the ground
    "maximum-entropy": {"bins": 8},
    "k-means": {"classes": 2},
    "gaussian-mixture": {"classes": 2},
    "slic": {"size": 5.5, "compactness": 0.2},
    "local-gaussian": {"sigma": 10, "margin": 0.3},
    "morphological-chan-vese": {"smoothing": 0},
    "morphological-gac": {
        "scale": 0.77,  # the ball is small
        "contrast": 0.2,
        "threshold": 0.99,
        "smoothing": 0,
        "iterations": 4,
    },
}
EVERY_WAY_TO_STORE = [
    "".join(letters) for order in permutations(("RL", "AP", "SI")) for letters in product(*order)
]
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.cuda)]


def ball(
    shape: tuple[int, ...], spacing: tuple[float, ...] | float = 1.0
) -> tuple[Image, Labels, Labels]:
    """A bright ball on a dark ground, seeds for ground (-1) and ball (2), and the ball itself."""
    grid = Grid.from_spacing(shape, spacing)
    steps = np.reshape(grid.spacing, (-1, *[1] * len(shape)))
    # Off the centre, so that no symmetry hides a flip.
    middle = 0.45 * (np.reshape(shape, steps.shape) - 1) * steps
    away = np.sqrt((((np.indices(shape) * steps) - middle) ** 2).sum(axis=0))
    radius = 0.3 * min(np.multiply(shape, grid.spacing)[np.array(shape) > 1])
    noise = np.random.default_rng(0).normal(scale=0.02, size=shape)
    seeds = np.zeros(shape, np.int8)
    seeds[away > 1.5 * radius] = -1
    seeds[away < 0.6 * radius] = 2
    inside = away < radius
    return Image((inside + noise)[None], grid), Labels(seeds, grid), Labels(inside, grid)


def built(name: str, device: str = "auto") -> Segmenter:
    return METHODS[name](device=device, **SETTINGS.get(name, {}))


def given(name: str, seeds: Labels) -> Labels | None:
    return seeds if name in SEEDED else None


@pytest.fixture(params=METHODS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    ("shape", "spacing"),
    [((24, 20), 1), ((16, 18, 20), 1), ((24, 12, 8), (1, 2, 3)), ((20, 1, 24), (1, 5, 1))],
    ids=["2d", "3d", "anisotropic", "one-slice"],
)
def test_finds_the_ball(
    name: str, shape: tuple[int, ...], spacing: tuple[float, ...] | float, device: str
) -> None:
    image, seeds, truth = ball(shape, spacing)
    labels = built(name, device).segment(image, given(name, seeds))
    found, wanted = labels.array > 0, truth.array > 0
    if name in PARTITIONS:
        found = _of_majority(labels.array, wanted)
    assert labels.grid is image.grid
    assert 2 * (found & wanted).sum() / (found.sum() + wanted.sum()) > 0.95


def _of_majority(parts: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Parts of which more than half is wanted, a few parts at least being left whole."""
    assert np.count_nonzero(np.bincount(parts.ravel())) < wanted.sum() / 4
    sizes, hits = np.bincount(parts.ravel()), np.bincount(parts.ravel(), wanted.ravel())
    return np.asarray((2 * hits > sizes)[parts])


@pytest.mark.parametrize("device", DEVICES)
def test_keeps_to_the_mask(name: str, device: str) -> None:
    image, seeds, _ = ball((12, 14, 16))
    mask = np.zeros(image.grid.shape, np.uint8)
    mask[:, 3:, 3:-3] = 1
    labels = built(name, device).segment(image, given(name, seeds), Labels(mask, image.grid))
    assert labels.array[mask == 1].any()
    assert not labels.array[mask == 0].any()


def test_what_lies_outside_the_mask_does_not_matter(name: str) -> None:
    image, seeds, _ = ball((12, 14, 16))
    mask = Labels((seeds.array >= 0).astype(np.uint8), image.grid)
    inner = Labels(np.where(mask.array == 1, seeds.array, 0), image.grid)
    other = Image(np.where(mask.array == 1, image.array, 1e4), image.grid)
    first, second = (built(name).segment(each, given(name, inner), mask) for each in (image, other))
    np.testing.assert_array_equal(first.array, second.array)


def test_is_a_segmenter_and_leaves_its_input_alone(name: str) -> None:
    image, seeds, truth = ball((12, 12, 12))
    volumes = (image, seeds, truth)
    before = [volume.array.copy() for volume in volumes]
    segmenter = built(name)
    assert isinstance(segmenter, Segmenter)
    segmenter.segment(image, given(name, seeds))
    for volume, array in zip(volumes, before, strict=True):
        np.testing.assert_array_equal(volume.array, array)


def test_same_input_gives_same_labels(name: str) -> None:
    image, seeds, _ = ball((12, 12, 12))
    segmenter = built(name)
    first = segmenter.segment(image, given(name, seeds)).array
    segmenter.segment(*_upside_down(image, given(name, seeds)))  # nothing of it may stay
    np.testing.assert_array_equal(segmenter.segment(image, given(name, seeds)).array, first)


def _upside_down(image: Image, seeds: Labels | None) -> tuple[Image, Labels | None]:
    turned = None if seeds is None else Labels(seeds.array[::-1], seeds.grid)
    return Image(-image.array[:, ::-1], image.grid), turned


def test_wrong_use_of_seeds_is_refused(name: str) -> None:
    image, seeds, _ = ball((12, 12))
    with pytest.raises(ValueError, match="seeds"):
        built(name).segment(image, None if name in SEEDED else seeds)


def test_seeds_and_mask_on_another_grid_are_refused(name: str) -> None:
    image, seeds, truth = ball((12, 12))
    elsewhere = Grid.from_spacing((12, 12), 2.0)
    with pytest.raises(ValueError, match="seed volume lies on another grid"):
        built(name).segment(image, Labels(seeds.array, elsewhere))
    with pytest.raises(ValueError, match="mask lies on another grid"):
        built(name).segment(image, given(name, seeds), Labels(truth.array, elsewhere))


def test_an_empty_mask_is_refused(name: str) -> None:
    image, seeds, _ = ball((12, 12))
    nothing = Labels(np.zeros((12, 12), np.uint8), image.grid)
    with pytest.raises(ValueError, match="mask is empty"):
        built(name).segment(image, given(name, seeds), nothing)


def test_several_channels_are_refused_with_a_way_out(name: str) -> None:
    if name in MULTICHANNEL:
        return
    image, seeds, _ = ball((12, 12))
    two = Image(np.concatenate([image.array] * 2), image.grid)
    with pytest.raises(ValueError, match=r"one channel, got 2; choose one with image.channel\(i\)"):
        built(name).segment(two, given(name, seeds))


def test_the_way_of_storing_changes_nothing_in_the_world(name: str) -> None:
    image, seeds, _ = ball((9, 8, 7), (1, 2, 3))
    mask = Labels(np.pad(np.ones((8, 7, 6), np.uint8), ((1, 0), (0, 1), (1, 0))), image.grid)
    segmenter = built(name)
    wanted = segmenter.segment(image, given(name, seeds), mask)
    assert len(EVERY_WAY_TO_STORE) == 48
    for way in EVERY_WAY_TO_STORE:
        stored = [reorient(volume, way) for volume in (image, seeds, mask)]
        found = segmenter.segment(stored[0], given(name, stored[1]), stored[2])
        assert orientation(found.grid) == way
        back = reorient(found, orientation(image.grid))
        np.testing.assert_array_equal(back.array, wanted.array, err_msg=way)


def test_a_slice_gives_the_same_in_2d_and_3d(name: str) -> None:
    image, seeds, _ = ball((20, 24))
    flat = built(name).segment(image, given(name, seeds))
    grid = Grid.from_spacing((20, 24, 1))
    thick = built(name).segment(
        Image(image.array[..., None], grid), given(name, Labels(seeds.array[..., None], grid))
    )
    np.testing.assert_array_equal(thick.array[..., 0], flat.array)


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1), (5, 6, 7)], ids=str)
def test_a_constant_image_gives_a_result_or_a_reason(name: str, shape: tuple[int, ...]) -> None:
    image = Image(np.full((1, *shape), 3.0), Grid.from_spacing(shape))
    seeds = np.zeros(shape, np.uint8)
    seeds.flat[0] = 1
    try:
        labels = built(name).segment(image, given(name, Labels(seeds, image.grid)))
    except ValueError as error:
        assert "constant" in str(error)  # noqa: PT017 - either is right
    else:
        assert labels.array.shape == shape


@pytest.mark.cuda
@pytest.mark.parametrize("shape", [(40, 50), (24, 26, 28)], ids=["2d", "3d"])
def test_cuda_gives_what_the_cpu_gives(name: str, shape: tuple[int, ...]) -> None:
    image, seeds, _ = ball(shape)
    on_cpu, on_cuda = (
        built(name, device).segment(image, given(name, seeds)).array for device in ("cpu", "cuda")
    )
    np.testing.assert_array_equal(on_cuda, on_cpu)


def test_the_number_of_threads_changes_nothing(name: str) -> None:
    image, seeds, _ = ball((24, 26, 28))
    before = torch.get_num_threads()
    try:
        results = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            results.append(built(name, "cpu").segment(image, given(name, seeds)).array)
    finally:
        torch.set_num_threads(before)
    np.testing.assert_array_equal(*results)
