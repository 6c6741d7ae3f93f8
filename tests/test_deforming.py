"""The deformations of the first U-Net and of the V-Net."""

import numpy as np
import pytest
import torch
from scipy.interpolate import BSpline

from medseg.learning.batches import Batches
from medseg.learning.deforming import b_spline, elastic_2015
from medseg.learning.placing import Placing, Warp, cut


def bends(placing: Placing, warp: Warp, count: int = 60) -> list[np.ndarray]:
    """Displacements in mm of those patches that are bent."""
    rng = np.random.default_rng(0)
    drawn = [placing(warp, rng).bend for _ in range(count)]
    return [bend for bend in drawn if bend is not None]


@pytest.mark.parametrize("ndim", [2, 3])
def test_the_elastic_deformation_of_2015_is_one_of_10_pixels_at_3_knots(ndim: int) -> None:
    spacing = (0.5, 2.0, 3.0)[:ndim]
    found = bends(elastic_2015, Warp(spacing, (64,) * ndim), 200)
    assert len(found) == 200
    assert found[0].shape == (ndim, *(3,) * ndim)
    pixels = np.stack([np.std([bend[axis] for bend in found]) for axis in range(ndim)]) / spacing
    np.testing.assert_allclose(pixels, 10, rtol=0.08)


def test_between_its_knots_the_elastic_deformation_is_bicubic() -> None:
    knots = np.zeros((2, 3, 3))
    knots[0, 1, 1] = 1.0
    column = torch.arange(33.0)[:, None].expand(33, 33)
    warp = Warp((1.0, 1.0), (33, 33), bend=knots)
    found, _ = cut(column[None], torch.zeros(33, 33).byte(), (16, 16), (33, 33), warp)
    moved = found[0, :, 16] - column[:, 16]
    assert float(moved[16]) == pytest.approx(1, abs=1e-4)
    # The kernel of bicubic interpolation, at half of the way between two knots.
    assert float(moved[8]) == pytest.approx(0.59375, abs=1e-4)


def test_half_of_the_patches_are_bent_by_a_spline() -> None:
    found = bends(b_spline, Warp((1.0,) * 3, (12, 11, 10)), 200)
    assert len(found) == pytest.approx(100, abs=20)
    assert found[0].shape == (3, 12, 11, 10)
    # What 4 by 4 by 4 shares of 15 voxels add up to on the average over a span.
    assert np.std(found) == pytest.approx(15 * 0.4794**1.5, rel=0.1)


@pytest.mark.parametrize("side", [2, 3, 9, 64])
def test_splines_are_those_of_scipy(side: int) -> None:
    (found, *_) = bends(b_spline, Warp((1.0, 1.0), (side, side)))
    knots = np.arange(-3.0, 6.0)
    at = np.linspace(0, 2, side)
    basis = np.stack([BSpline(knots, np.eye(5)[k], 3)(at) for k in range(5)], axis=1)
    for displacement in found:
        coefficients = np.linalg.pinv(basis) @ displacement @ np.linalg.pinv(basis).T
        np.testing.assert_allclose(basis @ coefficients @ basis.T, displacement, atol=1e-9)


def test_splines_spare_the_axes_that_are_coarser() -> None:
    (bend, *_) = bends(b_spline, Warp((3.0, 1.0, 1.0), (5, 6, 7)))
    assert not bend[0].any()
    assert bend[1].any()
    assert bend[2].any()


def test_splines_are_voxels_whatever_the_spacing() -> None:
    one, two = (bends(b_spline, Warp((mm, mm), (6, 7)))[0] for mm in (1.0, 2.0))
    np.testing.assert_allclose(two, 2 * one)


def test_what_a_network_sees_beyond_the_patch_is_bent_along_with_it() -> None:
    warp = Warp((1.0, 1.0), (4, 6), margin=(3, 3))
    (bend, *_) = bends(b_spline, warp)
    assert bend.shape == (2, 10, 12)


@pytest.mark.parametrize("name", ["elastic-2015", "b-spline"])
def test_the_batches_know_it_as_a_placing(name: str) -> None:
    batches = Batches((), None, 1, None, (name, "noise"), 0)
    assert batches._chosen(spatial=True) == [name]
