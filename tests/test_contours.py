"""Contours of points: what lies inside, how they go around voxels, and their files."""

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray

from medseg.contour import (
    Contour,
    Crossings,
    filled,
    outlined,
    outlined_again,
    running_sums,
    well_composed,
)
from medseg.io import write_contour

SQUARE = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
CYCLE = np.array([[0, 1], [1, 2], [2, 3], [3, 0]])
# Its faces turn counter-clockwise, seen from outside.
TETRAHEDRON = np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
FACES = np.array([[0, 2, 1], [0, 1, 3], [1, 2, 3], [2, 0, 3]])
ONES = np.ones(4, np.int64)
SHAPES = [(23, 19), (13, 12, 11)]


def away(shape: tuple[int, ...], middle: tuple[float, ...]) -> NDArray[np.float64]:
    steps = np.indices(shape) - np.reshape(middle[: len(shape)], (-1, *[1] * len(shape)))
    return np.asarray(np.sqrt((steps**2).sum(axis=0)))


def scattered(shape: tuple[int, ...]) -> NDArray[np.bool_]:
    return np.random.default_rng(0).random(shape) < 0.3


def directed(cells: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Edges of triangles, each in the direction of its triangle."""
    return [
        tuple(edge)
        for k in range(3)
        for edge in np.stack([cells[:, k], cells[:, (k + 1) % 3]], axis=1).tolist()
    ]


def enclosed(points: NDArray[np.float64], cells: NDArray[np.int64]) -> float:
    """Area of a curve, volume of a surface; above 0 if it is turned as it should be."""
    corners = points[cells]
    if len(points[0]) == 2:
        return float(np.linalg.det(corners).sum() / 2)
    return float(np.linalg.det(corners).sum() / 6)


# What lies inside


def test_a_square_holds_the_voxels_whose_centres_are_in_it() -> None:
    found = filled(SQUARE * [3.0, 2.0] + [1.2, 0.4], CYCLE, (6, 5))
    wanted = np.zeros((6, 5), bool)
    wanted[2:5, 1:3] = True
    np.testing.assert_array_equal(found, wanted)


def test_a_centre_on_the_contour_belongs_to_one_side_of_it_only() -> None:
    left, right = (filled(SQUARE * 2 + [begin, 1.0], CYCLE, (7, 5)) for begin in (1.0, 3.0))
    assert not (left & right).any()
    assert (left | right).sum() == 2 * 2 * 2


def test_a_tetrahedron_holds_the_voxels_below_its_slope() -> None:
    found = filled(TETRAHEDRON * 7.5 - 0.25, FACES, (8, 8, 8))
    np.testing.assert_array_equal(found, np.indices((8, 8, 8)).sum(axis=0) < 6.75)


def test_what_leaves_the_volume_is_cut_off() -> None:
    assert filled(SQUARE * 20 - 10, CYCLE, (5, 6)).all()
    assert filled(TETRAHEDRON * 90 - 20, FACES, (4, 5, 6)).all()
    assert not filled(SQUARE + 20, CYCLE, (5, 6)).any()


def test_a_loop_that_is_turned_inside_out_holds_nothing() -> None:
    assert not filled(SQUARE * 3, CYCLE[:, ::-1], (5, 5)).any()


def test_the_volume_of_a_fine_ball_is_known() -> None:
    points, cells = outlined(away((60, 61, 62), (29.3, 30.1, 30.8)) < 20)
    points = 22.4 * (points - [29.3, 30.1, 30.8])
    points = points / np.linalg.norm(points, axis=1, keepdims=True) * 22.4 + [29.3, 30.1, 30.8]
    assert filled(points, cells, (60, 61, 62)).sum() == pytest.approx(
        4 / 3 * np.pi * 22.4**3, rel=0.005
    )


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_sums_over_the_inside_are_those_of_the_voxels(shape: tuple[int, ...]) -> None:
    points, cells = outlined(scattered(shape))
    values = np.random.default_rng(1).normal(size=(2, *shape))
    sums = Crossings.of(points, cells, shape).sums(running_sums(values))
    np.testing.assert_allclose(sums, values[:, filled(points, cells, shape)].sum(axis=1))


# Around voxels


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("kind", ["ball", "scattered", "full", "none"])
def test_a_contour_holds_the_voxels_it_goes_around(kind: str, shape: tuple[int, ...]) -> None:
    inside = {
        "ball": away(shape, (6.3, 5.8, 5.1)) < 4.5,
        "scattered": scattered(shape),
        "full": np.ones(shape, bool),
        "none": np.zeros(shape, bool),
    }[kind]
    points, cells = outlined(inside)
    wanted = well_composed(np.pad(inside, 1))[tuple([slice(1, -1)] * len(shape))]
    np.testing.assert_array_equal(filled(points, cells, shape), wanted)
    assert set(np.unique(Crossings.of(points, cells, shape).windings())) <= {0, 1}
    if kind == "ball":
        np.testing.assert_array_equal(wanted, inside)


def test_a_surface_closes_and_touches_itself_nowhere() -> None:
    points, cells = outlined(scattered((13, 12, 11)))
    edges = directed(cells)
    assert len(set(edges)) == len(edges)
    assert {(b, a) for a, b in edges} == set(edges)
    # The triangles at a point are a single fan: as many as it has neighbours, in one cycle.
    following: list[dict[int, int]] = [{} for _ in points]
    for a, b, c in [row for k in range(3) for row in np.roll(cells, k, axis=1).tolist()]:
        following[a][b] = c
    for fan in following:
        start = at = next(iter(fan))
        length = 0
        while length == 0 or at != start:
            at, length = fan[at], length + 1
        assert length == len(fan)


def test_a_curve_passes_each_point_once() -> None:
    points, cells = outlined(scattered((23, 19)))
    for ends in cells.T:
        np.testing.assert_array_equal(np.sort(ends), np.arange(len(points)))


def test_a_hole_has_a_contour_that_is_turned_the_other_way() -> None:
    inside = np.ones((9, 9), bool)
    inside[3:6, 3:6] = False
    points, cells = outlined(inside)
    inner = (np.abs(points[cells[:, 0]] - 4) < 2.5).min(axis=1)
    assert enclosed(points, cells[inner]) < 0 < enclosed(points, cells[~inner])


@pytest.mark.parametrize(
    ("points", "cells"), [(SQUARE, CYCLE), (TETRAHEDRON, FACES)], ids=["2d", "3d"]
)
def test_outlining_again_changes_little(
    points: NDArray[np.float64], cells: NDArray[np.int64]
) -> None:
    places = points * 15.3 + 2.6
    found, joined = outlined_again(places, cells, (22,) * len(points[0]))
    assert enclosed(found, joined) == pytest.approx(enclosed(places, cells), rel=0.05)
    assert np.abs(found.min(axis=0) - places.min(axis=0)).max() < 0.5


def test_where_a_region_lies_changes_nothing_but_its_place() -> None:
    inside = np.random.default_rng(0).random((7, 8, 6)) < 0.4
    points, cells = outlined(inside)
    moved, same = outlined(np.pad(inside, ((4, 2), (1, 5), (9, 0))))
    np.testing.assert_allclose(moved - [4, 1, 9], points, atol=1e-12)
    np.testing.assert_array_equal(same, cells)


def test_an_empty_region_has_no_outline() -> None:
    points, cells = outlined(np.zeros((4, 5, 6), bool))
    assert points.shape == cells.shape == (0, 3)


def test_outlining_again_unties_a_curve_that_crosses_itself() -> None:
    eight = np.array([[2.0, 2.0], [12.0, 12.3], [12.0, 2.0], [2.0, 12.3]])
    points, cells = outlined_again(eight, CYCLE, (15, 15))
    windings = Crossings.of(points, cells, (15, 15)).windings()
    assert windings.min() == 0
    assert windings.max() == 1
    # Of the two halves one is turned inside out, and gone.
    assert 0 < enclosed(points, cells) < 30


# In the world


def test_size_is_length_or_area() -> None:
    assert Contour(SQUARE * 3, CYCLE, ONES).size == pytest.approx(12)
    assert Contour(TETRAHEDRON, FACES, ONES).size == pytest.approx(1.5 + 3**0.5 / 2)


def test_a_label_has_its_cells_and_points_alone() -> None:
    both = Contour(
        np.concatenate([SQUARE, SQUARE + 5]),
        np.concatenate([CYCLE, CYCLE + 4]),
        np.repeat([1, 7], 4),
    )
    other = both.of(7)
    np.testing.assert_array_equal(other.points, SQUARE + 5)
    np.testing.assert_array_equal(other.cells, CYCLE)
    assert not len(both.of(3).cells)


@pytest.mark.parametrize(
    ("points", "cells", "message"),
    [
        (np.zeros((3, 4)), CYCLE[:1], r"\(n, 2\) or \(n, 3\) points, got shape \(3, 4\)"),
        (SQUARE, CYCLE[:, :1], r"segments or \(m, 3\) triangles and a label for each"),
        (SQUARE[:3], CYCLE, "points 0 to 2, got 0 to 3"),
    ],
)
def test_a_contour_that_does_not_fit_is_refused(
    points: NDArray[np.float64], cells: NDArray[np.int64], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Contour(points, cells, np.ones(len(cells), np.int64))


# Files


def read_vtk(path: Path) -> tuple[str, NDArray, NDArray, NDArray]:
    """Kind of the cells, points, cells and labels of a binary file."""
    content = path.read_bytes()
    assert content.startswith(b"# vtk DataFile Version 3.0\n")
    assert b"SPACE=RAS" in content.split(b"\n")[1]
    assert content.split(b"\n")[2:4] == [b"BINARY", b"DATASET POLYDATA"]

    def block(word: bytes, kind: str) -> tuple[list[bytes], NDArray]:
        header, rest = content[content.index(word) :].split(b"\n", 1)
        count = int(header.split()[1]) * 3 if word == b"POINTS" else int(header.split()[-1])
        return header.split(), np.frombuffer(rest, kind, count)

    word = b"LINES" if b"\nLINES" in content else b"POLYGONS"
    (_, count, _), cells = block(word, ">i4")
    cells = cells.reshape(int(count), -1)
    assert (cells[:, 0] == cells.shape[1] - 1).all()
    labels = np.frombuffer(content.split(b"LOOKUP_TABLE default\n")[1], ">i4", int(count))
    return word.decode(), block(b"POINTS", ">f4")[1].reshape(-1, 3), cells[:, 1:], labels


def test_vtk_holds_curves_and_surfaces(tmp_path: Path) -> None:
    labels = np.array([1, 1, 2, 2])
    for points, cells, kind in ((SQUARE, CYCLE, "LINES"), (TETRAHEDRON, FACES, "POLYGONS")):
        write_contour(Contour(points, cells, labels), tmp_path / "a" / "contour.vtk")
        found = read_vtk(tmp_path / "a" / "contour.vtk")
        assert found[0] == kind
        np.testing.assert_array_equal(found[1][:, : len(points[0])], points)
        np.testing.assert_array_equal(found[2], cells)
        np.testing.assert_array_equal(found[3], labels)
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["contour.vtk"]


def test_gifti_holds_a_surface(tmp_path: Path) -> None:
    write_contour(Contour(TETRAHEDRON, FACES, ONES), tmp_path / "contour.gii")
    image: Any = nib.load(tmp_path / "contour.gii")
    np.testing.assert_array_equal(image.agg_data("pointset"), TETRAHEDRON)
    np.testing.assert_array_equal(image.agg_data("triangle"), FACES)


@pytest.mark.parametrize(
    ("contour", "name", "message"),
    [
        (Contour(SQUARE, CYCLE, ONES), "a.gii", "surfaces of triangles, got a curve"),
        (Contour(TETRAHEDRON, FACES, np.arange(4)), "a.gii", "those of labels 0, 1, 2, 3"),
        (Contour(SQUARE, CYCLE, ONES), "a.stl", r"written as .vtk, .gii, got .*a\.stl"),
    ],
)
def test_what_a_file_cannot_hold_is_refused(
    contour: Contour, name: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        write_contour(contour, tmp_path / name)
    assert not list(tmp_path.iterdir())
