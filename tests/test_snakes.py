"""Snakes: circles by elasticity alone, balls found, concave parts, contours in the world."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from test_level_sets import away_from_middle, ball, dice

from medseg import Grid, Image, Labels, method, reorient
from medseg.classical import moving
from medseg.classical.attraction import gradient_vector_flow
from medseg.classical.curves import Curves, evenly
from medseg.classical.matter import Matter
from medseg.classical.membranes import around
from medseg.classical.pulling import Place, Pull
from medseg.classical.snake import Snake
from medseg.contour import filled

BALLS: list[tuple[tuple[int, ...], tuple[float, ...], float]] = [
    ((80, 80), (1.0, 1.0), 30.3),
    ((90, 50), (1.0, 2.0), 30.3),
]
BALLS += [((30, 29, 32), (1.0, 1.0, 1.0), 11.3), ((36, 18, 12), (1.0, 2.0, 3.0), 14.3)]
ALONE: dict[str, Any] = {"region": 0, "edge": 0}  # what else pulls is named


def constant(shape: tuple[int, ...], spacing: tuple[float, ...]) -> Image:
    return Image(np.full((1, *shape), 3.0), Grid.from_spacing(shape, spacing))


def seeded(inside: NDArray[np.bool_], image: Image) -> Labels:
    return Labels(inside.astype(np.uint8), image.grid)


def letter_u() -> tuple[Image, Labels, NDArray[np.bool_]]:
    """The letter U, a disc around it as seeds, and what lies in its gap."""
    inside, gap = np.zeros((2, 64, 64), bool)
    inside[16:48, 16:48] = True
    inside[26:38, 16:38] = False
    gap[27:37, 18:36] = True
    image = Image(inside[None].astype(float), Grid.from_spacing((64, 64)))
    return image, seeded(away_from_middle((64, 64), (1.0, 1.0)) < 28, image), gap


def radii(points: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.linalg.norm(points - points.mean(axis=0), axis=1))


# By hand


@pytest.mark.parametrize("shape", [(60, 60), (40, 42, 41)], ids=["2d", "3d"])
def test_elasticity_shrinks_a_ball_at_the_known_rate(shape: tuple[int, ...]) -> None:
    spacing = (1.0,) * len(shape)
    membrane = around(away_from_middle(shape, spacing) < 15, spacing, Matter(1.0, 0.0, 1.0))
    before = radii(membrane.points).mean()
    for _ in range(20):
        even = np.ones(len(membrane.points))
        membrane = membrane.moved(membrane.relaxed(membrane.points, even, 1.0)).mended()
    after = (before**2 - 2 * (len(shape) - 1) * 20) ** 0.5
    assert radii(membrane.points).mean() == pytest.approx(after, rel=0.02)


def test_an_elastic_contour_becomes_a_circle_and_then_nothing() -> None:
    image = constant((50, 60), (1.0, 1.0))
    box = np.zeros((50, 60), bool)
    box[20:30, 8:52] = True
    states = [
        method("snake", elasticity=1, iterations=count, tolerance=0, **ALONE).contours(  # type: ignore[attr-defined]
            image, seeded(box, image)
        )
        for count in (1, 26, 60)
    ]
    spread = [radii(each.points).std() / radii(each.points).mean() for each in states[:2]]
    assert spread[1] < 0.1 < 0.3 < spread[0]
    assert not len(states[2].cells)


def test_an_elastic_surface_becomes_nothing() -> None:
    image = constant((10, 6, 5), (1.0, 2.0, 3.0))
    point = np.zeros((10, 6, 5), bool)
    point[4, 3, 2] = True
    snake = Snake(radius=4, elasticity=2, **ALONE)
    assert snake.segment(image, seeded(point, image)).array.max() == 0
    assert not len(snake.contours(image, seeded(point, image)).cells)


def test_two_surfaces_that_are_dots_are_gone_however_far_apart() -> None:
    spacing = (1.0, 1.0, 1.0)
    near = away_from_middle((9, 9, 9), spacing) < 3
    surface = around(np.concatenate([near, near]), spacing, Matter(1.0, 0.0, 1.0))
    first = surface.points[:, :1] < 8.5
    ways = surface.points - np.where(first, [4.0, 4, 4], [13.0, 4, 4])
    there = np.where(first, [4.0, 4, 4], [13.0, 9, 8])
    for size, left in ((0.5, True), (1e-9, False)):
        assert bool(len(surface.moved(there + size * ways).cells)) == left  # type: ignore[attr-defined]


def test_stiffness_holds_against_bends_and_not_against_size() -> None:
    angles = np.linspace(0, 2 * np.pi, 240, endpoint=False)
    ring = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    wavy = evenly(ring * (20 + np.cos(12 * angles))[:, None], 1.0)
    curve = Curves((wavy,), Matter(0.0, 60.0, 1.0))
    after = radii(curve.relaxed(wavy, np.ones(len(wavy)), 1.0))
    assert np.ptp(after) < 0.3 * np.ptp(radii(wavy))
    assert after.mean() == pytest.approx(radii(wavy).mean(), rel=0.01)


@pytest.mark.parametrize("speed", [1.0, -0.5])
@pytest.mark.parametrize(("shape", "spacing", "radius"), BALLS, ids=str)
def test_a_balloon_moves_a_ball_by_as_many_mm(
    shape: tuple[int, ...], spacing: tuple[float, ...], radius: float, speed: float
) -> None:
    image = constant(shape, spacing)
    start = seeded(away_from_middle(shape, spacing) < radius / 2, image)
    options = {"elasticity": 0, "stiffness": 0, "balloon": speed, "tolerance": 0, **ALONE}
    steps = [1, 1 + int(radius / 4 / min(spacing))]  # of a voxel each, but for the first
    found = [
        radii(method("snake", iterations=count, **options).contours(image, start).points).mean()  # type: ignore[attr-defined]
        for count in steps
    ]
    wanted = np.sign(speed) * min(spacing) * (steps[1] - steps[0])
    assert found[1] - found[0] == pytest.approx(wanted, abs=0.06 * radius)


def test_gradient_vector_flow_is_the_smoothest_field() -> None:
    rng = np.random.default_rng(0)
    shape, spacing, diffusion = (9, 11), (1.0, 2.0), 0.3
    slope = torch.from_numpy(rng.normal(size=(2, *shape)) * (rng.random(shape) < 0.3))
    weight = (slope**2).sum(dim=0).ravel().numpy()
    size = weight.size
    matrix, number = np.diag(weight), np.arange(size).reshape(shape)
    for axis, step in enumerate(spacing):
        first, second = (np.take(number, range(k, shape[axis] - 1 + k), axis) for k in (0, 1))
        for a, b in zip(first.ravel(), second.ravel(), strict=True):
            share = diffusion / step**2
            matrix[[a, b], [a, b]] += share
            matrix[[a, b], [b, a]] -= share
    wanted = np.linalg.solve(matrix, (weight * slope.reshape(2, -1).numpy()).T).T
    found = gradient_vector_flow(slope, diffusion, spacing).reshape(2, -1).numpy()
    assert np.abs(found - wanted).max() < 0.05 * np.abs(wanted).max()


# What they find


@pytest.mark.parametrize(("shape", "spacing", "radius"), BALLS, ids=str)
def test_a_snake_grows_to_the_border_of_a_noisy_ball(
    shape: tuple[int, ...], spacing: tuple[float, ...], radius: float
) -> None:
    image, seeds, wanted = ball(shape, spacing, radius, noise=0.3)
    contour = Snake().contours(image, seeds)
    assert dice(filled(contour.points / spacing, contour.cells, shape), wanted) > 0.97
    assert radii(contour.points).mean() == pytest.approx(radius, rel=0.03)
    exact = 2 * np.pi * radius if len(shape) == 2 else 4 * np.pi * radius**2
    assert contour.size == pytest.approx(exact, rel=0.04)


@pytest.mark.parametrize("options", [{"region": 0, "edge": 1}, {"region": 1, "edge": 0}])
@pytest.mark.parametrize("turn", [1, -1])
def test_bright_and_dark_are_the_same(turn: int, options: dict[str, Any]) -> None:
    image, seeds, wanted = ball(*BALLS[1])
    image = Image(turn * image.array, image.grid)
    assert dice(Snake(**options).segment(image, seeds).array == 1, wanted) > 0.96


def test_gradient_vector_flow_leads_into_a_gap_into_which_a_gradient_does_not() -> None:
    image, seeds, gap = letter_u()
    taken = [
        Snake(region=0, edge=1, reach=reach, scale=0.7).segment(image, seeds).array[gap].mean()
        for reach in ("gvf", "gradient")
    ]
    # Elasticity draws the contour a little way into the gap.
    assert taken[0] == 0
    assert taken[1] > 0.9


def test_long_steps_rest_where_short_ones_do(monkeypatch: pytest.MonkeyPatch) -> None:
    image, _, _ = ball((50, 50), (1.0, 1.0), 12, noise=0.05)
    start = seeded(away_from_middle((50, 50), (1.0, 1.0)) < 20, image)
    snake = Snake(region=0, edge=1, reach="gradient", elasticity=2, radius=0, tolerance=1e-3)
    long = len(list(snake.states(image, start))), snake.contours(image, start).points
    monkeypatch.setattr(moving, "_LONGEST", 1.0)
    short = len(list(snake.states(image, start))), snake.contours(image, start).points
    assert long[0] < short[0] / 2
    assert cKDTree(short[1]).query(long[1])[0].max() < 0.5
    assert radii(long[1]).mean() == pytest.approx(radii(short[1]).mean(), abs=0.05)


def test_no_step_moves_a_point_farther_than_its_pace_allows() -> None:
    shape, spacing = (30, 30, 30), (1.0, 1.0, 1.0)
    field = np.random.default_rng(0).normal(size=(3, *shape)).astype(np.float32)
    place = Place(np.ones(shape, bool), np.array(spacing))
    pull = Pull(place, field, None, None, 0.0)
    surface = around(away_from_middle(shape, spacing) < 8, spacing, Matter(0.1, 0.0, 1.0))
    moved, pace = surface.stepped(pull, place, moving.Pace(8.0, 0.25, 64.0))
    across = ((moved.points - surface.points) * surface.normals()).sum(axis=1)  # type: ignore[attr-defined]
    assert 0.1 < np.abs(across).max() <= 0.25
    assert pace.time < 8


@pytest.mark.parametrize("turn", [1, -1])
def test_a_line_is_found_that_is_bright_or_dark(turn: int) -> None:
    ring = np.abs(away_from_middle((50, 50), (1.0, 1.0)) - 15)
    image = Image(turn * np.exp(-(ring**2) / 8)[None], Grid.from_spacing((50, 50)))
    start = seeded(away_from_middle((50, 50), (1.0, 1.0)) < 12, image)
    contour = Snake(line=turn, **ALONE).contours(image, start)
    assert radii(contour.points).mean() == pytest.approx(15, abs=0.3)


def test_contours_that_meet_become_one_and_do_not_cross() -> None:
    image, _, wanted = ball(*BALLS[0])
    two = np.zeros(image.grid.shape, bool)
    two[28:36, 36:44] = two[43:51, 36:44] = True
    snake = Snake()
    assert dice(snake.segment(image, seeded(two, image)).array == 1, wanted) > 0.97
    contour = snake.contours(image, seeded(two, image))
    following = dict(contour.cells.tolist())
    at, length = following[0], 1
    while at != 0:
        at, length = following[at], length + 1
    assert length == len(contour.points)
    assert not _crossing(contour.points[contour.cells])


def _crossing(segments: NDArray[np.float64]) -> bool:
    """Whether any two of (n, 2, 2) segments cross, each compared with each."""
    along = segments[:, 1] - segments[:, 0]

    def side(points: NDArray[np.float64]) -> NDArray[np.float64]:
        steps = points[None] - segments[:, None, 0]
        return np.asarray(along[:, None, 0] * steps[..., 1] - along[:, None, 1] * steps[..., 0])

    apart = side(segments[:, 0]) * side(segments[:, 1]) < 0
    return bool((apart & apart.T).any())


def test_a_curve_that_crosses_itself_is_untied() -> None:
    matter = Matter(0.0, 0.0, 1.0)
    eight = evenly(np.array([[0.0, 0.0], [20.0, 20.4], [20.0, 0.0], [0.0, 20.4]]), 1.0)
    curves = Curves((eight,), matter)
    mended = curves.mended()
    assert curves.crossing()
    assert not mended.crossing()
    assert _crossing(curves.points[curves.cells])
    assert not _crossing(mended.points[mended.cells])


def test_a_surface_that_grows_gets_more_points_as_far_apart() -> None:
    image, _, _ = ball(*BALLS[2])
    point = seeded(away_from_middle(*BALLS[2][:2]) < 1, image)
    first, last = (Snake(iterations=n).contours(image, point) for n in (1, 1000))
    for contour in (first, last):
        corners = contour.points[contour.cells]
        lengths = np.linalg.norm(corners - np.roll(corners, -1, axis=1), axis=2)
        assert 0.6 < lengths.mean() < 1.7
        assert lengths.max() < 3.5
    assert len(last.points) > 2 * len(first.points)


def test_two_contours_share_what_both_would_take() -> None:
    image, _, wanted = ball(*BALLS[0])
    two = np.zeros(image.grid.shape, np.uint8)
    two[30:38, 36:44], two[43:51, 36:44] = 1, 5
    seeds = Labels(two, image.grid, {1: "left", 5: "right"})
    found = Snake().segment(image, seeds)
    assert dice(found.array > 0, wanted) > 0.95
    sizes = np.bincount(found.array.ravel())
    assert sizes[1] == pytest.approx(sizes[5], rel=0.3)
    assert found.names == seeds.names
    assert set(Snake().contours(image, seeds).labels) == {1, 5}


def test_contours_do_not_enter_background_seeds() -> None:
    image, seeds, _ = ball(*BALLS[0])
    marked = seeds.array.astype(np.int8)
    marked[40:, :20] = -1
    found = Snake().segment(image, Labels(marked, image.grid)).array
    assert not found[40:, :20].any()
    assert found[20:30, 25:30].all()


def test_a_channel_without_contrast_does_not_hide_one_with_contrast() -> None:
    image, seeds, wanted = ball(*BALLS[0])
    other = np.random.default_rng(1).normal(scale=0.1, size=image.array.shape)
    both = Image(np.concatenate([other, image.array]), image.grid)
    assert dice(Snake().segment(both, seeds).array == 1, wanted) > 0.98


def test_a_seed_of_one_voxel_begins_a_contour() -> None:
    image, _, wanted = ball(*BALLS[0])
    point = np.zeros(image.grid.shape, bool)
    point[40, 40] = True
    assert dice(Snake().segment(image, seeded(point, image)).array == 1, wanted) > 0.98


# States and the world


@pytest.mark.parametrize(("shape", "spacing", "radius"), BALLS[1::2], ids=str)
def test_states_begin_with_the_seeds_and_end_with_the_result(
    shape: tuple[int, ...], spacing: tuple[float, ...], radius: float
) -> None:
    image, seeds, _ = ball(shape, spacing, radius / 2)
    states = list(Snake(radius=0).states(image, seeds))
    assert dice(states[0].array == 1, seeds.array == 1) > 0.9
    np.testing.assert_array_equal(states[-1].array, Snake(radius=0).segment(image, seeds).array)
    assert 10 < len(states) < 1000


def test_contours_lie_where_their_labels_do_however_these_are_stored() -> None:
    image, seeds, _ = ball((30, 15, 10), (1.0, 2.0, 3.0), 10)
    turn = np.array([[0, -2, 0, 5.0], [0.6, 0, -2.4, 9], [0.8, 0, 1.8, -30], [0, 0, 0, 1]])
    grid = Grid(image.grid.shape, turn)
    image, seeds = Image(image.array, grid), Labels(seeds.array, grid)
    contour = Snake().contours(image, seeds)
    back = np.linalg.inv(turn)
    found = filled(contour.points @ back[:3, :3].T + back[:3, 3], contour.cells, grid.shape)
    np.testing.assert_array_equal(found, Snake().segment(image, seeds).array == 1)
    other = Snake().contours(reorient(image, "LPS"), reorient(seeds, "LPS"))
    np.testing.assert_allclose(other.points, contour.points, atol=1e-9)


def test_the_contour_of_a_slice_lies_in_its_plane() -> None:
    image, seeds, _ = ball((40, 30), (1.0, 1.0), 10)
    grid = Grid((40, 1, 30), np.array([[1, 0, 0, 3], [0, 2, 0, 7], [0, 0, 1, 5], [0, 0, 0, 1.0]]))
    thick = Image(image.array[:, :, None], grid), Labels(seeds.array[:, None], grid)
    flat, slab = Snake().contours(image, seeds), Snake().contours(*thick)
    np.testing.assert_allclose(slab.points[:, [0, 2]] - [3, 5], flat.points)
    np.testing.assert_array_equal(slab.points[:, 1], 7)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"distance": 0}, "distance is a number above 0, got 0"),
        ({"elasticity": -1}, "elasticity is a number of at least 0, got -1"),
        ({"reach": "far"}, "reach is 'gvf' or 'gradient', got 'far'"),
    ],
)
def test_parameters_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        method("snake", **options)
