"""Networks that see more than they give logits for: how patches and tiles are cut for them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from balls import ball_plan, ball_training, balls, draw_ball, last_weights
from torch import Tensor
from torch.nn import functional

from medseg import Dataset, Plan, evaluate, make_plan, train
from medseg.learning.batches import Batches, TrainingCase, read_cases
from medseg.learning.memory import require_room_for_patches
from medseg.learning.passes import Passes
from medseg.learning.placing import Warp, cut
from medseg.networks.deepmedic import DeepMedic, DeepMedicTiny
from medseg.networks.unet_2015 import UNet2015
from medseg.sampling import SAMPLERS, index_voxels
from medseg.tiling import folded, periodic_lattice, reflected, sweep

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = torch.device("cpu")
TINY = DeepMedicTiny()


def some_volume(*shape: int, channels: int = 1) -> Tensor:
    return torch.randn(channels, *shape, generator=torch.manual_seed(0))


def mirrored(volume: Tensor, margins: list[tuple[int, int]]) -> Tensor:
    """Volume continued at both ends of each axis, by NumPy."""
    return torch.from_numpy(np.pad(volume.numpy(), [(0, 0), *margins], mode="reflect"))


# Beyond a volume


@pytest.mark.parametrize("first", [(-9, 0, 2), (-2, 3, -20), (4, 2, 5), (6, -1, 4)], ids=str)
def test_beyond_its_border_a_volume_is_mirrored_as_by_numpy(first: tuple[int, ...]) -> None:
    volume, sides, far = some_volume(7, 5, 9), (6, 9, 30), 60
    at = tuple(slice(far + f, far + f + side) for f, side in zip(first, sides, strict=True))
    wanted = mirrored(volume, [(far, far)] * 3)[(slice(None), *at)]
    assert torch.equal(reflected(volume, first, sides), wanted)


def test_a_single_slice_is_repeated() -> None:
    volume = some_volume(4, 1)
    assert torch.equal(reflected(volume, (0, -2), (4, 5)), volume.expand(1, 4, 5))


def test_what_lies_inside_is_a_view() -> None:
    volume = some_volume(7, 5, 9)
    assert reflected(volume, (1, 0, 2), (3, 5, 7)).data_ptr() == volume[0, 1, 0, 2:].data_ptr()


def test_coordinates_between_voxels_are_folded_too() -> None:
    found = folded(torch.tensor([-1.5, -0.25, 0.5, 3.0, 3.25, 7.5]), 4)
    assert found.tolist() == pytest.approx([1.5, 0.25, 0.5, 3.0, 2.75, 1.5])
    assert folded(torch.tensor([-0.25, 0.0, 2.5]), 1).tolist() == [0, 0, 0]


# Patches


def plain_cut(image: Tensor, centre: tuple[int, ...], warp: Warp) -> Tensor:
    margins = [(40, 40)] * (image.ndim - 1)
    first = [c - p // 2 - m + 40 for c, p, m in zip(centre, warp.patch, warp.margin, strict=True)]
    at = tuple(slice(f, f + n) for f, n in zip(first, warp.seen, strict=True))
    return mirrored(image, margins)[(slice(None), *at)]


@pytest.mark.parametrize("still", [True, False])
@pytest.mark.parametrize("centre", [(4, 5, 5), (0, 9, 10), (8, 0, 3)], ids=str)
def test_the_image_is_cut_with_its_margin_and_the_labels_without(
    centre: tuple[int, ...], *, still: bool
) -> None:
    image = some_volume(9, 10, 11, channels=2)
    classes = (image[0] > 0).to(torch.uint8) * 3
    patch, margin = (4, 3, 6), (2, 0, 7)
    bend = None if still else np.zeros((3, 2, 2, 2))  # moves nothing, but is interpolated
    warp = Warp((1.0, 2.0, 3.0), patch, bend=bend, margin=margin)
    found, target = cut(image, classes, centre, patch, warp)
    torch.testing.assert_close(found, plain_cut(image, centre, warp), atol=1e-4, rtol=1e-4)
    wanted = plain_cut(classes[None].float(), centre, replace(warp, margin=(0, 0, 0)))[0]
    assert torch.equal(target, wanted.long())


def test_image_and_labels_are_turned_about_the_same_point() -> None:
    image = torch.zeros(1, 21, 21, 21)
    image[:, 8:14, 9:15, 5:16] = 1
    turn = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    warp = Warp((1.0, 1.0, 1.0), (9, 9, 9), matrix=turn, margin=(3, 3, 3))
    found, target = cut(image, image[0].to(torch.uint8), (10, 11, 10), (9, 9, 9), warp)
    assert torch.equal(found[0, 3:-3, 3:-3, 3:-3].round().long(), target)
    assert 0 < int(target.sum()) < target.numel()


# Weights of voxels


def weighted_cases(folder: Path, plan: Plan) -> list[TrainingCase]:
    data = balls(folder, 1)

    def weighing(classes: np.ndarray, spacing: tuple[float, ...]) -> np.ndarray:
        assert classes.ndim == len(spacing) == len(plan.axes)
        return 1.0 + 2 * classes

    return read_cases(data.cases, plan, CPU, folder / "cache", 0, weighing=weighing)


def batches_of(cases: list[TrainingCase], plan: Plan, *augmentations: str) -> Batches:
    return Batches(cases, plan, 3, SAMPLERS["uniform"], augmentations, 0)


@pytest.mark.parametrize(
    "plan",
    [
        ball_plan(),
        ball_plan(network=TINY, patch=(5, 6, 7)),
        ball_plan(network=UNet2015(features=(2, 2)), patch=(4, 1, 4)),
    ],
    ids=["no margin", "margin", "slices"],
)
def test_weights_are_cut_as_the_labels_are(plan: Plan, tmp_path: Path) -> None:
    batch = batches_of(weighted_cases(tmp_path, plan), plan).at(0, CPU)
    assert batch.weights is not None
    assert torch.equal(batch.weights, 1.0 + 2 * batch.targets)
    seen = [plan.patch[k] + 2 * m for k, m in zip(plan.axes, plan.network.margin, strict=True)]
    assert batch.images.shape == (3, 1, *seen)


def test_weights_are_warped_with_the_labels_and_no_intensity_is_changed(tmp_path: Path) -> None:
    plan = ball_plan(network=TINY, patch=(8, 8, 8))
    cases = weighted_cases(tmp_path, plan)
    batch = batches_of(cases, plan, "rotation", "shift-and-scale").at(0, CPU)
    assert batch.weights is not None
    error = (batch.weights - (1 + 2 * batch.targets)).abs()
    assert float(error.mean()) < 0.4
    assert 1 - 1e-4 <= float(batch.weights.min()) <= float(batch.weights.max()) <= 5 + 1e-4


def test_without_a_weighing_there_are_no_weights(tmp_path: Path) -> None:
    image, labels = draw_ball(0)
    index = index_voxels(labels.array, (4, 4, 4), np.random.default_rng(0))
    case = TrainingCase(torch.tensor(image.array), torch.tensor(labels.array), index)
    assert batches_of([case], ball_plan()).at(0, CPU).weights is None


def test_the_weights_of_voxels_reach_the_loss(tmp_path: Path) -> None:
    data = balls(tmp_path / "data", 2)
    training = ball_training(loss="cross-entropy", steps=1)
    for name in ("", "unet-2015"):
        train(data, ball_plan(), replace(training, voxel_weights=name), tmp_path / f"run{name}")
    plain, weighted = last_weights(tmp_path / "run"), last_weights(tmp_path / "rununet-2015")
    assert any(not torch.equal(plain[key], weighted[key]) for key in plain)


# Tiles


def valid(tiles: Tensor) -> Tensor:
    """Mean of 5 x 3 voxels, for those that have them, and the voxel itself."""
    mean = functional.avg_pool2d(tiles, (5, 3), 1)
    return torch.cat([mean, tiles[..., 2:-2, 1:-1]], dim=1)


def halving(tiles: Tensor) -> Tensor:
    """A network that sees pairs of voxels: what it gives depends on where a tile begins."""
    return functional.interpolate(functional.avg_pool2d(tiles, 2), scale_factor=2)


def whole(*arguments: Any, **options: Any) -> Tensor:
    slabs = list(sweep(*arguments, **options))
    starts = np.cumsum([0, *(slab.total.shape[1] for slab in slabs[:-1])])
    assert [slab.start for slab in slabs] == starts.tolist()
    return torch.cat([slab.logits() for slab in slabs], dim=1)


@pytest.mark.parametrize("overlap", [0.0, 0.5])
@pytest.mark.parametrize("batch", [1, 5])
@pytest.mark.parametrize("patch", [(4, 6), (30, 5), (11, 13)], ids=str)
def test_tiles_give_what_one_pass_over_the_mirrored_volume_gives(
    patch: tuple[int, ...], batch: int, overlap: float
) -> None:
    volume = some_volume(11, 13)
    wanted = valid(mirrored(volume, [(2, 2), (1, 1)])[None])[0]
    options = {"overlap": overlap, "batch": batch, "margin": (2, 1), "period": (2, 1)}
    found = whole(valid, volume, patch, 2, **options)
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)


def test_tiles_begin_on_multiples_of_the_period() -> None:
    volume = some_volume(11, 13)
    wanted = halving(mirrored(volume, [(0, 1), (0, 1)])[None])[0, :, :11, :13]
    for patch in ((4, 6), (6, 2), (12, 14)):
        options = {"overlap": 0.0, "margin": (0, 0), "period": (2, 2)}
        found = whole(halving, volume, patch, 1, **options)
        torch.testing.assert_close(found, wanted, atol=1e-6, rtol=0)


def test_tiles_do_not_overlap_more_than_they_must() -> None:
    assert periodic_lattice((11, 13), (4, 6), 0, (2, 3)) == [[0, 4, 8], [0, 6, 12]]
    assert periodic_lattice((11, 13), (5, 13), 0, (2, 3)) == [[0, 4, 8], [0]]
    assert periodic_lattice((3,), (9,), 0.5, (4,)) == [[0]]
    assert periodic_lattice((20,), (8,), 0.5, (4,)) == [[0, 4, 8, 12]]


def test_tiles_shorter_than_the_period_are_refused() -> None:
    with pytest.raises(ValueError, match=r"multiples of \(4,\), got shorter ones: \(3,\)"):
        periodic_lattice((20,), (3,), 0, (4,))


def test_tiles_outside_the_mask_are_not_seen() -> None:
    seen = []

    def network(tiles: Tensor) -> Tensor:
        seen.append(len(tiles))
        return valid(tiles)

    mask = torch.zeros(11, 13, dtype=torch.bool)
    mask[10, 12] = True
    found = whole(network, some_volume(11, 13), (4, 6), 2, overlap=0, margin=(2, 1), mask=mask)
    assert sum(seen) == 1
    assert not found[:, :8].any()
    assert found[:, 8:, 12:].any()


# Models


@pytest.fixture
def tiles_seen(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Shapes that networks are given from now on."""
    seen: list[tuple[int, ...]] = []
    call = torch.nn.Module.__call__

    def watched(self: torch.nn.Module, x: Tensor) -> Tensor:
        if type(self).__name__ in ("DeepMedicNetwork", "CroppingUNet"):
            seen.append(tuple(x.shape))
        return call(self, x)

    monkeypatch.setattr(torch.nn.Module, "__call__", watched)
    return seen


def logits_of(plan: Plan, shape: tuple[int, ...], image: Tensor | None = None) -> Tensor:
    """Of a model with random weights; without an image, of some volume."""
    torch.manual_seed(0)
    network = plan.network.build(1, len(plan.labels)).eval()
    seen = some_volume(*shape) if image is None else image
    with torch.inference_mode():
        slabs = Passes(network, plan, overlap=0.5, mirrored=()).over(seen, None)
        return torch.cat([slab.logits() for slab in slabs], dim=1)


def test_tiles_of_a_model_are_no_longer_than_they_must_be(
    tiles_seen: list[tuple[int, ...]],
) -> None:
    plan = ball_plan(network=DeepMedicTiny(), patch=(19, 19, 19))
    assert logits_of(plan, (50, 20, 45)).shape == (3, 50, 20, 45)
    # Of up to 39, two of 27 cover 50, as tiles begin on multiples of 3, and two of 24 cover 45;
    # at each end are 9 voxels of margin.
    assert {shape[2:] for shape in tiles_seen} == {(27 + 18, 20 + 18, 24 + 18)}
    assert sum(shape[0] for shape in tiles_seen) == 2 * 2


def test_valid_convolutions_are_tiled_exactly_at_legal_sizes(
    tiles_seen: list[tuple[int, ...]],
) -> None:
    network = UNet2015(features=(2, 3, 4))  # logits of 4 n, 20 voxels of margin, tiles on 4 n
    plan = ball_plan(network=network, patch=(16, 16), spacing=(1.0, 1.0))
    found = logits_of(plan, (37, 21))
    assert all((side - 40) % 4 == 0 for shape in tiles_seen for side in shape[2:])
    assert max(side for shape in tiles_seen for side in shape[2:]) <= 16 + 40
    assert sum(shape[0] for shape in tiles_seen) == 3 * 2
    image = some_volume(37, 21)
    torch.manual_seed(0)
    module = network.build(1, 3).eval()
    with torch.inference_mode():
        wanted = module(mirrored(image, [(20, 23), (20, 23)])[None])[0, :, :37, :21]
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)


def test_a_2d_network_with_a_margin_takes_volumes_slice_by_slice() -> None:
    network = UNet2015(features=(2, 3))
    volume = logits_of(ball_plan(network=network, patch=(8, 1, 8)), (20, 3, 17))
    plane = ball_plan(network=network, patch=(8, 8), spacing=(1.0, 1.0))
    for k, found in enumerate(volume.unbind(2)):
        wanted = logits_of(plane, (20, 17), some_volume(20, 3, 17)[:, :, k])
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)


def test_a_network_with_a_margin_learns_balls(tmp_path: Path) -> None:
    network = DeepMedic(
        features=(8, 8),
        residual=(),
        factors=(3,),
        hidden=(12,),
        kernels=(1, 1),
        hidden_residual=(),
        dropout=(0.0, 0.0),
        side=13,
    )
    fields = {"sampler": "balanced", "optimizer": "rmsprop", "momentum": 0.6, "steps": 80}
    training = ball_training(**fields, learning_rate=0.005, batch=4, longest_gradient=0.0)
    plan = ball_plan(network=network, patch=(9, 9, 9))
    model = train(balls(tmp_path / "data", 2), plan, training, tmp_path / "run")
    image, truth = draw_ball(0)
    scores = evaluate(model.segment(image), truth, metrics=("dice",))
    assert min(row.value for row in scores.rows) >= 0.95


# Plans


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    return balls(tmp_path / "drawn", 1, shape=(40, 36, 30))


def test_a_network_that_asks_for_a_patch_gets_it(data: Dataset) -> None:
    assert make_plan(data, "deepmedic").patch == (21, 21, 21)
    assert make_plan(data, "deepmedic-tiny").patch == (19, 19, 19)
    assert make_plan(data, "deepmedic", settings={"patch": (9, 10, 11)}).patch == (9, 10, 11)


def test_other_patches_are_legal_and_with_their_margin_within_the_budget(data: Dataset) -> None:
    plan = make_plan(data, "unet-3d")
    network = plan.network
    assert plan.patch == network.fitted(plan.patch)
    seen = [side + 2 * margin for side, margin in zip(plan.patch, network.margin, strict=True)]
    assert np.prod(seen) <= 2**21


def test_smallest_legal_sizes_are_those_not_smaller() -> None:
    network = UNet2015()  # logits of 16 n + 4
    assert network.fitted((1, 4)) == (4, 4)
    assert network.fitted((5, 388)) == (20, 388)
    assert DeepMedic().fitted((1, 2, 99)) == (1, 2, 99)


def test_memory_is_asked_for_what_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = ball_plan(network=TINY, patch=(10, 10, 10))
    wanted = 4 * 2 * (28**3 + 3 * 10**3)
    monkeypatch.setattr("medseg.learning.memory.free_memory", lambda device: wanted)
    require_room_for_patches(plan, 2, CPU)
    monkeypatch.setattr("medseg.learning.memory.free_memory", lambda device: wanted - 1)
    with pytest.raises(ValueError, match=r"2 patches of \(28, 28, 28\) voxels"):
        require_room_for_patches(plan, 2, CPU)
