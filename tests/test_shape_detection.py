"""Shape detection, and the gates between voxels through which its contour has to pass."""

import numpy as np
import pytest
import torch
from test_level_sets import ball

from medseg import Image, Labels, method
from medseg.classical.band_surface import BandSurface
from medseg.classical.edges import gates_at
from medseg.classical.forces import Forces, Ground, fixed
from medseg.classical.tensor_surface import TensorSurface

KINDS: list[type[BandSurface] | type[TensorSurface]] = [BandSurface, TensorSurface]
# Two parts with a border across each axis, one step high, so that all gates are known.
STEP = np.indices((12, 12, 12)).min(axis=0)[None] >= 6


# Gates


def test_gates_fall_with_the_height_of_a_step() -> None:
    values = torch.zeros(1, 6, 4)
    values[0, 2:] += 1
    values[0, 4:] += 4
    gates = gates_at(values, 0.0, 2.0, (1.0, 1.0))
    # 1 % of the differences exceed 4 less a little, so that nothing passes a step of 8.
    np.testing.assert_array_equal(gates[0, :, 0], [1, 0.875, 1, 0.5, 1, 1])
    np.testing.assert_array_equal(gates[1], np.ones((6, 4)))


def test_an_edge_is_as_high_across_thick_voxels_as_across_thin_ones() -> None:
    step = torch.from_numpy(STEP.astype(np.float32))
    gates = gates_at(step, 1.0, 2.0, (1.0, 2.0, 3.0))
    across = [gates[0, 5, 11, 11], gates[1, 11, 5, 11], gates[2, 11, 11, 5]]
    np.testing.assert_allclose(across, across[0], atol=0.06)
    assert 0.4 < across[0] < 0.6


def test_what_lies_outside_the_mask_shuts_no_gate() -> None:
    step = torch.from_numpy(STEP.astype(np.float32))
    gates = gates_at(step, 1.0, 0.5, (1.0, 1.0, 1.0), step[0] > 0)
    assert (gates == 1).all()


@pytest.mark.parametrize("curvature", [0.0, 1.0])
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_ever_passes_a_shut_gate(
    kind: type[BandSurface] | type[TensorSurface], curvature: float
) -> None:
    inside = torch.zeros((15, 13), dtype=torch.bool)
    inside[4:6, 4:6] = True
    room = torch.zeros_like(inside)
    room[2:9, 3:11] = room[9:12, 5] = True
    gates = torch.ones((2, 15, 13))
    for axis in range(2):
        gates[axis][room != room.roll(-1, axis)] = 0
    spacing = (1.0, 2.5)
    surface = kind(1, Ground.of({1: inside}, torch.ones_like(inside)), spacing)
    forces = Forces(fixed(torch.ones_like(inside).float()), 1.0, curvature, gates=gates)
    for _ in range(300):
        surface.step(forces, forces.time_step(spacing))
    found = surface.phi < 0
    assert not (found & ~room).any()
    assert found[3:8, 4:10].all()


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.cuda)])
@pytest.mark.parametrize("shape", [(40,), (30, 34), (14, 15, 16)], ids=str)
def test_torch_gives_what_the_band_gives(shape: tuple[int, ...], device: str) -> None:
    rng = np.random.default_rng(0)
    spacing = (1.0, 2.0, 3.0)[: len(shape)]
    gates = torch.from_numpy(rng.random((len(shape), *shape), np.float32))
    speed = torch.from_numpy(rng.uniform(-1, 1, shape).astype(np.float32))
    inside = torch.from_numpy(rng.random(shape) > 0.8)
    surfaces = []
    for kind, where in ((BandSurface, "cpu"), (TensorSurface, device)):
        given = inside.to(where)
        surface = kind(1, Ground.of({1: given}, torch.ones_like(given)), spacing)
        forces = Forces(fixed(speed.to(where)), 1.0, 0.3, gates=gates.to(where))
        for _ in range(15):
            surface.step(forces, forces.time_step(spacing))
        surfaces.append(surface.phi.cpu())
    torch.testing.assert_close(*surfaces, rtol=0, atol=1e-6)
    assert (surfaces[0] < 0).any()


# What it finds


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (1.0, 2.0, 3.0)], ids=str)
def test_a_border_holds_however_long_it_runs(spacing: tuple[float, ...]) -> None:
    shape = tuple(round(40 / step) for step in spacing)
    image, seeds, wanted = ball(shape, spacing, 13.3)
    found = method("shape-detection", tolerance=0, iterations=400).segment(image, seeds).array == 1
    assert not found[~wanted].any()
    assert found[wanted].mean() > 0.998  # but for voxels that noise shuts off


def test_a_contour_around_a_ball_shrinks_to_it() -> None:
    image, _, wanted = ball((44, 24), (1.0, 2.0), 14.3)
    box = np.zeros((44, 24), np.uint8)
    box[3:-3, 2:-2] = 1
    found = method("shape-detection", balloon="shrink").segment(image, Labels(box, image.grid))
    np.testing.assert_array_equal(found.array == 1, wanted)


def test_an_edge_in_one_of_two_channels_holds() -> None:
    image, seeds, wanted = ball((40, 40), (1.0, 1.0), 13.3)
    flat = np.random.default_rng(1).normal(scale=0.1, size=image.array.shape)
    both = Image(np.concatenate([flat, image.array]), image.grid)
    found = method("shape-detection").segment(both, seeds)
    assert (found.array == 1)[wanted].mean() > 0.98
    assert not (found.array == 1)[~wanted].any()
