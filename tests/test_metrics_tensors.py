"""Metrics of tensors are those of arrays, on the CPU and on CUDA."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from medseg.metrics import METRICS, Pair, pairs
from medseg.metrics.on_tensors import pairs_of_tensors
from medseg.volume import Labels

SPACING = (1.0, 2.0, 3.0)
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.cuda)]


def two_maps(seed: int, shape: tuple[int, ...]) -> tuple[NDArray, NDArray]:
    """Boxes of labels 1 to 3, moved by some voxels, one far away and some noise."""
    rng = np.random.default_rng(seed)
    reference, predicted = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    for label in (1, 2, 3):
        start = [int(rng.integers(0, max(size // 2, 1))) for size in shape]
        reference[tuple(slice(a, a + 5) for a in start)] = label
        predicted[tuple(slice(a + 1, a + 5) for a in start)] = label
    predicted.flat[-2:] = 1
    predicted.flat[3], reference.flat[5] = 7, 9
    return predicted, reference


def assert_same(found: Pair, expected: Pair) -> None:
    assert found.status == expected.status
    for name, metric in METRICS.items():
        value = metric.compute(expected)
        assert metric.compute(found) == pytest.approx(value, abs=1e-12, nan_ok=True), name


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("connectivity", [1, 3])
@pytest.mark.parametrize(
    ("shape", "spacing"),
    [
        ((15, 13, 11), SPACING),
        ((40, 9, 30), (0.7, 0.7, 5.0)),
        ((24, 21), (2.0, 0.5)),
        ((24, 21, 1), SPACING),
    ],
)
def test_tensors_are_scored_as_arrays(
    shape: tuple[int, ...], spacing: tuple[float, ...], connectivity: int, device: str
) -> None:
    for seed in range(2):
        predicted, reference = two_maps(seed, shape)
        labels = Labels.from_array(predicted, spacing), Labels.from_array(reference, spacing)
        expected = pairs(*labels, labels=(1, 2, 3, 7, 9, 20), connectivity=connectivity)
        tensors = [torch.from_numpy(x).to(device) for x in (predicted, reference)]
        found = pairs_of_tensors(*tensors, spacing, (1, 2, 3, 7, 9, 20), connectivity=connectivity)
        assert list(found) == list(expected)
        for label, pair in found.items():
            assert_same(pair, expected[label])


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int16, torch.int64])
def test_any_dtype_is_read(dtype: torch.dtype) -> None:
    mask = np.zeros((6, 6), np.uint8)
    mask[1:4, 2:5] = 1
    tensor = torch.from_numpy(mask).to(dtype)
    (label,) = found = pairs_of_tensors(tensor, tensor.roll(1, 0), SPACING[:2])
    assert label == 1
    assert_same(found[1], Pair.from_masks(mask, np.roll(mask, 1, 0), SPACING[:2]))


def test_empty_maps_have_no_labels() -> None:
    nothing = torch.zeros((4, 4), dtype=torch.int64)
    assert not pairs_of_tensors(nothing, nothing, (1.0, 1.0))
    found = pairs_of_tensors(nothing, nothing, (1.0, 1.0), labels=[3])
    assert_same(found[3], Pair.from_masks(np.zeros((4, 4)), np.zeros((4, 4))))


@pytest.mark.parametrize(
    ("reference", "spacing", "message"),
    [
        (torch.zeros((2, 3), dtype=torch.int64), (1.0, 1.0), "predicted has shape"),
        (torch.zeros((2, 2), dtype=torch.int64), (1.0,), "spacing needs 2 values"),
        (torch.full((2, 2), -1), (1.0, 1.0), "0 to 65535"),
        (torch.full((2, 2), 65536), (1.0, 1.0), "0 to 65535"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(
    reference: torch.Tensor, spacing: tuple[float, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        pairs_of_tensors(torch.ones((2, 2), dtype=torch.int64), reference, spacing)
