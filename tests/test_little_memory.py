"""Where memory is short, a volume is gone over in parts, and nothing else changes."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from balls import ball_plan
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from medseg import Grid, Image, Labels, Model, tiling
from medseg.learning import passes as of_passes
from medseg.learning.layout import Layout, Tiles
from medseg.learning.passes import Passes
from medseg.learning.regridding import stretches, strips
from medseg.tiling import Slab

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = torch.device("cpu")
SHAPE = (20, 18, 16)


def blurred(tiles: Tensor) -> Tensor:
    return torch.cat([torch.nn.functional.avg_pool3d(tiles, 3, 1, 1), tiles**2, -tiles], dim=1)


def some_passes(**changes: Any) -> Passes:
    return Passes(blurred, ball_plan(patch=(8, 8, 16), **changes), 0.5, ())


def with_room(monkeypatch: pytest.MonkeyPatch, room: int, passing: int = 0) -> None:
    """Let so many bytes be free, and a tile take some of them; each goes alone."""
    monkeypatch.setitem(of_passes.BATCH_VOXELS, "cpu", 1)
    monkeypatch.setattr(of_passes, "free_memory", lambda _: room)
    monkeypatch.setattr(Passes, "trial", lambda self, tiles, device: passing)


# Layouts


def tiles_of_a_ct(classes: int = 100) -> Tiles:
    first = tiling.lattice((512, 512, 600), (128, 128, 128), 0.5)
    return Tiles((512, 512, 600), (128, 128, 128), first, classes, 1)


def test_layouts_by_hand() -> None:
    row = 100 * 128 * 600  # numbers along the second axis
    found = [(one.sums.itemsize, one.cuts, one.summed) for one in tiles_of_a_ct().layouts(4)]
    assert found == [
        (4, (0, 512), 4 * 512 * row),
        (2, (0, 512), 2 * 512 * row),
        (2, (0, 256, 512), 2 * 256 * row),
        (2, (0, 192, 320, 512), 2 * 192 * row),
        (2, (0, 128, 256, 384, 512), 2 * 128 * row),
    ]


def test_several_layers_that_are_seen_at_once_need_more_rows() -> None:
    tiles = Tiles((40, 8, 8), (8, 8, 8), tiling.lattice((40, 8, 8), (8, 8, 8), 0.5), 2, 3)
    assert next(tiles.layouts()).summed == 4 * 2 * (8 + 2 * 4) * 8 * 8


@pytest.mark.parametrize(
    ("room", "passing", "sums", "count"),
    [
        (4, 0.1, torch.float32, 1),  # of the sums in float32
        (1.5, 0.3, torch.float32, 1),
        (1.5, 0.4, torch.bfloat16, 1),
        (1.0, 0.6, torch.bfloat16, 2),
    ],
)
def test_what_fits_is_the_fastest_that_fits(
    monkeypatch: pytest.MonkeyPatch, room: float, passing: float, sums: torch.dtype, count: int
) -> None:
    numbers = 4 * 3 * 8 * 18 * 16
    with_room(monkeypatch, int(room * numbers), int(passing * numbers))
    found = some_passes().layout(SHAPE, CPU)
    assert (found.sums, len(found.cuts) - 1) == (sums, count)


def test_what_is_done_for_little_memory_is_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with_room(monkeypatch, 4 * 3 * 8 * 18 * 16 // 2)  # of those in bfloat16, and no more
    with caplog.at_level(logging.WARNING, "medseg"):
        some_passes().layout(SHAPE, CPU)
    assert "the sums of logits are kept in bfloat16 and are made in 2 strips" in caplog.text


def test_smaller_tiles_are_taken_where_the_network_takes_too_much(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with_room(monkeypatch, 20_000, 60_000)
    with caplog.at_level(logging.WARNING, "medseg"):
        found = some_passes().layout(SHAPE, CPU)
    assert "tiles of (8, 8, 8) instead of (8, 8, 16) voxels" in caplog.text
    assert np.prod(found.tile) <= 8 * 8 * 4
    assert found.summed + found.passing <= 18_000


def test_sums_that_do_not_fit_in_any_way_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with_room(monkeypatch, 1000)
    with pytest.raises(ValueError, match=r"to sum up 3 classes over \(8, 18, 16\) voxels takes"):
        some_passes().layout(SHAPE, CPU)


def test_sums_in_bfloat16_are_close(monkeypatch: pytest.MonkeyPatch) -> None:
    volume = torch.randn(1, *SHAPE, generator=torch.manual_seed(0))
    whole, half = (
        list(some_passes().over(volume, None, Layout((8, 8, 16), sums, (0, 18), 0)))
        for sums in (torch.float32, torch.bfloat16)
    )
    for shape in (SHAPE, (27, 20, 16)):
        found, wanted = (
            torch.cat([some.logits() for some in stretches(slabs, 20, shape)], dim=1)
            for slabs in (half, whole)
        )
        torch.testing.assert_close(found, wanted, atol=0.02, rtol=0.02)


# Strips


@pytest.mark.parametrize("part", [(0, 18), (0, 5), (4, 9), (17, 18)])
@pytest.mark.parametrize("patch", [(8, 8, 16), (24, 6, 5), (8, 24, 16)])
def test_a_strip_has_what_the_whole_has(part: tuple[int, int], patch: tuple[int, ...]) -> None:
    volume, strip = torch.randn(1, *SHAPE, generator=torch.manual_seed(0)), slice(*part)
    whole = torch.cat([s.logits() for s in tiling.sweep(blurred, volume, patch, 3)], dim=1)
    some = list(tiling.sweep(blurred, volume, patch, 3, strip=strip))
    found = torch.cat([slab.logits() for slab in some], dim=1)
    torch.testing.assert_close(found, whole[:, :, strip])


def test_a_strip_of_tiles_with_a_margin_has_what_the_whole_has() -> None:
    volume = torch.randn(1, *SHAPE, generator=torch.manual_seed(0))
    options: dict[str, Any] = {"overlap": 0.0, "margin": (1, 1, 1), "period": (4, 4, 4)}

    def cut(tiles: Tensor) -> Tensor:
        return blurred(tiles)[:, :, 1:-1, 1:-1, 1:-1]

    whole = torch.cat([s.logits() for s in tiling.sweep(cut, volume, (8, 8, 8), 3, **options)], 1)
    strips_of = tiling.sweep(cut, volume, (8, 8, 8), 3, strip=slice(5, 13), **options)
    found = torch.cat([slab.logits() for slab in strips_of], dim=1)
    torch.testing.assert_close(found, whole[:, :, 5:13])


def test_a_strip_sees_only_the_tiles_that_touch_it() -> None:
    seen = []

    def network(tiles: Tensor) -> Tensor:
        seen.append(tiles)
        return tiles

    list(tiling.sweep(network, torch.ones(1, 8, 32, 4), (8, 8, 4), 1, strip=slice(8, 16)))
    assert len(seen) == 3  # those that begin at 4, 8 and 12


@pytest.mark.parametrize("size", [18, 29, 11, 4])
@pytest.mark.parametrize("near", [False, True])
def test_strips_are_interpolated_as_the_whole(size: int, *, near: bool) -> None:
    volume = torch.randn(1, *SHAPE, generator=torch.manual_seed(0))
    shape = 27, size, 13
    thick = 1 if near else None
    slabs = tiling.sweep(blurred, volume, (8, 8, 8), 3)
    whole = torch.cat([some.logits() for some in stretches(slabs, 20, shape, thick=thick)], dim=1)
    parts = []
    for strip in strips((0, 4, 12, 18), size, near=near):
        some = tiling.sweep(blurred, volume, (8, 8, 8), 3, strip=strip.seen)
        rows = stretches(some, 20, shape, thick=thick, strip=strip)
        parts.append(torch.cat([one.logits() for one in rows], dim=1))
    torch.testing.assert_close(torch.cat(parts, dim=2), whole)


@pytest.fixture(scope="module")
def model() -> Model:
    torch.manual_seed(0)
    return Model.untrained(ball_plan(patch=(8, 8, 8), spacing=(1.0, 1.0, 1.0)), "cpu")


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.7, 0.8, 1.2)])
@pytest.mark.parametrize("masked", [False, True])
def test_labels_are_the_same_in_strips(
    model: Model, monkeypatch: pytest.MonkeyPatch, spacing: tuple[float, ...], *, masked: bool
) -> None:
    array = np.random.default_rng(0).random(SHAPE, np.float32)
    grid = Grid(SHAPE, np.diag([-spacing[0], spacing[1], spacing[2], 1.0]))
    image, mask = Image(array[None], grid), None
    if masked:
        mask = Labels((np.indices(SHAPE)[1] > 9).astype(np.uint8), grid)
    whole, laid_out = model.segment(image, mask=mask), Passes.layout

    def in_strips(self: Passes, shape: tuple[int, ...], device: torch.device) -> Layout:
        layout = laid_out(self, shape, device)
        return replace(layout, cuts=(0, 4, 8, shape[1]))

    monkeypatch.setattr(Passes, "layout", in_strips)
    found = model.segment(image, mask=mask)
    assert (found.array != whole.array).mean() < 1e-3


# However many classes


def test_sums_never_take_more_than_the_layout_says(monkeypatch: pytest.MonkeyPatch) -> None:
    alive: list[Callable[[], int]] = []
    most = 0
    made = tiling.zeros_apart

    def counted(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
        nonlocal most
        block = made(shape, dtype, device)
        alive.append(_bytes_while_alive(block))
        most = max(most, sum(one() for one in alive))
        return block

    monkeypatch.setattr(tiling, "zeros_apart", counted)
    image = Image.from_array(np.random.default_rng(0).random((40, 30, 20), np.float32))
    for classes in (10, 40):
        plan = ball_plan(patch=(8, 8, 8), labels=tuple(range(classes)), names={})
        model = Model.untrained(plan, "cpu")
        room = 10 * 4 * 8 * 30 * 20  # of the sums of ten classes
        with_room(monkeypatch, room)
        most = 0
        model.segment(image)
        assert 0 < most <= room


def _bytes_while_alive(block: Tensor) -> Callable[[], int]:
    storage = torch.multiprocessing.reductions.StorageWeakRef(block.untyped_storage())
    size = block.nbytes
    return lambda: 0 if storage.expired() else size


class Largest(TorchDispatchMode):
    """Remembers the largest tensor that was made."""

    numbers = 0

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Let it happen."""
        made = func(*args, **(kwargs or {}))
        given = {one.untyped_storage()._cdata for one in args if isinstance(one, Tensor)}
        if isinstance(made, Tensor) and made.untyped_storage()._cdata not in given:  # no view
            self.numbers = max(self.numbers, made.numel())
        return made


@pytest.mark.parametrize("shape", [(20, 18, 16), (33, 25, 30)])
def test_no_tensor_grows_with_the_classes_on_the_way_to_labels(shape: tuple[int, ...]) -> None:
    largest = []
    for classes in (4, 64):
        logits = torch.randn(classes, *SHAPE, generator=torch.manual_seed(0))
        with Largest() as seen:
            for some in stretches(_slabs(logits), SHAPE[0], shape):
                some.most_likely()
        largest.append(seen.numbers)
    # Between two slabs, two rows of all classes are joined.
    assert largest[1] <= max(largest[0], 64 * 2 * SHAPE[1] * SHAPE[2])


def _slabs(logits: Tensor) -> Iterator[Slab]:
    for start in range(0, SHAPE[0], 10):
        total = logits[:, start : start + 5]
        yield Slab(start, total, tuple(torch.ones(n) for n in total.shape[1:]))
