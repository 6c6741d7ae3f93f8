"""Compiled curves do what curves in NumPy do."""

import numpy as np
import pytest
from numpy.typing import NDArray

from medseg.classical.compiled_curves import CompiledCurves
from medseg.classical.curves import Curves, evenly
from medseg.classical.matter import Matter
from medseg.classical.membranes import around
from medseg.classical.moving import Pace
from medseg.classical.pulling import Place, Pull, Region

SHAPE, SPACING = (40, 30), (1.0, 2.0)
RNG = np.random.default_rng(0)
ALL, HALF = np.ones(SHAPE, bool), np.indices(SHAPE)[0] < 22
FIELD = RNG.uniform(-1, 1, (2, *SHAPE)).astype(np.float32)
BALLOON = RNG.uniform(-1, 1, (1, *SHAPE)).astype(np.float32)
VALUES = RNG.normal(size=(2, *SHAPE)).astype(np.float32)
MATTER = Matter(0.5, 0.3, 1.2)


def pulls(allowed: NDArray[np.bool_], *, without: tuple[str, ...] = ()) -> Pull:
    place = Place(allowed, np.array(SPACING))
    return Pull(
        place,
        None if "field" in without else FIELD,
        None if "balloon" in without else BALLOON,
        None if "region" in without else Region.of(VALUES, place),
        0.7,
    )


def two_rings() -> NDArray[np.bool_]:
    """Two parts, one of them with a hole."""
    inside = np.zeros(SHAPE, bool)
    inside[3:20, 3:25] = inside[26:36, 5:12] = True
    inside[8:15, 9:18] = False
    return inside


@pytest.mark.parametrize(
    "pull",
    [
        pulls(ALL),
        pulls(HALF),
        pulls(ALL, without=("field", "balloon")),
        pulls(HALF, without=("region",)),
        pulls(ALL, without=("field", "balloon", "region")),
    ],
    ids=["all", "in a mask", "region", "field and balloon", "elasticity"],
)
def test_steps_are_those_of_numpy(pull: Pull) -> None:
    plain, compiled = (
        around(two_rings(), SPACING, MATTER, kind) for kind in (Curves.of, CompiledCurves.of)
    )
    begun, pace, paces = plain.points, Pace.begun(0.4, 0.5), set()
    for _ in range(12):
        paces.add(pace)
        compiled, same = compiled.stepped(pull, pull.place, pace)
        plain, pace = plain.stepped(pull, pull.place, pace)
        assert same.time == pytest.approx(pace.time, rel=1e-9)
    assert plain.shift(begun) > 0.1
    assert len(paces) > 1
    np.testing.assert_allclose(compiled.points, plain.points, rtol=0, atol=1e-9)
    np.testing.assert_array_equal(compiled.cells, plain.cells)
    assert compiled.shift(begun) == pytest.approx(plain.shift(begun), abs=1e-9)


@pytest.mark.parametrize("stiffness", [0.0, 1e3])
@pytest.mark.parametrize("elasticity", [0.0, 1e3])
@pytest.mark.parametrize("count", [8, 9, 100])
def test_the_five_bands_are_solved_as_a_sparse_matrix_is(
    count: int, elasticity: float, stiffness: float
) -> None:
    angles = np.linspace(0, 2 * np.pi, count, endpoint=False)
    wide = 8 + np.cos(3 * angles)[:, None]
    ring = wide * np.stack([np.cos(angles), np.sin(angles)], axis=1) + [20.0, 30.0]
    matter = Matter(elasticity, stiffness, 1.0)
    ends = np.array([count])
    pull = pulls(ALL, without=("field", "balloon", "region"))
    pace = Pace.begun(1.0, 1e3)
    plain, _ = Curves((ring,), matter).stepped(pull, pull.place, pace)
    compiled, _ = CompiledCurves(ring, ends, matter).stepped(pull, pull.place, pace)
    np.testing.assert_allclose(compiled.points, plain.points, rtol=0, atol=1e-6)


def test_what_shrinks_to_nothing_is_gone() -> None:
    pull = pulls(ALL, without=("field", "balloon", "region"))
    curves = around(two_rings(), SPACING, Matter(1e9, 0.0, 1.0), CompiledCurves.of)
    after, _ = curves.stepped(pull, pull.place, Pace.begun(1e3, 1e3))
    assert len(curves.points)
    assert after.points.shape == after.cells.shape == (0, 2)


@pytest.mark.parametrize("seed", range(8))
def test_crossings_are_seen_as_numpy_sees_them(seed: int) -> None:
    rng = np.random.default_rng(seed)
    angles = np.linspace(0, 2 * np.pi, 30, endpoint=False)
    radii = 10 + rng.normal(size=30).cumsum()[:, None] * (seed % 4)
    ring = radii * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    loops = (evenly(ring, 0.8), evenly(ring[:, ::-1] + 3 * (seed + 1), 0.8))
    curves = Curves(loops, MATTER)
    compiled = CompiledCurves(curves.points, curves.ends, MATTER)
    assert (compiled.mended() is compiled) == (not curves.crossing())


def test_a_curve_that_crosses_itself_is_untied() -> None:
    eight = evenly(np.array([[0.0, 0.0], [20.0, 20.4], [20.0, 0.0], [0.0, 20.4]]), 1.0)
    plain = Curves((eight,), MATTER).mended()
    compiled = CompiledCurves(eight, np.array([len(eight)]), MATTER).mended()
    assert len(compiled.points) < len(eight)
    np.testing.assert_array_equal(compiled.points, plain.points)
