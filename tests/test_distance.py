"""Distance transforms: exact against SciPy and all pairs, in torch as on the CPU, geodesic ones."""

import math
from heapq import heappop, heappush
from itertools import product

import numpy as np
import pytest
import torch

from medseg.distance import (
    distance_in_torch,
    distance_to,
    geodesic_distance,
    geodesic_in_torch,
)

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.cuda)]
EUCLIDEAN = [distance_to, distance_in_torch]
GEODESIC = [geodesic_distance, geodesic_in_torch]
SHAPES = [
    ((37,), (0.7,)),
    ((23, 31), (1.0, 2.5)),
    ((9, 10, 11), (1.0, 2.0, 3.0)),
    ((20, 17, 19), (0.9375, 0.3, 5.0)),
    ((1, 8, 1), (3.0, 1.0, 2.0)),
]


def points(shape: tuple[int, ...], count: int, seed: int = 0) -> torch.Tensor:
    targets = np.zeros(shape, bool)
    rng = np.random.default_rng(seed)
    targets.flat[rng.choice(targets.size, min(count, targets.size), replace=False)] = True
    return torch.from_numpy(targets)


# Euclidean


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("way", EUCLIDEAN)
@pytest.mark.parametrize("count", [1, 4, 60])
@pytest.mark.parametrize(("shape", "spacing"), SHAPES, ids=str)
def test_distances_are_those_to_the_nearest_of_all_targets(
    shape: tuple[int, ...], spacing: tuple[float, ...], count: int, way: type, device: str
) -> None:
    targets = points(shape, count)
    places = np.stack(np.indices(shape), axis=-1).reshape(-1, len(shape)) * spacing
    near = places[targets.numpy().ravel()]
    wanted = np.linalg.norm(places[:, None] - near, axis=-1).min(axis=1).reshape(shape)
    found = way(targets.to(device), spacing)
    assert found.dtype == torch.float64
    np.testing.assert_allclose(found.cpu(), wanted, rtol=0, atol=1e-9)


@pytest.mark.parametrize("way", EUCLIDEAN)
@pytest.mark.parametrize("share", [0.02, 0.5, 0.98])
def test_distances_are_those_of_scipy(share: float, way: type) -> None:
    from scipy import ndimage

    mask = np.random.default_rng(0).random((21, 40, 33)) < share
    wanted = ndimage.distance_transform_edt(mask, (3.0, 0.5, 1.1))
    found = way(torch.from_numpy(~mask), (3.0, 0.5, 1.1))
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-9)


@pytest.mark.parametrize("way", EUCLIDEAN)
def test_a_target_far_along_the_last_axis_counts_beside_nearer_ones(way: type) -> None:
    targets = torch.zeros((40, 36), dtype=torch.bool)
    targets[0], targets[39, 0] = True, True
    assert way(targets, (1.0, 1.0))[39].tolist() == list(range(36))


def test_far_distances_are_exact_to_a_hundred_thousandth_of_a_millimetre() -> None:
    targets = torch.zeros((600, 3, 500), dtype=torch.bool)
    targets[0, 0, 0] = True
    spacing = (0.976562, 5.0, 0.7)
    away = distance_to(targets, spacing)[-1, -1, -1]
    assert abs(float(away) - math.hypot(599 * 0.976562, 10, 499 * 0.7)) < 1e-5


@pytest.mark.parametrize("way", EUCLIDEAN)
def test_without_targets_all_is_infinitely_far_and_on_targets_nothing_is(way: type) -> None:
    nothing = torch.zeros((4, 5, 6), dtype=torch.bool)
    assert way(nothing, (1, 2, 3)).isinf().all()
    assert not way(~nothing, (1, 2, 3)).any()
    assert way(nothing[:0], (1, 2, 3)).shape == (0, 5, 6)
    assert way(nothing[:1, :1, :1], (1, 2, 3)).isinf().all()


def test_arrays_give_arrays_in_any_order_of_storage() -> None:
    targets = points((7, 8, 9), 5).numpy()
    wanted = distance_to(targets, (1, 2, 3))
    assert isinstance(wanted, np.ndarray)
    targets.flags.writeable = False
    np.testing.assert_array_equal(distance_to(np.asfortranarray(targets), (1, 2, 3)), wanted)


def test_threads_change_nothing(one_thread: None) -> None:
    targets = points((60, 50, 40), 30)
    alone = distance_to(targets, (1, 2, 3))
    torch.set_num_threads(3)
    torch.testing.assert_close(distance_to(targets, (1, 2, 3)), alone, rtol=0, atol=0)


@pytest.mark.parametrize("spacing", [(1.0,), (1, 0), (1, -2), (1, math.nan)], ids=str)
def test_wrong_spacings_are_refused(spacing: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="need 2 spacings above 0 mm"):
        distance_to(torch.ones((3, 3), dtype=torch.bool), spacing)


# Geodesic


def by_dijkstra(
    image: np.ndarray,
    targets: np.ndarray,
    spacing: tuple[float, ...],
    weight: float,
    mask: np.ndarray,
) -> np.ndarray:
    """The definition, slowly."""
    found = np.full(targets.shape, np.inf)
    queue = [(0.0, tuple(place)) for place in np.argwhere(targets & mask).tolist()]
    for _, place in queue:
        found[place] = 0
    steps = [step for step in product((-1, 0, 1), repeat=targets.ndim) if any(step)]
    while queue:
        away, place = heappop(queue)
        if away > found[place]:
            continue
        for step in steps:
            to = tuple(int(p + s) for p, s in zip(place, step, strict=True))
            if not all(0 <= p < n for p, n in zip(to, targets.shape, strict=True)) or not mask[to]:
                continue
            contrast = weight * np.linalg.norm(
                image[(slice(None), *to)] - image[(slice(None), *place)]
            )
            longer = away + math.hypot(contrast, *np.multiply(step, spacing))
            if longer < found[to]:
                found[to] = longer
                heappush(queue, (longer, to))
    return found


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("way", GEODESIC)
@pytest.mark.parametrize("weight", [0.0, 0.5, 40.0])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(("shape", "spacing"), SHAPES[:3] + SHAPES[4:], ids=str)
def test_geodesic_distances_are_the_shortest_paths(
    shape: tuple[int, ...],
    spacing: tuple[float, ...],
    channels: int,
    weight: float,
    way: type,
    device: str,
) -> None:
    rng = np.random.default_rng(1)
    image = rng.random((channels, *shape)).astype(np.float32)
    mask = rng.random(shape) < 0.8
    targets = points(shape, 3).numpy()
    wanted = by_dijkstra(image.astype(float), targets, spacing, weight, mask)
    tensors = [torch.from_numpy(array).to(device) for array in (image, targets, mask)]
    found = way(*tensors[:2], spacing, weight, tensors[2])
    np.testing.assert_allclose(found.cpu(), wanted, rtol=0, atol=1e-9)


@pytest.mark.parametrize("way", GEODESIC)
def test_along_an_axis_of_a_constant_image_it_is_the_euclidean_distance(way: type) -> None:
    targets = torch.zeros((5, 6, 7), dtype=torch.bool)
    targets[2, 3, 0] = True
    found = way(torch.ones((1, 5, 6, 7)), targets, (1.0, 2.0, 3.0))
    torch.testing.assert_close(found[2, 3], 3.0 * torch.arange(7, dtype=torch.float64))


@pytest.mark.parametrize("way", GEODESIC)
def test_a_path_goes_round_a_bright_wall(way: type) -> None:
    image = torch.zeros((1, 5, 5))
    image[0, 1:, 2] = 100
    targets = torch.zeros((5, 5), dtype=torch.bool)
    targets[4, 1] = True
    found = way(image, targets, (1.0, 1.0))
    # Three up, diagonally over the wall's end and down again.
    assert float(found[4, 3]) == pytest.approx(6 + 2 * math.sqrt(2))
    assert float(found[4, 2]) == pytest.approx(math.hypot(1, 100))


@pytest.mark.parametrize("way", GEODESIC)
def test_a_winding_corridor_is_followed_to_its_end(way: type) -> None:
    corridor = torch.ones((15, 16), dtype=torch.bool)
    corridor[1::4, :-1] = corridor[3::4, 1:] = False
    targets = torch.zeros_like(corridor)
    targets[0, 0] = True
    found = way(torch.zeros((1, 15, 16)), targets, (1.0, 1.0), mask=corridor)
    assert found[~corridor].isinf().all()
    # 7 turns of two steps; each corner is cut by a diagonal on both sides.
    assert float(found[14].max()) == pytest.approx(8 * 13 + 7 * 2 * math.sqrt(2) + 2)


@pytest.mark.parametrize("way", GEODESIC)
def test_without_targets_inside_the_mask_all_is_infinitely_far(way: type) -> None:
    nothing = torch.zeros((4, 5), dtype=torch.bool)
    image = torch.zeros((1, 4, 5))
    assert way(image, nothing, (1, 1)).isinf().all()
    assert way(image, ~nothing, (1, 1), mask=nothing).isinf().all()
    assert not way(image, ~nothing, (1, 1)).any()


@pytest.mark.parametrize(
    ("shape", "spacing", "weight", "message"),
    [
        ((1, 3, 4), (1, 1), 1, r"got \(1, 3, 4\) and \(3, 3\)"),
        ((1, 3, 3), (1,), 1, "need 2 spacings above 0 mm"),
        ((1, 3, 3), (1, 1), -1, "weight of contrast is 0 or more"),
    ],
)
def test_what_makes_no_sense_is_refused(
    shape: tuple[int, ...], spacing: tuple[float, ...], weight: float, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        geodesic_distance(torch.zeros(shape), torch.ones((3, 3), dtype=torch.bool), spacing, weight)
