"""The engine behind `pairs`, held against distances from every voxel to every voxel."""

from concurrent.futures import ThreadPoolExecutor
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy import ndimage

from medseg.metrics import METRICS, Distances, Pair, pairs
from medseg.metrics.offsets import neighbours, offsets
from medseg.volume import Labels

SPACING = (1.0, 2.0, 3.0)
spacings = st.sampled_from([0.3, 0.7, 1.0, 1.5, 3.1, 12.0])


def border(mask: NDArray[np.bool_], connectivity: int) -> NDArray[np.intp]:
    """(n, axes): voxels with a neighbour that is outside, looked at one by one."""
    inside = {tuple(voxel) for voxel in np.argwhere(mask).tolist()}
    steps = [
        step
        for step in product((-1, 0, 1), repeat=mask.ndim)
        if 0 < sum(map(abs, step)) <= connectivity
    ]
    found = [
        voxel
        for voxel in sorted(inside)
        if any(tuple(np.add(voxel, step)) not in inside for step in steps)
    ]
    return np.array(found, int).reshape(-1, mask.ndim)


def distances(
    source: NDArray[np.bool_],
    target: NDArray[np.bool_],
    spacing: tuple[float, ...],
    connectivity: int,
) -> NDArray[np.float64]:
    """Mm from each border voxel of the one to the nearest of the other."""
    first, second = border(source, connectivity), border(target, connectivity)
    if not len(second):
        return np.full(len(first), np.inf)
    apart = (first[:, None] - second[None]) * np.array(spacing)
    return np.sqrt((apart**2).sum(axis=-1)).min(axis=1)


def assert_is_histogram_of(found: Distances, values: NDArray[np.float64]) -> None:
    listed = np.repeat(found.mm, found.counts)
    np.testing.assert_allclose(listed, np.sort(values), rtol=0, atol=1e-12)


def assert_exact(
    predicted: NDArray, reference: NDArray, spacing: tuple[float, ...], connectivity: int = 1
) -> None:
    first, second = (Labels.from_array(x, spacing) for x in (predicted, reference))
    for label, pair in pairs(first, second, connectivity=connectivity).items():
        masks = [first.mask(int(label)), second.mask(int(label))]
        kept = [axis for axis, size in enumerate(first.array.shape) if size > 1] or [0]
        masks = [mask.reshape([mask.shape[axis] for axis in kept]) for mask in masks]
        zooms = tuple(spacing[axis] for axis in kept)
        assert pair.sizes == (masks[0].sum(), masks[1].sum())
        assert pair.tp == (masks[0] & masks[1]).sum()
        assert_is_histogram_of(pair.distances[0], distances(*masks, zooms, connectivity))
        assert_is_histogram_of(pair.distances[1], distances(*masks[::-1], zooms, connectivity))


@st.composite
def two_maps(draw: st.DrawFn) -> tuple[NDArray, NDArray, tuple[float, ...]]:
    axes = draw(st.integers(1, 3))
    shape = draw(st.tuples(*[st.integers(1, 6)] * axes))
    values = st.sampled_from([0, 0, 0, 1, 1, 2, 300])
    dtype = draw(st.sampled_from([np.uint8, np.int16, np.uint16, np.int64]))
    values = values.filter(lambda value: value < 256) if dtype == np.uint8 else values
    maps = [draw(arrays(dtype, shape, elements=values)) for _ in range(2)]
    spacing = draw(st.tuples(*[spacings] * axes))
    if axes == 1:  # no image has one axis
        return maps[0][:, None], maps[1][:, None], (*spacing, 1.0)
    return maps[0], maps[1], spacing


@settings(max_examples=150, deadline=None)
@given(two_maps(), st.integers(1, 3))
def test_any_two_maps_are_measured_exactly(
    maps: tuple[NDArray, NDArray, tuple[float, ...]], connectivity: int
) -> None:
    assert_exact(*maps, connectivity)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), SPACING, (0.7, 1.3, 3.1), (1.0, 1.0, 40.0)])
@pytest.mark.parametrize("shape", [(40, 11, 37), (37, 3, 41), (64, 1, 50)])
def test_borders_that_lie_far_apart_are_measured_exactly(
    shape: tuple[int, ...], spacing: tuple[float, ...]
) -> None:
    rng = np.random.default_rng(0)
    predicted, reference = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
    predicted[rng.random(shape) < 0.002], reference[rng.random(shape) < 0.004] = 1, 1
    predicted[:5, :3, :4], reference[-6:, -2:, -7:] = 2, 2
    predicted[-1, -1, -1] = 7
    reference[0, 0, 0] = 7
    assert_exact(predicted, reference, spacing)


def test_a_border_of_many_cells_is_searched_exactly() -> None:
    reference = np.linalg.norm(np.indices((48, 48, 48)).T - 24, axis=-1) < 20
    predicted = np.zeros_like(reference)
    predicted[22:27, 23:25, 21:28] = True
    predicted[::47, ::47, ::47] = True
    found = pairs(Labels.from_array(predicted, SPACING), Labels.from_array(reference, SPACING))[1]
    expected = Pair.from_masks(predicted, reference, SPACING)
    for side in (0, 1):
        mm, counts = expected.distances[side].mm, expected.distances[side].counts
        assert_is_histogram_of(found.distances[side], np.repeat(mm, counts))


@pytest.mark.parametrize("connectivity", [1, 2, 3])
@pytest.mark.parametrize("shape", [(12, 11, 9), (20, 17)])
def test_connectivity_makes_borders_thicker(shape: tuple[int, ...], connectivity: int) -> None:
    rng = np.random.default_rng(connectivity)
    maps = [ndimage.gaussian_filter(rng.normal(size=shape), 1.5) > 0 for _ in range(2)]
    spacing = SPACING[: len(shape)]
    labels = [Labels.from_array(mask, spacing) for mask in maps]
    found = pairs(*labels, connectivity=connectivity)[1]
    expected = Pair.from_masks(*maps, spacing, connectivity=connectivity)
    assert len(found.pooled) == len(expected.pooled)
    for name in ("hd", "hd95", "assd"):
        value = METRICS[name].compute(expected)
        assert METRICS[name].compute(found) == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize("order", ["C", "F", "both", "strided", "reversed", "inner", "odd"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.int32, ">u2", ">i4"])
def test_any_layout_in_memory_is_read(order: str, dtype: Any) -> None:
    rng = np.random.default_rng(0)
    plain = [rng.integers(0, 4, (9, 13, 21)).astype(dtype) for _ in range(2)]
    stored = [np.asarray(array, dtype, order="C") for array in plain]
    if order in ("F", "both"):
        stored[0] = np.asfortranarray(plain[0])
    if order == "F":
        stored[1] = np.asfortranarray(plain[1])
    if order == "strided":
        stored = [np.repeat(array, 2, axis=2)[:, :, ::2] for array in plain]
    if order == "reversed":
        stored = [np.ascontiguousarray(array[::-1, :, ::-1])[::-1, :, ::-1] for array in plain]
    if order == "inner":
        stored = [np.pad(array, 3)[3:-3, 3:-3, 3:-3] for array in plain]
        stored = [array.transpose(1, 0, 2).copy().transpose(1, 0, 2) for array in stored]
    if order == "odd":  # begins between two words
        stored = [np.concatenate([array[:1], array])[1:] for array in plain]
    assert_exact(stored[0], stored[1], SPACING)


@pytest.mark.parametrize("members", [(1,), (1, 3), (2, 9), (7,)])
def test_a_region_is_measured_as_its_mask(members: tuple[int, ...]) -> None:
    rng = np.random.default_rng(1)
    maps = [np.pad(rng.integers(0, 4, (7, 8, 9)), (1, 4)) for _ in range(2)]
    found = pairs(*(Labels.from_array(x, SPACING) for x in maps), regions={"region": members})
    masks = [np.isin(x, members) for x in maps]
    expected = Pair.from_masks(*masks, SPACING)
    assert found["region"].sizes == expected.sizes
    assert found["region"].tn == expected.tn
    for side in (0, 1):
        values = np.repeat(expected.distances[side].mm, expected.distances[side].counts)
        assert_is_histogram_of(found["region"].distances[side], values)


def test_several_threads_find_what_one_finds() -> None:
    rng = np.random.default_rng(0)
    cases = [[rng.integers(0, 3, (12, 13, 14)) for _ in range(2)] for _ in range(16)]

    def scores(case: list[NDArray]) -> list[float]:
        found = pairs(*(Labels.from_array(array, SPACING) for array in case))
        return [METRICS[name].compute(found[2]) for name in ("dice", "hd", "hd95", "assd")]

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(scores, cases)) == [scores(case) for case in cases]


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.7, 1.3, 3.1), (1.0, 1.0, 500.0)])
@pytest.mark.parametrize("along", [(True, True, True), (False, True, True), (False, False, True)])
def test_no_step_is_missing_among_those_as_short(
    spacing: tuple[float, ...], along: tuple[bool, ...]
) -> None:
    table = offsets(spacing, along)
    lengths = np.linalg.norm(table.steps * np.array(spacing), axis=1)
    np.testing.assert_allclose(lengths, table.mm[table.ranks])
    assert (np.diff(lengths) >= 0).all()
    ends = [int(table.mm[-1] / zoom) * counts for zoom, counts in zip(spacing, along, strict=True)]
    steps = np.array([*product(*(range(-end, end + 1) for end in ends))])
    short = np.linalg.norm(steps * np.array(spacing), axis=1) < table.mm[-1] - 1e-9
    assert {tuple(step) for step in steps[short]} <= {tuple(step) for step in table.steps}
    assert len(table.steps) > 50


@pytest.mark.parametrize(("connectivity", "count"), [(0, 6), (1, 6), (2, 18), (3, 26), (4, 26)])
def test_neighbours_share_faces_edges_or_corners(connectivity: int, count: int) -> None:
    assert len(neighbours((True, True, True), connectivity)) == count
    assert not neighbours((False, True, True), connectivity)[:, 0].any()
