"""Open snakes: lines between two ends that follow edges and vessels."""

import numpy as np
import pytest
from numpy.typing import NDArray
from test_snakes import constant

from medseg import Grid, Image, Labels
from medseg.classical.open_snake import OpenSnake
from medseg.components import components


def arc(spacing: tuple[float, float] = (1.0, 1.0)) -> tuple[Image, NDArray[np.float64]]:
    """Dark above an arc and bright below, in noise, and at what index it is on each row, mm."""
    i, j = np.indices((60, 48))
    border = 24.5 + 8 * np.sin(np.arange(60) / 59 * np.pi)
    noise = np.random.default_rng(0).normal(scale=0.1, size=i.shape)
    share = np.clip(j - border[:, None] + 0.5, 0, 1)
    values = (share + noise)[None].astype(np.float32)
    return Image(values, Grid.from_spacing(i.shape, spacing)), border * spacing[1]


def two_ends(image: Image) -> Labels:
    ends = np.zeros(image.grid.shape, np.uint8)
    ends[0, 24:26] = ends[-1, 24:26] = 3
    return Labels(ends, image.grid)


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (1.0, 2.0)], ids=str)
def test_a_line_between_two_ends_follows_an_edge(spacing: tuple[float, float]) -> None:
    image, border = arc(spacing)
    contour = OpenSnake(scale=spacing[1]).contours(image, two_ends(image))
    wanted = np.interp(contour.points[:, 0], np.arange(60), border)
    # Beside its ends it has just begun to bend.
    assert np.abs(contour.points[:, 1] - wanted)[4:-4].max() < 0.7 * spacing[1]
    np.testing.assert_allclose(
        contour.points[[0, -1]], [[0, 24.5 * spacing[1]], [59, 24.5 * spacing[1]]]
    )
    assert len(contour.cells) == len(contour.points) - 1


def test_the_labels_of_a_line_are_thin_and_joined() -> None:
    image, border = arc()
    found = OpenSnake().segment(image, two_ends(image)).array
    rows = np.arange(60)
    assert set(np.unique(found)) == {0, 3}
    assert 60 <= (found == 3).sum() < 100
    assert (found[rows, np.rint(border).astype(int)] == 3).mean() > 0.8
    assert components(found, connectivity=2)[1] == 1


def test_a_bright_vessel_is_followed_in_3d() -> None:
    shape = (40, 16, 18)
    middle = 8 + 3 * np.sin(np.arange(40) / 39 * np.pi)
    _, j, k = np.indices(shape)
    away = np.hypot(j - middle[:, None, None], k - 8)
    image = Image(np.exp(-(away**2) / 8)[None], Grid.from_spacing(shape))
    ends = np.zeros(shape, np.uint8)
    ends[0, 8, 8] = ends[-1, 8, 8] = 1
    contour = OpenSnake(edge=0, line=1).contours(image, Labels(ends, image.grid))
    wanted = np.interp(contour.points[:, 0], np.arange(40), middle)
    assert np.abs(contour.points[:, 1] - wanted).max() < 0.5


def test_free_ends_move_and_fixed_ones_do_not() -> None:
    image, _ = arc()
    free, fixed = (
        OpenSnake(ends=ends, iterations=60).contours(image, two_ends(image)).size
        for ends in ("free", "fixed")
    )
    assert free < fixed - 2


def test_a_line_without_forces_is_straight() -> None:
    image = constant((20, 30), (1.0, 1.0))
    ends = np.zeros((20, 30), np.uint8)
    ends[3, 4] = ends[15, 20] = 1
    assert OpenSnake().contours(image, Labels(ends, image.grid)).size == pytest.approx(20)


def test_states_of_a_line_end_with_the_result() -> None:
    image, _ = arc()
    states = list(OpenSnake().states(image, two_ends(image)))
    np.testing.assert_array_equal(
        states[-1].array, OpenSnake().segment(image, two_ends(image)).array
    )
    assert 10 < len(states) < 1000


def test_a_line_ends_where_the_volume_does() -> None:
    image = Image(np.eye(10, 11, dtype=np.float32)[None], Grid.from_spacing((10, 11)))
    ends = np.zeros((10, 11), np.uint8)
    ends[0, 10] = ends[9, 10] = 1
    pushed = OpenSnake(edge=0, line=-1, scale=4, elasticity=0, stiffness=0, ends="free")
    found = pushed.segment(image, Labels(ends, image.grid)).array
    assert found[:, 10].any()


def test_a_line_needs_two_ends() -> None:
    image, _ = arc()
    one = np.zeros((60, 48), np.uint8)
    one[5, 5:8] = 4
    with pytest.raises(ValueError, match="seeds of label 4 in two parts that do not touch, got 1"):
        OpenSnake().segment(image, Labels(one, image.grid))
