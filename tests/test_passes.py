"""Passes over tiles give the same whether there is much memory or little."""

import logging
from collections.abc import Callable

import numpy as np
import pytest
import torch
from balls import ball_plan
from torch import Tensor

from medseg import Image, Model
from medseg.learning.mirroring import mirrored
from medseg.learning.passes import Passes
from medseg.learning.sparing import constant_once, in_halves

pytestmark = pytest.mark.usefixtures("one_thread")
SHORT = "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"


class Counted:
    """A network that remembers what it has seen, and has memory for so many voxels."""

    def __init__(self, network: Callable[[Tensor], Tensor], most: int = 10**9) -> None:
        self.network, self.most, self.seen = network, most, list[Tensor]()

    def __call__(self, tiles: Tensor) -> Tensor:
        """Let through what fits."""
        if tiles.numel() > self.most:
            raise RuntimeError(SHORT)
        self.seen.append(tiles)
        return self.network(tiles)


def blurred(tiles: Tensor) -> Tensor:
    return torch.cat([torch.nn.functional.avg_pool3d(tiles, 3, 1, 1), tiles**2, -tiles], dim=1)


def some_image() -> Image:
    rng = np.random.default_rng(0)
    return Image.from_array(rng.random((20, 18, 16), np.float32))


# Constant tiles


def test_of_constant_tiles_one_is_seen_and_nothing_changes() -> None:
    tiles = torch.randn(6, 1, 4, 4, 4, generator=torch.manual_seed(0))
    tiles[[1, 3, 4]] = 0
    network = Counted(blurred)
    once = constant_once(network)
    torch.testing.assert_close(once(tiles), blurred(tiles), rtol=0, atol=0)
    torch.testing.assert_close(once(tiles[3:5]), blurred(tiles[3:5]), rtol=0, atol=0)
    assert [len(seen) for seen in network.seen] == [4]


def test_constant_tiles_of_other_values_are_others() -> None:
    tiles = torch.zeros(3, 2, 2, 2, 2)
    tiles[1, 0], tiles[2, 1] = 1, 1
    once = constant_once(lambda x: 2 * x)
    for some in (tiles, tiles.flip(0), tiles[:1], tiles[1:2]):
        torch.testing.assert_close(once(some), 2 * some)


def test_a_voxel_in_one_channel_makes_a_tile_another() -> None:
    tiles = torch.zeros(2, 2, 4, 4, 4)
    tiles[1, 1, 0, 0, 3] = 1
    torch.testing.assert_close(constant_once(blurred)(tiles), blurred(tiles))


# Little memory


def test_batches_are_halved_until_they_fit_and_said_so_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tiles = torch.randn(7, 1, 4, 4, 4, generator=torch.manual_seed(0))
    network = Counted(blurred, most=64)
    halved = in_halves(network)
    with caplog.at_level(logging.WARNING, "medseg"):
        torch.testing.assert_close(halved(tiles), blurred(tiles))
        said = len(caplog.records)
        torch.testing.assert_close(halved(tiles), blurred(tiles))
    assert "batches of 3 tiles instead of 7" in caplog.text
    assert len(caplog.records) == said == 2
    assert max(len(seen) for seen in network.seen) == 1


def test_other_errors_are_not_taken_for_a_lack_of_memory() -> None:
    def broken(tiles: Tensor) -> Tensor:
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes do not match"):
        in_halves(broken)(torch.zeros(4, 1, 2, 2, 2))


def passes(most: int) -> Passes:
    return Passes(Counted(blurred, most), ball_plan(patch=(8, 8, 16)), 0.5, ())


def test_smaller_tiles_are_taken_where_memory_is_short(caplog: pytest.LogCaptureFixture) -> None:
    volume = torch.randn(1, 20, 18, 40, generator=torch.manual_seed(0))
    with caplog.at_level(logging.WARNING, "medseg"):
        found = torch.cat([slab.logits() for slab in passes(8 * 8 * 8).over(volume, None)], dim=1)
    assert "tiles of (8, 8, 8) instead of (8, 8, 16) voxels" in caplog.text
    wanted = Passes(blurred, ball_plan(patch=(8, 8, 8)), 0.5, ()).over(volume, None)
    torch.testing.assert_close(found, torch.cat([slab.logits() for slab in wanted], dim=1))


def test_no_memory_at_all_is_an_error() -> None:
    with pytest.raises(MemoryError, match="not enough memory"):
        list(passes(1).over(torch.randn(1, 20, 18, 16), None))


# Mirrored


@pytest.mark.parametrize(("most", "batches"), [(1, [1] * 4), (5, [2, 2]), (6, [3, 1]), (100, [4])])
def test_mirror_images_are_averaged_in_batches(most: int, batches: list[int]) -> None:
    tiles = torch.randn(2, 1, 4, 3, 2, generator=torch.manual_seed(0))
    network = Counted(lambda x: x.cumsum(2) + x.cumsum(4))
    found = mirrored(network, (0, 2), most)(tiles)
    wanted = torch.stack(
        [network.network(tiles.flip(a)).flip(a) for a in ((), (2,), (4,), (2, 4))]
    ).mean(0)
    torch.testing.assert_close(found, wanted)
    assert [len(seen) // 2 for seen in network.seen] == batches


# Precision


def test_precisions_agree_on_nearly_all_voxels_and_differ_in_logits() -> None:
    torch.manual_seed(0)
    model = Model.untrained(ball_plan(patch=(8, 8, 8)), "cpu")
    exact, lower = (
        Model(model.network, model.plan, precision=name) for name in ("float32", "bfloat16")
    )
    image = some_image()
    difference = exact.probabilities(image).array - lower.probabilities(image).array
    assert 0 < np.abs(difference).max() < 0.05
    assert (exact.segment(image).array == lower.segment(image).array).mean() > 0.97


def test_an_unknown_precision_is_refused() -> None:
    model = Model.untrained(ball_plan(patch=(8, 8, 8)), "cpu")
    with pytest.raises(ValueError, match="precision is auto, float32 or bfloat16, got 'half'"):
        Model(model.network, model.plan, precision="half")
