"""Cutting patches: plain, turned, scaled, mirrored and bent."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from balls import EVERYTHING, ball_plan, draw_ball
from torch import Tensor

from medseg.learning import placing
from medseg.learning.batches import Batches, TrainingCase
from medseg.learning.deforming import b_spline, elastic_2015
from medseg.learning.placing import (
    Placing,
    Warp,
    cut,
    elastic,
    mirroring,
    rotation,
    scaling,
)
from medseg.networks.unet import UNet
from medseg.sampling import SAMPLERS, index_voxels

pytestmark = pytest.mark.usefixtures("one_thread")
PLACINGS: dict[str, Placing] = {
    "rotation": rotation,
    "scaling": scaling,
    "mirroring": mirroring,
    "elastic": elastic,
    "elastic-2015": elastic_2015,
    "b-spline": b_spline,
}


def some_volume(shape: tuple[int, ...] = (9, 10, 11)) -> tuple[Tensor, Tensor]:
    """Two channels and labels 0, 3, 7, none of them symmetric in any way."""
    rng = np.random.default_rng(0)
    image = torch.from_numpy(rng.normal(size=(2, *shape)).astype(np.float32))
    return image, torch.from_numpy(rng.choice(np.array([0, 3, 7], np.uint8), shape))


def smooth_volume(shape: tuple[int, ...], spacing: tuple[float, ...]) -> Tensor:
    """(1, ...) linear function of mm, which linear interpolation gives back exactly."""
    mm = [np.arange(size) * step for size, step in zip(shape, spacing, strict=True)]
    values = sum(k * axis for k, axis in enumerate(np.meshgrid(*mm, indexing="ij"), start=1))
    return torch.from_numpy(np.asarray(values, np.float32))[None]


def plainly(volume: Tensor, centre: Sequence[int], patch: Sequence[int]) -> Tensor:
    """A patch voxel by voxel."""
    found = torch.zeros(len(volume), *patch)
    for place in np.ndindex(*patch):
        voxel = [c + i - p // 2 for c, i, p in zip(centre, place, patch, strict=True)]
        if all(0 <= i < size for i, size in zip(voxel, volume.shape[1:], strict=True)):
            found[(slice(None), *place)] = volume[(slice(None), *voxel)]
    return found


def drawn(name: str, warp: Warp, count: int = 40) -> list[Warp]:
    rng = np.random.default_rng(0)
    return [PLACINGS[name](warp, rng) for _ in range(count)]


# Plain windows

CENTRES = [(4, 5, 5), (0, 0, 0), (8, 9, 10), (0, 9, 4)]
PATCHES = [(4, 4, 4), (3, 5, 7), (2, 12, 30), (9, 10, 11)]


@pytest.mark.parametrize("patch", PATCHES, ids=str)
@pytest.mark.parametrize("centre", CENTRES, ids=str)
def test_a_still_warp_cuts_the_plain_window(
    centre: tuple[int, ...], patch: tuple[int, ...]
) -> None:
    image, classes = some_volume()
    found, target = cut(image, classes, centre, patch, Warp((1.0, 2.0, 3.0), patch))
    assert torch.equal(found, plainly(image, centre, patch))
    assert torch.equal(target, plainly(classes[None], centre, patch)[0].long())


@pytest.mark.parametrize("patch", PATCHES, ids=str)
@pytest.mark.parametrize("centre", CENTRES, ids=str)
def test_the_centre_is_in_the_middle_also_near_an_edge(
    centre: tuple[int, ...], patch: tuple[int, ...]
) -> None:
    image, classes = some_volume()
    found, target = cut(image, classes, centre, patch, Warp((1.0,) * 3, patch))
    middle = tuple(p // 2 for p in patch)
    assert torch.equal(found[(slice(None), *middle)], image[(slice(None), *centre)])
    assert target[middle] == classes[centre]


def unmoved(patch: tuple[int, ...], spacing: tuple[float, ...]) -> Warp:
    """A warp that moves nothing, but goes through the interpolation."""
    return Warp(spacing, patch, bend=np.zeros((len(patch), *(2,) * len(patch))))


@pytest.mark.parametrize("patch", PATCHES, ids=str)
@pytest.mark.parametrize("centre", CENTRES, ids=str)
def test_a_warp_that_moves_nothing_cuts_the_plain_window(
    centre: tuple[int, ...], patch: tuple[int, ...]
) -> None:
    image, classes = some_volume()
    found, target = cut(image, classes, centre, patch, unmoved(patch, (1.0, 2.0, 3.0)))
    torch.testing.assert_close(found, plainly(image, centre, patch), atol=1e-4, rtol=1e-4)
    assert torch.equal(target, plainly(classes[None], centre, patch)[0].long())


def test_beyond_a_volume_of_one_slice_there_are_zeros_warped_or_not() -> None:
    image, classes = some_volume((9, 10, 1))
    patch = (4, 4, 6)
    for warp in (Warp((1.0,) * 3, patch), unmoved(patch, (1.0,) * 3)):
        found, target = cut(image, classes, (4, 5, 0), patch, warp)
        torch.testing.assert_close(found, plainly(image, (4, 5, 0), patch), atol=1e-4, rtol=1e-4)
        assert torch.equal(target, plainly(classes[None], (4, 5, 0), patch)[0].long())


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("still", [True, False])
def test_an_axis_of_one_is_left_out_of_the_patch(axis: int, *, still: bool) -> None:
    image, classes = some_volume()
    patch = tuple(1 if k == axis else 6 for k in range(3))
    warp = Warp((1.0, 1.0), (6, 6)) if still else unmoved((6, 6), (1.0, 1.0))
    found, target = cut(image, classes, (4, 5, 5), patch, warp)
    wanted = plainly(image, (4, 5, 5), patch).squeeze(axis + 1)
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)
    assert target.shape == (6, 6)


def test_the_volume_is_left_alone() -> None:
    image, classes = some_volume()
    before = image.clone(), classes.clone()
    for warp in (Warp((1.0,) * 3, (4, 4, 4)), unmoved((4, 4, 4), (1.0,) * 3)):
        cut(image, classes, (4, 4, 4), (4, 4, 4), warp)
    assert torch.equal(image, before[0])
    assert torch.equal(classes, before[1])


# By a known matrix


def quarter_turn(n: int, a: int, b: int) -> np.ndarray:
    matrix = np.eye(n)
    matrix[[a, a, b, b], [a, b, a, b]] = 0, -1, 1, 0
    return matrix


@pytest.mark.parametrize(("a", "b"), [(0, 1), (0, 2), (1, 2)])
def test_a_quarter_turn_turns_the_window(a: int, b: int) -> None:
    image, classes = some_volume((13, 13, 13))
    patch = (7, 7, 7)
    warp = Warp((1.0,) * 3, patch).then(quarter_turn(3, a, b))
    found, target = cut(image, classes, (6, 6, 6), patch, warp)
    plain = Warp((1.0,) * 3, patch)
    window, labels = cut(image, classes, (6, 6, 6), patch, plain)
    # The voxel at +1 of axis a is read at +1 of axis b.
    turned = torch.rot90(window, 1, (b + 1, a + 1))
    torch.testing.assert_close(found, turned, atol=1e-4, rtol=1e-4)
    assert torch.equal(target, torch.rot90(labels, 1, (b, a)))


def test_a_quarter_turn_of_anisotropic_voxels_is_one_of_mm() -> None:
    spacing, shape, centre = (1.0, 2.0, 4.0), (40, 20, 10), (20, 10, 5)
    volume = smooth_volume(shape, spacing)
    patch = (5, 3, 3)
    warp = Warp(spacing, patch).then(quarter_turn(3, 0, 1))
    found, _ = cut(volume, torch.zeros(shape, dtype=torch.uint8), centre, patch, warp)
    middle = float(volume[0, 20, 10, 5])
    for place in np.ndindex(*patch):
        i, j, k = (np.array(place) - 2 // np.array([1, 2, 2])) * spacing
        # The volume is x + 2 y + 3 z in mm; x of the patch is y of the volume, y is -x.
        assert float(found[(0, *place)]) == pytest.approx(middle - j + 2 * i + 3 * k, abs=1e-2)


def test_a_matrix_of_two_reads_at_twice_the_distance() -> None:
    image, classes = some_volume((13, 13))
    warp = Warp((1.0, 1.0), (5, 5)).then(2 * np.eye(2))
    found, target = cut(image, classes, (6, 6), (5, 5), warp)
    torch.testing.assert_close(found, image[:, 2:11:2, 2:11:2], atol=1e-4, rtol=1e-4)
    assert torch.equal(target, classes[2:11:2, 2:11:2].long())


def test_a_bend_moves_by_mm() -> None:
    spacing, shape = (1.0, 3.0), (20, 20)
    volume = smooth_volume(shape, spacing)
    bend = np.stack([np.full((3, 3), 2.0), np.full((3, 3), 3.0)])
    found, _ = cut(
        volume,
        torch.zeros(shape, dtype=torch.uint8),
        (10, 10),
        (4, 4),
        Warp(spacing, (4, 4), bend=bend),
    )
    torch.testing.assert_close(found, volume[:, 10:14, 9:13], atol=1e-3, rtol=1e-3)


def test_matrices_follow_on_each_other() -> None:
    first, second = np.diag([2.0, 1.0]), np.array([[0.0, -1.0], [1.0, 0.0]])
    warp = Warp((1.0, 1.0), (4, 4)).then(first).then(second)
    np.testing.assert_array_equal(warp.matrix, second @ first)


# Drawn at random


@pytest.fixture(params=PLACINGS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("ndim", [2, 3])
def test_every_placing_keeps_shape_labels_and_dtype(name: str, ndim: int) -> None:
    image, classes = some_volume((9, 10, 11)[:ndim])
    patch = (6, 5, 7)[:ndim]
    plain = Warp((1.0, 2.0, 3.0)[:ndim], patch, mirror=tuple(range(ndim)))
    for warp in drawn(name, plain):
        found, target = cut(image, classes, (4, 5, 6)[:ndim], patch, warp)
        assert found.shape == (2, *patch)
        assert (found.dtype, target.dtype) == (torch.float32, torch.int64)
        assert found.isfinite().all()
        assert set(target.unique().tolist()) <= {0, 3, 7}


def test_every_placing_moves_some_patches(name: str) -> None:
    plain = Warp((1.0, 1.0), (6, 6), mirror=(0, 1))
    moved = [warp for warp in drawn(name, plain) if (warp.matrix != plain.matrix).any()]
    bent = [warp for warp in drawn(name, plain) if warp.bend is not None]
    assert moved or bent


def test_every_placing_is_repeatable(name: str) -> None:
    plain = Warp((1.0, 1.0), (6, 6), mirror=(0, 1))
    for first, second in zip(drawn(name, plain), drawn(name, plain), strict=True):
        np.testing.assert_array_equal(first.matrix, second.matrix)
        np.testing.assert_array_equal(first.bend, second.bend)


@pytest.mark.parametrize("ndim", [2, 3])
def test_rotations_turn_by_20_degrees_at_most_about_each_axis(ndim: int) -> None:
    plain = Warp((1.0, 2.0, 3.0)[:ndim], (6,) * ndim)
    for warp in drawn("rotation", plain):
        np.testing.assert_allclose(warp.matrix @ warp.matrix.T, np.eye(ndim), atol=1e-12)
        assert np.linalg.det(warp.matrix) == pytest.approx(1)
        angle = np.arccos(np.clip((np.trace(warp.matrix) - ndim + 2) / 2, -1, 1))
        assert np.degrees(angle) <= 20 * np.sqrt(3 if ndim == 3 else 1) + 2


def test_scalings_are_the_same_along_each_axis() -> None:
    factors = [warp.matrix[0, 0] for warp in drawn("scaling", Warp((1.0, 2.0), (6, 6)), 200)]
    for warp in drawn("scaling", Warp((1.0, 2.0), (6, 6))):
        np.testing.assert_allclose(warp.matrix, warp.matrix[0, 0] * np.eye(2))
    assert min(factors) >= 0.8
    assert max(factors) <= 1.25
    assert any(factor < 0.95 for factor in factors)
    assert any(factor > 1.05 for factor in factors)


@pytest.mark.parametrize("mirror", [(), (0,), (1, 2)], ids=str)
def test_mirroring_keeps_to_the_axes_that_allow_it(mirror: tuple[int, ...]) -> None:
    signs = np.array(
        [np.diag(warp.matrix) for warp in drawn("mirroring", Warp((1.0,) * 3, (6,) * 3, mirror))]
    )
    for axis in range(3):
        assert set(signs[:, axis]) == ({-1.0, 1.0} if axis in mirror else {1.0})


def test_elastic_bends_by_about_2_mm() -> None:
    bends = [
        w.bend for w in drawn("elastic", Warp((1.0, 3.0), (48, 48)), 200) if w.bend is not None
    ]
    assert 20 < len(bends) < 60
    assert bends[0].shape == (2, 4, 12)
    assert np.std(bends) == pytest.approx(2, rel=0.05)


# Through the batches

ODD = (15, 13, 11)  # an even patch has no middle, and is mirrored about the voxel right of it


def batches(augmentations: tuple[str, ...], **changes: Any) -> Batches:
    """Of patches as large as the only volume."""
    plan = ball_plan(**{"patch": ODD} | changes)
    image, labels = draw_ball(0, ODD)
    index = index_voxels(labels.array, plan.patch, np.random.default_rng(0))
    case = TrainingCase(torch.tensor(image.array), torch.tensor(labels.array), index)
    return Batches([case], plan, 8, SAMPLERS["uniform"], augmentations, 0)


def batch(*arguments: Any, step: int = 0, **changes: Any) -> tuple[Tensor, Tensor]:
    found = batches(*arguments, **changes).at(step, torch.device("cpu"))
    return found.images, found.targets


def test_the_default_plan_never_mirrors() -> None:
    plain, _ = batch(())
    for step in range(5):
        assert torch.equal(batch(("mirroring",), step=step)[0], plain)


def test_patches_are_mirrored_along_the_axes_of_the_plan_only() -> None:
    plain, _ = batch(())
    found = batch(("mirroring",), mirror=(1,))[0]
    flipped = [torch.allclose(one, plain[0].flip(2), atol=0.01) for one in found]
    kept = [torch.equal(one, plain[0]) for one in found]
    assert any(flipped)
    assert all(a != b for a, b in zip(flipped, kept, strict=True))


def test_of_slices_the_axis_of_the_plan_is_mirrored_too() -> None:
    changes = {"network": UNet(2, (4, 8)), "patch": (15, 1, 11)}
    plain, _ = batch((), **changes)
    found = batch(("mirroring",), mirror=(2,), **changes)[0]
    flipped = [
        torch.allclose(one, other.flip(2), atol=0.01)
        for one, other in zip(found, plain, strict=True)
    ]
    assert 0 < sum(flipped) < 8


def test_of_slices_the_slice_axis_is_never_mirrored() -> None:
    changes = {"network": UNet(2, (4, 8)), "patch": (15, 1, 11)}
    assert torch.equal(batch(("mirroring",), mirror=(1,), **changes)[0], batch((), **changes)[0])


def test_image_and_labels_move_together() -> None:
    for step in range(3):
        images, targets = batch(tuple(PLACINGS), step=step, mirror=(0, 1, 2))
        agree = ((images[:, 0] > 50) == (targets > 0)).float().mean()
        assert agree > 0.95


def test_the_same_step_gives_the_same_batch_and_another_another() -> None:
    first, again, other = (batch(EVERYTHING, step=step)[0] for step in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_the_seed_decides_the_batch() -> None:
    one = batches(EVERYTHING)
    first, second = (replace(one, seed=seed).at(0, torch.device("cpu")).images for seed in (0, 1))
    assert not torch.equal(first, second)


@pytest.mark.cuda
def test_cuda_cuts_what_the_cpu_cuts() -> None:
    image, classes = some_volume()
    for warp in drawn("elastic", Warp((1.0, 2.0, 3.0), (6, 6, 6)), 10):
        wanted = cut(image, classes, (4, 5, 6), (6, 6, 6), warp)
        found = cut(image.cuda(), classes.cuda(), (4, 5, 6), (6, 6, 6), warp)
        torch.testing.assert_close(found[0].cpu(), wanted[0], atol=1e-3, rtol=1e-3)
        assert (found[1].cpu() == wanted[1]).float().mean() > 0.98


# Compiled


@pytest.mark.parametrize("name", ["rotation", "scaling", "elastic", "b-spline"])
@pytest.mark.parametrize("shape", [(9, 10, 11), (14, 15)], ids=str)
def test_the_compiled_interpolation_is_torchs(name: str, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    image = torch.from_numpy(rng.normal(size=(2, *shape)).astype(np.float32))
    classes = torch.from_numpy(rng.choice(np.array([0, 3, 7], np.uint8), shape))
    warp = Warp((1.0, 2.0, 1.5)[: len(shape)], tuple(n - 2 for n in shape))
    centre = tuple(n // 3 for n in shape)  # so that the patch reaches beyond the volume
    for one in drawn(name, warp, count=8):
        found = placing._compiled(image, classes, centre, one)
        wanted = placing._warped(image, classes, centre, one)
        torch.testing.assert_close(found[0], wanted[0], atol=1e-4, rtol=1e-4)
        # Classes whose shares are all but equal may go either way.
        assert (found[1] == wanted[1]).float().mean() > 0.98


def test_slabs_of_several_threads_make_up_the_patch(monkeypatch: pytest.MonkeyPatch) -> None:
    image, classes = some_volume()
    (warp,) = drawn("elastic-2015", Warp((1.0,) * 3, (7, 6, 5)), count=1)
    found = []
    for threads in (1, 3):
        monkeypatch.setattr(placing, "computing_threads", lambda threads=threads: threads)
        found.append(placing._compiled(image, classes, (4, 5, 5), warp))
    torch.testing.assert_close(found[0], found[1], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("patch", [(4, 5, 6), (3, 12, 30)], ids=str)
def test_mirroring_alone_gives_what_interpolation_gives(patch: tuple[int, ...]) -> None:
    image, classes = some_volume()
    for signs in np.ndindex(2, 2, 2):
        warp = Warp((1.0, 2.0, 3.0), patch, matrix=np.diag([1.0 - 2 * sign for sign in signs]))
        found, target = cut(image, classes, (4, 5, 3), patch, warp)
        wanted = placing._warped(image, classes, (4, 5, 3), warp)
        torch.testing.assert_close(found, wanted[0], atol=1e-4, rtol=1e-4)
        assert torch.equal(target, wanted[1])
