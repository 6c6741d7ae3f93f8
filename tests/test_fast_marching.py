"""Fast marching: analytic times, SimpleITK's, labels that compete, and the same in torch."""

import math

import numpy as np
import pytest
import torch

from medseg import Image, Labels, method
from medseg.classical.fast_marching import speed_of
from medseg.classical.marching import (
    arrival_times,
    arrival_times_in_torch,
    labels_by_arrival,
    labels_by_arrival_in_torch,
)

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.cuda)]
WAYS = [arrival_times, arrival_times_in_torch]
CASES = [((60,), (2.0,)), ((30, 31), (1.0, 0.5)), ((12, 13, 14), (1.0, 2.0, 3.0))]


def seeds_at(shape: tuple[int, ...], *places: tuple[int, ...]) -> torch.Tensor:
    seeds = torch.zeros(shape, dtype=torch.bool)
    for place in places:
        seeds[place] = True
    return seeds


def some_speed(shape: tuple[int, ...], seed: int = 0) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    speed = rng.uniform(0.02, 1, shape).astype(np.float32)
    speed[rng.random(shape) < 0.1] = 0
    return torch.from_numpy(speed)


# Arrival times


@pytest.mark.parametrize("way", WAYS)
def test_along_an_axis_time_is_distance_over_speed(way: type) -> None:
    times = way(torch.full((9, 9, 9), 0.5), seeds_at((9, 9, 9), (4, 4, 2)), (1.0, 2.0, 3.0))
    expected = 3.0 / 0.5 * (torch.arange(9, dtype=torch.float64) - 2).abs()
    torch.testing.assert_close(times[4, 4], expected)


@pytest.mark.parametrize("way", WAYS)
def test_a_flat_front_stays_flat(way: type) -> None:
    seeds = torch.zeros((6, 7), dtype=torch.bool)
    seeds[0] = True
    speed = torch.tensor([1.0, 1, 2, 4, 1, 0.5])[:, None].expand(6, 7).contiguous()
    times = way(speed, seeds, (1.5, 1.0))
    expected = 1.5 * torch.tensor([0, 1, 1.5, 1.75, 2.75, 4.75], dtype=torch.float64)
    torch.testing.assert_close(times, expected[:, None].expand(6, 7))


@pytest.mark.parametrize("way", WAYS)
def test_a_corner_is_solved_as_by_hand(way: type) -> None:
    times = way(torch.ones((2, 2)), seeds_at((2, 2), (0, 0)), (3.0, 4.0))
    # ((t - 4) / 3)² + ((t - 3) / 4)² = 1, of the arrivals 4 and 3 at the neighbours.
    assert times.tolist() == [[0, 4], [3, pytest.approx((182 + math.sqrt(13824)) / 50)]]


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (1.0, 2.0, 3.0)], ids=str)
def test_far_from_the_seed_time_is_nearly_the_euclidean_distance(
    spacing: tuple[float, ...],
) -> None:
    shape = tuple(round(60 / step) for step in spacing)
    times = arrival_times(torch.ones(shape), seeds_at(shape, (0, 0, 0)), spacing)
    exact = np.linalg.norm(np.indices(shape) * np.reshape(spacing, (3, 1, 1, 1)), axis=0)
    far = exact > 40
    error = times.numpy()[far] / exact[far] - 1
    assert error.min() > -1e-9
    assert error.max() < 0.09


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("shape", "spacing"), CASES[1:], ids=str)
def test_arrival_times_are_those_of_simpleitk(
    shape: tuple[int, ...], spacing: tuple[float, ...], way: type
) -> None:
    import SimpleITK as sitk  # noqa: N813

    speed = some_speed(shape)
    places = np.random.default_rng(1).integers(0, shape, (3, len(shape)))
    image = sitk.GetImageFromArray(speed.numpy().astype(np.float64))
    image.SetSpacing(spacing[::-1])
    marching = sitk.FastMarchingImageFilter()
    marching.SetTrialPoints(places[:, ::-1].tolist())
    theirs = sitk.GetArrayFromImage(marching.Execute(image))
    ours = way(speed, seeds_at(shape, *map(tuple, places.tolist())), spacing)
    np.testing.assert_allclose(ours, np.where(theirs > 1e30, math.inf, theirs), rtol=1e-9)


@pytest.mark.parametrize("way", WAYS)
def test_no_front_comes_where_the_speed_is_0_or_after_the_stop(way: type) -> None:
    speed = torch.tensor([1.0, 1, 1, 1, 0, 1])
    assert way(speed, seeds_at((6,), (0,)), (1.0,)).tolist() == [0, 1, 2, 3, math.inf, math.inf]
    stopped = way(speed, seeds_at((6,), (0,)), (1.0,), stop=2.0)
    assert stopped.tolist() == [0, 1, 2, math.inf, math.inf, math.inf]


@pytest.mark.parametrize("way", WAYS)
def test_speeds_may_differ_by_any_factor(way: type) -> None:
    speed = torch.tensor([1.0, 1e-9, 1, 1e9, 1e-9, 1])
    times = way(speed, seeds_at((6,), (0,)), (1.0,))
    expected = np.cumsum([0, 1 / np.float64(np.float32(1e-9)), 1, 1e-9])
    np.testing.assert_allclose(times[:4], expected)
    assert float(times[5]) == pytest.approx(2e9, rel=1e-6)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("shape", "spacing"), CASES, ids=str)
def test_torch_gives_what_the_kernels_give(
    shape: tuple[int, ...], spacing: tuple[float, ...], device: str
) -> None:
    for seed in range(5):
        speed = some_speed(shape, seed)
        seeds = torch.zeros(shape, dtype=torch.int32)
        places = np.random.default_rng(seed).choice(seeds.numel(), 4, replace=False)
        seeds.view(-1)[places] = torch.tensor([1, 2, -1, 1], dtype=torch.int32)
        stop = math.inf if seed % 2 else 8.0
        times = arrival_times(speed, seeds != 0, spacing, stop)
        there = arrival_times_in_torch(speed.to(device), seeds.to(device) != 0, spacing, stop)
        np.testing.assert_allclose(there.cpu(), times, rtol=1e-12)
        labels = labels_by_arrival_in_torch(times.to(device), seeds.to(device))
        np.testing.assert_array_equal(labels.cpu(), labels_by_arrival(times, seeds))
        assert ((labels.cpu() == 0) == (times.isinf() & (seeds == 0))).all()


@pytest.mark.parametrize(
    ("shape", "spacing", "speed", "message"),
    [
        ((3, 4), (1, 1), 1.0, r"one shape and 1 to 3 axes, got \(3, 4\) and \(3, 3\)"),
        ((3, 3), (1,), 1.0, "needs 2 spacings above 0 mm"),
        ((3, 3), (1, 0), 1.0, "needs 2 spacings above 0 mm"),
        ((3, 3), (1, 1), -1.0, "speeds are 0 or more, got -1"),
    ],
)
def test_what_makes_no_sense_is_refused(
    shape: tuple[int, ...], spacing: tuple[float, ...], speed: float, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        arrival_times(torch.full(shape, speed), torch.ones((3, 3), dtype=torch.bool), spacing)


# The method


def march(values: object, seeds: object, **parameters: float) -> list[list[int]]:
    image = Image.from_array(np.asarray(values, dtype=np.float32))
    known = Labels(np.asarray(seeds, np.int32), image.grid)
    found: list[list[int]] = method("fast-marching", **parameters).segment(image, known).array
    return np.asarray(found).tolist()


def test_where_there_is_no_edge_labels_meet_half_way() -> None:
    seeds = [[4, 0, 0, 0, 0, 0, 0, 0, 0, -1]]
    assert march(np.zeros((1, 10)), seeds) == [[4] * 5 + [0] * 5]


def test_labels_meet_at_an_edge_though_it_is_nearer_to_one() -> None:
    values = [[0] * 3 + [9] * 9]
    seeds = [[1, *[0] * 10, 2]]
    assert march(values, seeds, scale=0, edge=0.3) == [[1] * 3 + [2] * 9]


def test_a_front_stops_as_far_as_it_goes_in_mm() -> None:
    image = Image.from_array(np.zeros((1, 9), np.float32), (1.0, 2.0))
    seeds = Labels(np.array([[0, 0, 0, 0, 3, 0, 0, 0, 0]]), image.grid)
    found = method("fast-marching", stop=5.0).segment(image, seeds)
    assert found.array.tolist() == [[0, 0, 3, 3, 3, 3, 3, 0, 0]]


def test_speed_halves_where_the_gradient_is_so_many_means() -> None:
    ramp = torch.arange(10.0)[None]
    torch.testing.assert_close(speed_of(ramp, 0, 1.0, (2.0,), None), torch.full((10,), 0.5))
    torch.testing.assert_close(speed_of(ramp, 0, 0.5, (2.0,), None), torch.full((10,), 0.2))
    mask = torch.arange(10) < 6
    masked = speed_of(ramp, 0, 1.0, (2.0,), mask)
    torch.testing.assert_close(masked, torch.where(mask, 0.5, 0.0))
