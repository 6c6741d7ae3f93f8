"""The 48 ways to store a volume: nothing moves in the world."""

from itertools import permutations, product

import numpy as np
import pytest
from drawn import oblique_affine, rotation, some_image, some_labels
from hypothesis import given, settings
from hypothesis import strategies as st

from medseg.volume import Grid, Image, Labels, orientation, reorient

ORIENTATIONS = [
    "".join(letters) for axes in permutations(["RL", "AP", "SI"]) for letters in product(*axes)
]


def by_place(volume: Image | Labels) -> dict[tuple[float, ...], float]:
    """Value of the first channel at each voxel's place in the world."""
    indices = np.indices(volume.grid.shape).reshape(volume.grid.ndim, -1)
    homogeneous = np.vstack([indices, np.ones((1, indices.shape[1]))])
    places = np.round((volume.grid.affine @ homogeneous)[:-1].T, 6) + 0.0  # no -0.0
    array = volume.array if isinstance(volume, Labels) else volume.array[0]
    values = array[tuple(indices)].tolist()
    return dict(zip(map(tuple, places.tolist()), values, strict=True))


def test_there_are_48_orientations() -> None:
    assert len(set(ORIENTATIONS)) == 48


@pytest.mark.parametrize("code", ORIENTATIONS)
def test_reorienting_leaves_each_voxel_at_its_place(code: str) -> None:
    image = some_image()
    turned = reorient(image, code)
    assert orientation(turned.grid) == code
    assert by_place(turned) == by_place(image)


@pytest.mark.parametrize("code", ORIENTATIONS)
def test_there_and_back_is_the_same_volume(code: str) -> None:
    labels = some_labels()
    back = reorient(reorient(labels, code), orientation(labels.grid))
    np.testing.assert_array_equal(back.array, labels.array)
    np.testing.assert_allclose(back.grid.affine, labels.grid.affine, atol=1e-12)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    angles=st.tuples(*[st.floats(-np.pi, np.pi)] * 3),
    spacing=st.tuples(*[st.floats(0.1, 10)] * 3),
    code=st.sampled_from(ORIENTATIONS),
)
def test_any_oblique_grid_can_be_stored_in_any_orientation(
    angles: tuple[float, float, float], spacing: tuple[float, float, float], code: str
) -> None:
    affine = np.eye(4)
    affine[:3, :3] = rotation(*angles) * spacing
    image = Image(np.arange(24.0).reshape(1, 2, 3, 4), Grid((2, 3, 4), affine))
    turned = reorient(image, code)
    assert orientation(turned.grid) == code
    places, turned_places = ({v: k for k, v in by_place(x).items()} for x in (image, turned))
    for value, place in places.items():
        assert turned_places[value] == pytest.approx(place, abs=1e-5)


@pytest.mark.parametrize("code", ["RA", "RP", "LA", "LP", "AR", "PL", "AL", "PR"])
def test_a_2d_image_can_be_turned_in_eight_ways(code: str) -> None:
    image = some_image((4, 5))
    turned = reorient(image, code)
    assert orientation(turned.grid) == code
    assert by_place(turned) == by_place(image)


def test_in_2d_the_first_two_letters_count() -> None:
    assert orientation(reorient(some_image((4, 5)), "LPS").grid) == "LP"


def test_reorienting_keeps_names_code_and_unit() -> None:
    grid = Grid((4, 5, 6), oblique_affine(), code=4, unit="um")
    turned = reorient(Image(np.zeros((1, 4, 5, 6)), grid, ("t1",)), "PIR")
    assert (turned.names, turned.grid.code, turned.grid.unit) == (("t1",), 4, "um")


def test_lower_case_letters_do_as_well() -> None:
    assert orientation(reorient(some_image(), "lps").grid) == "LPS"


@pytest.mark.parametrize("code", ["RRS", "RLS", "XYZ", "RA", ""])
def test_an_orientation_that_is_none_is_refused(code: str) -> None:
    with pytest.raises(ValueError, match="an orientation"):
        reorient(some_image(), code)


def test_the_nearest_axis_names_an_oblique_one() -> None:
    affine = np.eye(4)
    affine[:3, :3] = rotation(0, 0, np.radians(100))
    assert orientation(Grid((2, 2, 2), affine)) == "ALS"
