"""Surfaces that level sets move: at known rates, and in torch as in the band."""

import numpy as np
import pytest
import torch
from test_level_sets import BALLS, away_from_middle

from medseg.classical.band_surface import BandSurface
from medseg.classical.edges import edge_map, steepest
from medseg.classical.forces import Forces, Ground, fixed
from medseg.classical.level_set import Surface
from medseg.classical.tensor_surface import TensorSurface
from medseg.smoothing import gaussian

KINDS: list[type[BandSurface] | type[TensorSurface]] = [BandSurface, TensorSurface]


def radius_of(surface: Surface, spacing: tuple[float, ...]) -> float:
    size = float((surface.phi < 0).sum()) * float(np.prod(spacing))
    return float((size / np.pi) ** 0.5 if len(spacing) == 2 else (size * 3 / 4 / np.pi) ** (1 / 3))


def around(
    inside: torch.Tensor | np.ndarray,
    spacing: tuple[float, ...],
    kind: type[BandSurface] | type[TensorSurface] = BandSurface,
    allowed: torch.Tensor | None = None,
) -> BandSurface | TensorSurface:
    inside = torch.as_tensor(inside)
    everywhere = torch.ones_like(inside)
    ground = Ground.of({1: inside}, everywhere if allowed is None else allowed)
    return kind(1, ground, spacing)


def even(shape: tuple[int, ...], speed: float = 0.0, curvature: float = 0.0) -> Forces:
    return Forces(fixed(torch.full(shape, speed)), abs(speed), curvature)


def run(surface: Surface, forces: Forces, spacing: tuple[float, ...], time: float) -> float:
    """Move for at least `time`, and say how long it was."""
    step, gone = forces.time_step(spacing), 0.0
    while gone < time:
        surface.step(forces, step)
        gone += step
    return gone


# By hand


@pytest.mark.parametrize(("shape", "spacing", "radius"), BALLS, ids=str)
def test_curvature_shrinks_a_ball_at_the_known_rate(
    shape: tuple[int, ...], spacing: tuple[float, ...], radius: float
) -> None:
    surface = around(away_from_middle(shape, spacing) < radius, spacing)
    bends = len(shape) - 1  # 1 / radius along each direction in the surface
    time = run(surface, even(shape, curvature=1.0), spacing, radius**2 / 4 / bends)
    assert radius_of(surface, spacing) == pytest.approx(
        (radius**2 - 2 * bends * time) ** 0.5, rel=0.03
    )


@pytest.mark.parametrize("speed", [1.0, -1.0, 0.5])
@pytest.mark.parametrize(("shape", "spacing", "radius"), BALLS, ids=str)
def test_an_even_speed_moves_a_ball_by_as_many_mm(
    shape: tuple[int, ...], spacing: tuple[float, ...], radius: float, speed: float
) -> None:
    surface = around(away_from_middle(shape, spacing) < radius / 2, spacing)
    before = radius_of(surface, spacing)
    time = run(surface, even(shape, speed), spacing, radius / 5)
    assert radius_of(surface, spacing) - before == pytest.approx(
        speed * time, abs=max(0.5, max(spacing) / 3)
    )


@pytest.mark.parametrize(("shape", "spacing", "radius"), BALLS, ids=str)
def test_a_contour_without_forces_stays(
    shape: tuple[int, ...], spacing: tuple[float, ...], radius: float
) -> None:
    inside = torch.from_numpy(away_from_middle(shape, spacing) < radius)
    for kind in KINDS:
        surface = around(inside, spacing, kind)
        for _ in range(10):
            surface._renew()
        assert torch.equal(surface.phi < 0, inside)


@pytest.mark.parametrize(("shape", "spacing", "radius"), BALLS, ids=str)
def test_phi_is_the_distance_in_mm_near_the_contour(
    shape: tuple[int, ...], spacing: tuple[float, ...], radius: float
) -> None:
    away = away_from_middle(shape, spacing) - radius
    surface = around(away < 0, spacing)
    near = surface.phi.abs() < min(spacing)
    assert float((surface.phi - torch.from_numpy(away)).abs()[near].max()) < max(spacing)


# In torch as in the band


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.cuda)])
@pytest.mark.parametrize("shape", [(40,), (30, 34), (14, 15, 16)], ids=str)
def test_torch_gives_what_the_band_gives(shape: tuple[int, ...], device: str) -> None:
    rng = np.random.default_rng(0)
    spacing = (1.0, 2.0, 3.0)[: len(shape)]
    noise = torch.from_numpy(rng.normal(size=(1, *shape)).astype(np.float32))
    field = gaussian(noise, 2.0, spacing)
    field /= field.std()
    inside = field[0] > 0.3
    allowed = torch.ones(shape, dtype=torch.bool)
    allowed[: shape[0] // 4] = False
    inside &= allowed
    edges = edge_map(field, 1.0, 1.0, spacing)
    weights = (1.0, 0.5, edges, 1.0, steepest(edges, spacing))
    forces = Forces(fixed(field[0].clamp(-1, 1)), *weights)
    there = Forces(
        fixed(field[0].clamp(-1, 1).to(device)), *weights[:2], edges.to(device), *weights[3:]
    )
    band = around(inside, spacing, BandSurface, allowed)
    tensor = around(inside.to(device), spacing, TensorSurface, allowed.to(device))
    for _ in range(15):
        turned = band.step(forces, forces.time_step(spacing)).sort().values
        torch.testing.assert_close(
            tensor.step(there, forces.time_step(spacing)).cpu(), turned, rtol=0, atol=0
        )
        torch.testing.assert_close(tensor.phi.cpu(), band.phi, rtol=0, atol=1e-6)
    assert (band.phi < 0).any()
    assert tensor.faces() == band.faces()


def test_a_contour_that_is_gone_stays_gone() -> None:
    inside = torch.zeros((9, 9), dtype=torch.bool)
    inside[4, 4] = True
    for kind in KINDS:
        surface = around(inside, (1.0, 1.0), kind)
        run(surface, even((9, 9), -1.0), (1.0, 1.0), 20)
        assert not (surface.phi < 0).any()
