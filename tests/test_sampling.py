"""Samplers, by counting what comes out of them."""

from collections import Counter

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from medseg.learning.placing import Warp, cut
from medseg.sampling import SAMPLERS, Centre, VoxelIndex, index_voxels

SHAPE = (9, 8, 7)
PATCH = (1, 1, 1)


def some_classes(seed: int = 0) -> NDArray[np.uint8]:
    """Background, a large class 1, a small class 2 and a class 3 of three voxels."""
    classes = np.zeros(SHAPE, np.uint8)
    classes[2:7, 2:6, 1:6] = 1
    classes[3:5, 3:5, 2:4] = 2
    classes[0, 0, seed : seed + 3] = 3
    return classes


def index(classes: NDArray | None = None, **options: object) -> VoxelIndex:
    given = {"patch": PATCH, "rng": np.random.default_rng(0)} | options
    return index_voxels(some_classes() if classes is None else classes, **given)


def drawn(name: str, indices: list[VoxelIndex], count: int, seed: int = 0) -> list[Centre]:
    return SAMPLERS[name](indices, count, np.random.default_rng(seed))


def classes_at(centres: list[Centre], classes: NDArray | None = None) -> list[int]:
    whole = some_classes() if classes is None else classes
    return [int(whole[voxel]) for _, voxel in centres]


def assert_even(counts: Counter, among: int) -> None:
    """Chi-square of counts that should be equal; 5 deviations are exceeded once in a million."""
    total = sum(counts.values())
    expected = total / among
    square = sum((n - expected) ** 2 for n in counts.values()) / expected
    square += expected * (among - len(counts))
    assert abs(square - (among - 1)) < 5 * np.sqrt(2 * (among - 1))


# All samplers


@pytest.fixture(params=SAMPLERS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("count", [1, 2, 3, 10])
def test_gives_as_many_as_are_asked_for_inside_the_volume(name: str, count: int) -> None:
    indices = [index(some_classes(seed), weights=np.ones(SHAPE)) for seed in range(3)]
    centres = drawn(name, indices, count)
    assert len(centres) == count
    for case, voxel in centres:
        assert case in range(3)
        assert all(0 <= i < size for i, size in zip(voxel, SHAPE, strict=True))


def test_same_rng_gives_the_same_centres_and_another_others(name: str) -> None:
    indices = [index(weights=np.ones(SHAPE))]
    assert drawn(name, indices, 20) == drawn(name, indices, 20)
    assert drawn(name, indices, 20) != drawn(name, indices, 20, seed=1)


def test_centres_lie_inside_the_mask(name: str) -> None:
    mask = np.zeros(SHAPE, bool)
    mask[1:5, 1:5] = True
    indices = [index(mask=mask, weights=np.ones(SHAPE))]
    assert all(mask[voxel] for _, voxel in drawn(name, indices, 200))


def test_a_volume_without_foreground_is_sampled_all_the_same(name: str) -> None:
    empty = np.zeros(SHAPE, np.uint8)
    assert len(drawn(name, [index(empty, weights=np.ones(SHAPE))], 7)) == 7


def test_a_volume_of_foreground_only_is_sampled_all_the_same(name: str) -> None:
    full = np.ones(SHAPE, np.uint8)
    assert len(drawn(name, [index(full, weights=np.ones(SHAPE))], 7)) == 7


def test_2d_volumes_are_sampled_too(name: str) -> None:
    flat = some_classes()[:, :, 3]
    found = drawn(name, [index(flat, patch=(3, 3), weights=np.ones(flat.shape))], 9)
    assert all(len(voxel) == 2 for _, voxel in found)


def test_every_case_is_drawn_from(name: str) -> None:
    indices = [index(weights=np.ones(SHAPE)) for _ in range(4)]
    counts = Counter(case for case, _ in drawn(name, indices, 2000))
    assert_even(counts, 4)


# Uniform


def test_uniform_is_uniform() -> None:
    counts = Counter(voxel for _, voxel in drawn("uniform", [index()], 20_000))
    assert_even(counts, some_classes().size)


def test_uniform_is_uniform_inside_the_mask() -> None:
    mask = some_classes() > 0
    counts = Counter(voxel for _, voxel in drawn("uniform", [index(mask=mask)], 5000))
    assert_even(counts, int(mask.sum()))


@pytest.mark.parametrize("patch", [(4, 3, 2), (5, 8, 7), (9, 1, 1)], ids=str)
def test_uniform_patches_lie_inside_the_volume_in_every_place(patch: tuple[int, ...]) -> None:
    counts = Counter(voxel for _, voxel in drawn("uniform", [index(patch=patch)], 5000))
    places = np.subtract(SHAPE, patch) + 1
    for voxel in counts:
        first = np.array(voxel) - np.array(patch) // 2
        assert (first >= 0).all()
        assert (first + patch <= SHAPE).all()
    assert_even(counts, int(places.prod()))


@pytest.mark.parametrize("patch", [(20, 21, 22), (10, 9, 8)], ids=str)
def test_a_patch_larger_than_the_volume_has_it_in_its_middle(patch: tuple[int, ...]) -> None:
    ((_, voxel),) = set(drawn("uniform", [index(patch=patch)], 50))
    image = torch.ones(1, *SHAPE)
    warp = Warp((1.0,) * 3, patch)
    found, _ = cut(image, torch.ones(SHAPE), voxel, patch, warp)
    assert found.sum() == image.sum()
    for axis, (side, size) in enumerate(zip(patch, SHAPE, strict=True)):
        others = tuple(k for k in range(3) if k != axis)
        before = int(found[0].sum(others).nonzero()[0])
        assert before - (side - size - before) in (-1, 0, 1)


# Foreground


def test_foreground_is_half_and_half() -> None:
    found = classes_at(drawn("foreground", [index()], 1000))
    assert sum(value > 0 for value in found) == 500


def test_with_an_odd_count_chance_decides_which_half_is_larger() -> None:
    halves = [
        sum(value > 0 for value in classes_at(drawn("foreground", [index()], 5, seed)))
        for seed in range(50)
    ]
    assert set(halves) == {2, 3}


def test_foreground_voxels_are_equally_probable_whatever_their_class() -> None:
    found = [voxel for _, voxel in drawn("foreground", [index()], 10_000)]
    counts = Counter(voxel for voxel in found if some_classes()[voxel] > 0)
    assert_even(counts, int((some_classes() > 0).sum()))


def test_the_cap_does_not_make_large_structures_rarer() -> None:
    found = classes_at(drawn("foreground", [index(cap=5)], 10_000))
    share = found.count(1) / (10_000 - found.count(0))
    sizes = np.bincount(some_classes().ravel())
    assert share == pytest.approx(sizes[1] / sizes[1:].sum(), abs=0.02)


def test_cases_without_foreground_give_background_only() -> None:
    indices = [index(np.zeros(SHAPE, np.uint8)), index()]
    found = drawn("foreground", indices, 400)
    assert all(case == 1 for case, _ in found[:200])


# Balanced


@pytest.mark.parametrize("count", [1, 3, 4, 5, 7, 8, 10, 21])
def test_in_every_batch_the_classes_differ_by_one_at_most(count: int) -> None:
    indices = [index(some_classes(seed)) for seed in range(3)]
    for seed in range(20):
        centres = drawn("balanced", indices, count, seed)
        found = Counter(int(some_classes(case)[voxel]) for case, voxel in centres)
        counts = [found[value] for value in range(4)]
        assert max(counts) - min(counts) <= 1


def test_with_few_patches_each_class_has_its_turn() -> None:
    counts = Counter(
        value for seed in range(2000) for value in classes_at(drawn("balanced", [index()], 1, seed))
    )
    assert_even(counts, 4)


def test_a_rare_class_is_drawn_from_all_of_its_voxels() -> None:
    found = [voxel for _, voxel in drawn("balanced", [index()], 4000)]
    counts = Counter(voxel for voxel in found if some_classes()[voxel] == 3)
    assert_even(counts, 3)


def test_a_class_of_one_case_is_drawn_from_that_case() -> None:
    plain = np.where(some_classes() == 3, 0, some_classes())
    centres = drawn("balanced", [index(plain), index(), index(plain)], 400)
    rare = [case for case, voxel in centres if case == 1 and some_classes()[voxel] == 3]
    assert len(rare) == 100


# A third on the foreground


@pytest.mark.parametrize(
    ("count", "wanted"), [(1, 0), (2, 1), (3, 1), (4, 1), (5, 2), (6, 2), (9, 3), (12, 4)]
)
def test_a_third_is_on_foreground(count: int, wanted: int) -> None:
    # Of a patch as large as the volume there is one place, so what lies elsewhere can be counted.
    found = drawn("third-foreground", [index(patch=SHAPE)], count)
    elsewhere = [voxel for _, voxel in found if voxel != (4, 4, 3)]
    assert len(elsewhere) == wanted
    assert all(some_classes()[voxel] for voxel in elsewhere)


def test_small_structures_are_drawn_as_often_as_large_ones() -> None:
    found = drawn("third-foreground", [index(patch=SHAPE)], 30_000)
    on_foreground = classes_at(found[20_000:])
    assert_even(Counter(on_foreground), 3)


# Weighted


def test_weighted_follows_the_map() -> None:
    weights = np.zeros(SHAPE, np.float32)
    weights[1, 2, 3], weights[4, 5, 6] = 1, 3
    found = drawn("weighted", [index(weights=weights)], 8000)
    counts = Counter(voxel for _, voxel in found)
    assert counts.keys() == {(1, 2, 3), (4, 5, 6)}
    assert counts[4, 5, 6] / 8000 == pytest.approx(0.75, abs=0.03)


def test_weights_that_vary_smoothly_are_followed() -> None:
    weights = np.broadcast_to(np.arange(9.0)[:, None, None], SHAPE)
    found = drawn("weighted", [index(weights=weights)], 9000)
    counts = np.bincount([voxel[0] for _, voxel in found], minlength=9)
    np.testing.assert_allclose(counts / 9000, np.arange(9) / 36, atol=0.02)


def test_a_voxel_of_no_weight_is_never_drawn() -> None:
    weights = (some_classes() == 2).astype(float)
    found = drawn("weighted", [index(weights=weights)], 500)
    assert set(classes_at(found)) == {2}


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_weights_that_say_nothing_are_refused(value: float) -> None:
    with pytest.raises(ValueError, match="weights are numbers >= 0, and not all 0"):
        index(weights=np.full(SHAPE, value))


def test_weighted_without_a_map_is_refused() -> None:
    with pytest.raises(ValueError, match="'weighted' needs a weight map for every case"):
        drawn("weighted", [index(weights=np.ones(SHAPE)), index()], 2)


# The index


def test_the_index_holds_every_voxel_of_every_class() -> None:
    found = index()
    for value in range(4):
        wanted = np.argwhere(some_classes() == value)
        np.testing.assert_array_equal(found.voxels[value], wanted)
        assert found.counts[value] == len(wanted)
    assert found.foreground == (1, 2, 3)


def test_the_cap_is_kept_and_any_voxel_may_be_among_them() -> None:
    counts: Counter = Counter()
    for seed in range(1000):
        voxels = index(cap=5, rng=np.random.default_rng(seed)).voxels
        assert [len(voxels[value]) for value in range(4)] == [5, 5, 5, 3]
        counts.update(map(tuple, voxels[1].tolist()))
    assert_even(counts, int((some_classes() == 1).sum()))


def test_classes_outside_the_mask_are_left_out() -> None:
    found = index(mask=some_classes() == 2)
    assert found.counts == {2: 8}


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int64])
def test_a_mask_goes_with_any_dtype_of_classes(dtype: type) -> None:
    mask = np.ones(SHAPE, bool)
    mask[0, 0, 0] = False
    found = index(some_classes().astype(dtype), mask=mask)
    assert found.counts[3] == 2


def test_an_empty_mask_is_refused() -> None:
    with pytest.raises(ValueError, match="mask is empty: there is no voxel to centre a patch on"):
        index(mask=np.zeros(SHAPE, bool))
