"""Tiles cover all, and their weighted mean is that of a plain slow version."""

import numpy as np
import pytest
import torch
from torch import Tensor

from medseg.tiling import lattice, most_likely, sweep


def whole(*arguments: object, **options: object) -> Tensor:
    """Mean logits of all slabs, in one tensor."""
    slabs = list(sweep(*arguments, **options))
    assert [slab.start for slab in slabs] == np.cumsum(
        [0, *(slab.total.shape[1] for slab in slabs[:-1])]
    ).tolist()
    return torch.cat([slab.logits() for slab in slabs], dim=1)


def slowly(network, volume: Tensor, patch: tuple[int, ...], overlap: float) -> Tensor:
    """One tile after the other into arrays as large as the volume, in float64."""
    axes = np.meshgrid(*lattice(tuple(volume.shape[1:]), patch, overlap), indexing="ij")
    window = np.ones(())
    for side in patch:
        x = np.arange(side) - (side - 1) / 2
        window = window[..., None] * np.exp(-0.5 * (x / (side / 8)) ** 2)
    total, weight = 0, np.zeros(volume.shape[1:])
    for corner in zip(*(axis.ravel() for axis in axes), strict=True):
        at = tuple(slice(c, c + p) for c, p in zip(corner, patch, strict=True))
        logits = network(volume[(slice(None), *at)][None])[0].double().numpy()
        if np.isscalar(total):
            total = np.zeros((len(logits), *volume.shape[1:]))
        total[(slice(None), *at)] += logits * window
        weight[at] += window
    return torch.from_numpy(total / weight)


def blurred(tiles: Tensor) -> Tensor:
    """A network whose answer depends on where the tile ends."""
    mean = torch.nn.functional.avg_pool3d(tiles, 3, 1, 1)
    return torch.cat([mean, -tiles, tiles * mean], dim=1)


@pytest.mark.parametrize("overlap", [0.0, 0.3, 0.5, 0.75])
@pytest.mark.parametrize("batch", [1, 3, 100])
def test_equals_the_slow_version(overlap: float, batch: int) -> None:
    volume = torch.randn(1, 17, 12, 9, generator=torch.manual_seed(0))
    found = whole(blurred, volume, (8, 6, 4), 3, overlap=overlap, batch=batch)
    expected = slowly(blurred, volume, (8, 6, 4), overlap)
    torch.testing.assert_close(found.double(), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("shape", [(5, 3, 9), (8, 6, 4), (1, 1, 1), (30, 2, 4)])
def test_a_volume_smaller_than_the_patch_comes_back_in_its_size(shape: tuple[int, ...]) -> None:
    volume = torch.randn(2, *shape, generator=torch.manual_seed(0))
    found = whole(lambda tiles: torch.cat([tiles, -tiles], 1), volume, (8, 6, 4), 4)
    torch.testing.assert_close(found, torch.cat([volume, -volume]))


def test_padding_is_zero_on_both_sides() -> None:
    seen = []

    def network(tiles: Tensor) -> Tensor:
        seen.append(tiles)
        return tiles

    list(sweep(network, torch.ones(1, 4, 4), (8, 5), 1))
    assert seen[0][0, 0].sum(1).tolist() == [0, 0, 4, 4, 4, 4, 0, 0]
    assert seen[0][0, 0].sum(0).tolist() == [4, 4, 4, 4, 0]


def test_slices_of_a_volume_go_through_in_batches() -> None:
    volume = torch.randn(1, 11, 9, 7, generator=torch.manual_seed(0))
    sizes = []

    def network(tiles: Tensor) -> Tensor:
        sizes.append(len(tiles))
        return torch.cat([tiles, tiles**2], dim=1)

    found = whole(network, volume, (1, 6, 7), 2, batch=6)
    torch.testing.assert_close(found, torch.cat([volume, volume**2]))
    assert max(sizes) == 6


def test_tiles_outside_the_mask_are_skipped_and_the_rest_is_unchanged() -> None:
    volume = torch.randn(1, 24, 8, 8, generator=torch.manual_seed(0))
    mask = torch.zeros(24, 8, 8, dtype=torch.bool)
    mask[2:6, 3:5, 3:5] = True
    calls = []

    def network(tiles: Tensor) -> Tensor:
        calls.append(tiles)
        return blurred(tiles)

    found = whole(network, volume, (4, 4, 4), 3, mask=mask)
    masked = len(calls)
    expected = whole(network, volume, (4, 4, 4), 3)
    torch.testing.assert_close(found[:, mask], expected[:, mask])
    assert masked < (len(calls) - masked) / 3


@pytest.mark.parametrize("overlap", [0, 0.25, 0.5, 0.9])
def test_lattice_covers_every_voxel(overlap: float) -> None:
    covered = np.zeros((17, 9), bool)
    rows, columns = lattice(covered.shape, (8, 4), overlap)
    assert np.diff(rows).max() <= max(8 * (1 - overlap), 1)
    for i in rows:
        for j in columns:
            covered[i : i + 8, j : j + 4] = True
    assert covered.all()


def test_refuses_an_overlap_of_one() -> None:
    with pytest.raises(ValueError, match=r"share in \[0, 1\), got 1"):
        lattice((8,), (4,), 1)


@pytest.mark.parametrize("classes", [1, 2, 5, 300])
def test_most_likely_is_the_first_of_the_highest(classes: int) -> None:
    logits = torch.randint(0, 4, (classes, 7, 5), generator=torch.manual_seed(0)).float()
    before = logits.clone()
    np.testing.assert_array_equal(most_likely(logits), logits.numpy().argmax(0))
    torch.testing.assert_close(logits, before)


@pytest.mark.cuda
def test_cuda_equals_cpu() -> None:
    volume = torch.randn(1, 17, 12, 9)
    on_gpu = whole(blurred, volume.cuda(), (8, 6, 4), 3, batch=4)
    torch.testing.assert_close(on_gpu.cpu(), whole(blurred, volume, (8, 6, 4), 3))
