"""Surfaces between voxels: areas by hand, and those of the authors of the metric."""

import math
import warnings

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from medseg.metrics import Pair, find_metric
from medseg.metrics.surfels import surfels

SPACING = (1.0, 2.0, 3.0)
SPACINGS = [(1.0, 1.0, 1.0), SPACING, (0.7, 1.3, 3.1)]


def box(shape: tuple[int, ...], size: int) -> NDArray[np.bool_]:
    mask = np.zeros(shape, bool)
    mask[tuple(slice(2, 2 + size) for _ in shape)] = True
    return mask


def area(mask: NDArray[np.bool_], spacing: tuple[float, ...]) -> float:
    return surfels(mask, mask, spacing)[0].area


def blob(seed: int, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    noise = np.random.default_rng(seed).normal(size=shape)
    return ndimage.gaussian_filter(noise, 1) > 0.1


@pytest.mark.parametrize("spacing", SPACINGS)
def test_a_voxel_is_an_octahedron(spacing: tuple[float, ...]) -> None:
    a, b, c = spacing
    face = math.sqrt((a * b) ** 2 + (b * c) ** 2 + (a * c) ** 2) / 8
    assert area(box((5, 5, 5), 1), spacing) == pytest.approx(8 * face)


@pytest.mark.parametrize("spacing", SPACINGS)
def test_a_cube_has_flat_faces_and_cut_edges_and_corners(spacing: tuple[float, ...]) -> None:
    a, b, c = spacing
    steps = 3  # between the centres of 4 voxels
    faces = 2 * steps**2 * (a * b + b * c + a * c)
    edges = 4 * steps * (a * math.hypot(b, c) + b * math.hypot(a, c) + c * math.hypot(a, b)) / 2
    corners = math.sqrt((a * b) ** 2 + (b * c) ** 2 + (a * c) ** 2)
    assert area(box((9, 9, 9), 4), spacing) == pytest.approx(faces + edges + corners)


def test_a_square_has_straight_sides_and_cut_corners() -> None:
    assert area(box((9, 9), 4), (1.0, 2.0)) == pytest.approx(2 * 3 * (1 + 2) + 2 * math.sqrt(5))


def test_a_line_has_two_ends() -> None:
    assert area(box((9,), 4), (2.0,)) == 2


def test_a_mask_and_its_opposite_share_their_surface() -> None:
    mask = np.pad(blob(0, (9, 9, 9)), 1)
    frame = area(np.ones_like(mask), SPACING)
    assert area(~mask, SPACING) == pytest.approx(area(mask, SPACING) + frame)


@pytest.mark.parametrize("axes", [2, 3])
def test_the_surface_lies_between_the_voxels(axes: int) -> None:
    spacing = SPACING[:axes]
    large, small = box((9,) * axes, 4), box((9,) * axes, 3)
    first, second = surfels(large, small, spacing)
    # The corner of the larger one sticks out by a voxel along each axis.
    assert first.mm.max() == pytest.approx(math.hypot(*spacing))
    assert second.mm.max() == 2  # from the face that is 3 mm away a side is nearer
    near, far = first.area_within(0), first.area_within(math.hypot(*spacing))
    assert 0 < near < far == pytest.approx(first.area)


def test_a_structure_at_the_edge_of_the_image_is_closed_there() -> None:
    inside = np.pad(np.ones((4, 4, 4), bool), 2)
    assert area(np.ones((4, 4, 4), bool), SPACING) == pytest.approx(area(inside, SPACING))


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("axes", [2, 3])
def test_its_authors_have_the_same_numbers(axes: int, spacing: tuple[float, ...]) -> None:
    theirs = pytest.importorskip("surface_distance", reason="surface-distance is not installed")
    for seed in range(3):
        shape, zooms = (14, 13, 12)[:axes], spacing[:axes]
        predicted, reference = blob(seed, shape), blob(seed, shape) | blob(seed + 9, shape)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            measured = theirs.compute_surface_distances(reference, predicted, zooms)
        pair = Pair.from_masks(predicted, reference, zooms)
        for tolerance in (0.0, 0.5, 1.0, 2.0, 3.7):
            found = find_metric("nsd_surfel", tolerance).compute(pair)
            expected = theirs.compute_surface_dice_at_tolerance(measured, tolerance)
            assert found == pytest.approx(expected, abs=1e-7)  # their table has seven digits
