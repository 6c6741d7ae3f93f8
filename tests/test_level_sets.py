"""Level sets: what they find, by hand, in balls and beside SimpleITK, and when they end."""

import numpy as np
import pytest

from medseg import Grid, Image, Labels, method
from medseg.classical import METHODS

NAMES = ["chan-vese", "geodesic-contour", "laplacian-level-set", "shape-detection"]
NAMES += ["threshold-level-set"]
BALLS = [((80, 80), (1.0, 1.0), 30.3), ((90, 50), (1.0, 2.0), 30.3)]
BALLS += [((44, 42, 46), (1.0, 1.0, 1.0), 17.3), ((50, 26, 18), (1.0, 2.0, 3.0), 20.3)]


def away_from_middle(shape: tuple[int, ...], spacing: tuple[float, ...]) -> np.ndarray:
    steps = np.reshape(spacing, (-1, *[1] * len(shape)))
    middle = np.reshape(shape, steps.shape) // 2
    return np.asarray(np.sqrt((((np.indices(shape) - middle) * steps) ** 2).sum(axis=0)))


def ball(
    shape: tuple[int, ...], spacing: tuple[float, ...], radius: float, noise: float = 0.1
) -> tuple[Image, Labels, np.ndarray]:
    """A noisy ball, a smaller one in it as seeds, and the ball itself."""
    away = away_from_middle(shape, spacing)
    grid = Grid.from_spacing(shape, spacing)
    deviations = np.random.default_rng(0).normal(scale=noise, size=shape)
    inside = away < radius
    return (
        Image((inside + deviations)[None], grid),
        Labels((away < 0.4 * radius).astype(np.uint8), grid),
        inside,
    )


def dice(found: np.ndarray, wanted: np.ndarray) -> float:
    return float(2 * (found & wanted).sum() / (found.sum() + wanted.sum()))


# By hand


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (1.0, 2.0)], ids=str)
def test_chan_vese_parts_a_cone_at_the_golden_ratio(spacing: tuple[float, ...]) -> None:
    # Values 1 - r in a disc of radius 1 have the mean 1 - 2x/3 within x and, beyond it,
    # 1 - 2(1 - x³) / 3(1 - x²): 1 - x is half-way between them where x² + x = 1.
    shape = tuple(round(84 / step) for step in spacing)
    away = away_from_middle(shape, spacing) / 40
    grid = Grid.from_spacing(shape, spacing)
    seeds, mask = (Labels((away < part).astype(np.uint8), grid) for part in (0.3, 1))
    found = method("chan-vese", curvature=0).segment(Image(1 - away[None], grid), seeds, mask)
    radius = ((found.array == 1).sum() / (mask.array == 1).sum()) ** 0.5
    assert radius == pytest.approx((5**0.5 - 1) / 2, abs=0.01)


@pytest.mark.parametrize(("curvature", "voxels"), [(0.0, 89), (3.0, 89), (10.0, 1)])
def test_chan_vese_holds_a_disc_whose_radius_exceeds_the_curvature(
    curvature: float, voxels: int
) -> None:
    # On the border of an even disc it pushes outwards by 1, and inwards by curvature / radius;
    # the last voxel has no bend.
    image, _, disc = ball((24, 24), (1.0, 1.0), 5.3, noise=0)
    seeds = Labels(disc.astype(np.uint8), image.grid)
    found = method("chan-vese", curvature=curvature).segment(image, seeds).array
    assert found.sum() == voxels


# What they find


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("shape", "spacing", "radius"), BALLS, ids=str)
def test_a_contour_grows_to_the_border_of_a_ball(
    name: str, shape: tuple[int, ...], spacing: tuple[float, ...], radius: float
) -> None:
    image, seeds, wanted = ball(shape, spacing, radius)
    assert dice(method(name).segment(image, seeds).array == 1, wanted) > 0.98


@pytest.mark.parametrize("turn", [1, -1])
@pytest.mark.parametrize("name", NAMES)
def test_bright_and_dark_are_the_same(name: str, turn: int) -> None:
    image, seeds, wanted = ball(*BALLS[1])
    found = method(name).segment(Image(turn * image.array, image.grid), seeds).array == 1
    assert dice(found, wanted) > 0.98


def test_a_channel_without_contrast_does_not_hide_one_with_contrast() -> None:
    image, seeds, wanted = ball(*BALLS[0])
    other = np.random.default_rng(1).normal(scale=0.1, size=image.array.shape)
    both = Image(np.concatenate([other, image.array]), image.grid)
    for name in ("chan-vese", "geodesic-contour"):
        assert dice(method(name).segment(both, seeds).array == 1, wanted) > 0.98


def test_a_contour_around_a_ball_shrinks_to_it() -> None:
    image, _, wanted = ball((64, 60), (1.0, 1.0), 15)
    box = np.zeros((64, 60), np.uint8)
    box[6:-6, 6:-6] = 1
    model = method("geodesic-contour", balloon="shrink")
    assert dice(model.segment(image, Labels(box, image.grid)).array == 1, wanted) > 0.97


def test_the_pull_of_edges_brings_a_contour_back_that_is_past_them() -> None:
    image, _, wanted = ball((64, 60), (1.0, 1.0), 15, noise=0)
    past = Labels((away_from_middle((64, 60), (1.0, 1.0)) < 16.6).astype(np.uint8), image.grid)
    found = [
        method("geodesic-contour", balloon="none", curvature=0, advection=weight).segment(
            image, past
        )
        for weight in (0, 5)
    ]
    assert dice(found[0].array == 1, wanted) < 0.96 < 0.99 < dice(found[1].array == 1, wanted)


def test_curvature_closes_a_gap_through_which_region_growing_leaks() -> None:
    values = np.zeros((60, 60))
    values[10:50, 10:30] = values[29:31, 30:34] = values[10:50, 34:54] = 1
    values += np.random.default_rng(0).normal(scale=0.02, size=values.shape)
    image = Image(values[None], Grid.from_spacing((60, 60)))
    seeds = np.zeros((60, 60), np.uint8)
    seeds[20:40, 15:25] = 1
    start = Labels(seeds, image.grid)
    grown = method("region-growing", tolerance=8).segment(image, start).array
    held = (
        method("threshold-level-set", lower=0.5, upper=1.5, curvature=2).segment(image, start).array
    )
    assert grown[:, 34:].any()
    assert not held[:, 34:].any()
    assert held[12:48, 12:28].mean() > 0.98


def test_two_contours_share_what_both_would_take() -> None:
    image, _, wanted = ball(*BALLS[0])
    two = np.zeros(image.grid.shape, np.uint8)
    two[30:38, 36:44], two[43:51, 36:44] = 1, 5
    found = method("chan-vese").segment(image, Labels(two, image.grid)).array
    assert dice(found > 0, wanted) > 0.97
    np.testing.assert_allclose(*np.bincount(found.ravel())[[1, 5]], rtol=0.3)


def test_contours_do_not_enter_background_seeds() -> None:
    image, seeds, _ = ball(*BALLS[0])
    marked = seeds.array.astype(np.int8)
    marked[40:, :20] = -1
    for name in NAMES:
        found = method(name).segment(image, Labels(marked, image.grid)).array
        assert not found[40:, :20].any()


# Beside SimpleITK


def test_a_threshold_level_set_finds_what_that_of_simpleitk_finds() -> None:
    import SimpleITK as sitk  # noqa: N813

    shape, spacing, radius = (26, 24, 28), (1.0, 1.0, 1.0), 9.3
    image, seeds, _ = ball(shape, spacing, radius)
    # SimpleITK wants a signed function and not a region, and its speeds know no spacing.
    start = away_from_middle(shape, spacing) - 0.4 * radius
    solver = sitk.ThresholdSegmentationLevelSetImageFilter()
    solver.SetLowerThreshold(0.5)
    solver.SetUpperThreshold(1.5)
    solver.SetNumberOfIterations(200)
    solver.SetCurvatureScaling(0.5)
    solver.SetMaximumRMSError(1e-4)
    images = (sitk.GetImageFromArray(each.astype(np.float32)) for each in (start, image.array[0]))
    theirs = sitk.GetArrayFromImage(solver.Execute(*images))
    ours = method("threshold-level-set", lower=0.5, upper=1.5).segment(image, seeds).array == 1
    assert max(dice(theirs < 0, ours), dice(theirs > 0, ours)) > 0.97


# When they end


@pytest.mark.parametrize("name", NAMES)
def test_states_begin_with_the_seeds_and_end_with_the_result(name: str) -> None:
    image, seeds, _ = ball((30, 32), (1.0, 1.0), 10)
    model = METHODS[name]()
    states: list[Labels] = list(model.states(image, seeds))  # type: ignore[attr-defined]
    np.testing.assert_array_equal(states[0].array, seeds.array)
    np.testing.assert_array_equal(states[-1].array, model.segment(image, seeds).array)
    assert 10 < len(states) < 1000


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_endless_in_a_constant_image(name: str) -> None:
    image = Image(np.full((1, 20, 21), 3.0), Grid.from_spacing((20, 21)))
    seeds = np.zeros((20, 21), np.uint8)
    seeds[8:12, 9:13] = 1
    options = {"lower": 4.0, "upper": 5.0} if name == "threshold-level-set" else {}
    states = METHODS[name](iterations=10_000, **options).states(image, Labels(seeds, image.grid))  # type: ignore[attr-defined]
    assert len(list(states)) < 300


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lower": 2.0, "upper": 1.0}, "a lower end below the upper one, got lower=2.0, upper=1.0"),
        ({"width": 0}, "width is a number above 0"),
    ],
)
def test_an_interval_has_two_ends(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        method("threshold-level-set", **options)


def test_seeds_that_say_nothing_of_their_region_are_refused() -> None:
    image = Image(np.zeros((1, 5, 5)), Grid.from_spacing((5, 5)))
    seeds = np.zeros((5, 5), np.uint8)
    seeds[2, 2] = 1
    with pytest.raises(ValueError, match=r"constant.*give lower and upper"):
        method("threshold-level-set").segment(image, Labels(seeds, image.grid))
