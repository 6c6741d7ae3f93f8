"""`medseg.metrics.binary` is MedPy by another import."""

import inspect
import math
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from medseg.io import read_labels
from medseg.metrics import binary

OVERLAPS = [
    "dc",
    "jc",
    "precision",
    "recall",
    "sensitivity",
    "specificity",
    "true_positive_rate",
    "true_negative_rate",
    "positive_predictive_value",
    "ravd",
]
DISTANCES = ["hd", "hd95", "asd", "assd"]
OBJECT_DISTANCES = ["obj_asd", "obj_assd"]
OBJECTS = ["obj_fpr", "obj_tpr"]
CORRELATIONS = ["volume_correlation", "volume_change_correlation"]
EMPTY, FULL = np.zeros((3, 4)), np.ones((3, 4))


@pytest.fixture(scope="module")
def medpy() -> Any:
    return pytest.importorskip("medpy.metric.binary", reason="MedPy is not installed")


def blobs(seed: int, shape: tuple[int, ...], share: float = 0.4) -> NDArray[np.bool_]:
    """Several smooth objects, some of them cut by the edge."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 0.9)
    return np.asarray(noise > np.quantile(noise, 1 - share))


def two_masks(seed: int, shape: tuple[int, ...]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    wrong = blobs(seed + 100, shape, 0.1)
    return blobs(seed, shape) ^ wrong, blobs(seed, shape)


# against MedPy itself


def test_it_is_there_when_it_is_named() -> None:
    code = "import sys, medseg; medseg.metrics; print('medseg.metrics.binary' in sys.modules); "
    code += "print(medseg.metrics.binary.dc([1, 1], [1, 0]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["False", str(2 / 3)], done.stderr


def test_there_is_every_function_with_the_same_signature(medpy: Any) -> None:
    theirs = {
        name: inspect.signature(function)
        for name, function in inspect.getmembers(medpy, inspect.isfunction)
        if function.__module__ == medpy.__name__ and not name.startswith("_")
    }
    assert set(theirs) == {
        *OVERLAPS, *DISTANCES, *OBJECT_DISTANCES, *OBJECTS, *CORRELATIONS,
    }  # fmt: skip
    for name, signature in theirs.items():
        ours = inspect.signature(getattr(binary, name)).parameters.values()
        expected = signature.parameters.values()
        assert [(p.name, p.default) for p in ours] == [(p.name, p.default) for p in expected]


@pytest.mark.parametrize("connectivity", [1, 2, 3])
@pytest.mark.parametrize(
    ("shape", "voxelspacing"),
    [
        ((14, 13, 12), (0.7, 1.3, 3.1)),
        ((14, 13, 12), None),
        ((1, 13, 12), (3.0, 1.0, 2.0)),
        ((13, 12, 1), 2.0),
        ((25, 30), (0.5, 2.0)),
        ((60,), 0.3),
        ((6, 7, 8, 5), (1.0, 2.0, 3.0, 4.0)),
    ],
)
def test_values_are_the_same(
    medpy: Any, shape: tuple[int, ...], voxelspacing: Any, connectivity: int
) -> None:
    for seed in range(3):
        masks = two_masks(seed, shape)
        for name in OVERLAPS:
            expected = getattr(medpy, name)(*masks)
            assert getattr(binary, name)(*masks) == pytest.approx(expected, abs=1e-15)
        for name in [*DISTANCES, *OBJECT_DISTANCES]:
            expected = getattr(medpy, name)(*masks, voxelspacing, connectivity)
            found = getattr(binary, name)(*masks, voxelspacing, connectivity)
            assert found == pytest.approx(expected, abs=1e-12), name
        for name in OBJECTS:
            expected = getattr(medpy, name)(*masks, connectivity)
            assert getattr(binary, name)(*masks, connectivity) == pytest.approx(expected)


def test_values_of_real_structures_are_the_same(medpy: Any, data: Path) -> None:
    files = sorted((data / "hippocampus" / "labelsTr").glob("hippocampus_*.nii.gz"))[:4]
    for file in files:
        labels = read_labels(file)
        for label in labels.values():
            reference = labels.mask(label)
            predicted = ndimage.binary_opening(np.roll(reference, 1, axis=0))
            for name in DISTANCES:
                expected = getattr(medpy, name)(predicted, reference, labels.grid.spacing)
                found = getattr(binary, name)(predicted, reference, labels.grid.spacing)
                assert found == pytest.approx(expected, abs=1e-12)


def test_objects_are_matched_alike_where_they_overlap_several(medpy: Any) -> None:
    differ = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        first, second = rng.random((2, 24, 24)) < 0.45
        for name in OBJECTS:
            expected = getattr(medpy, name)(first, second)
            differ += expected not in (0, 1)
            assert getattr(binary, name)(first, second) == pytest.approx(expected)
        for name in OBJECT_DISTANCES:
            expected = getattr(medpy, name)(first, second)
            assert getattr(binary, name)(first, second) == pytest.approx(expected, abs=1e-12)
    assert differ > 40


def test_correlations_are_the_same(medpy: Any) -> None:
    results = [blobs(seed, (9, 9), 0.1 * seed) for seed in range(1, 8)]
    references = [blobs(seed, (9, 9), 0.1 * ((3 * seed) % 8)) for seed in range(1, 8)]
    for name in CORRELATIONS:
        expected = getattr(medpy, name)(results, references)
        assert tuple(getattr(binary, name)(results, references)) == pytest.approx(tuple(expected))


@pytest.mark.parametrize("name", [*OVERLAPS, *DISTANCES, *OBJECT_DISTANCES, *OBJECTS])
@pytest.mark.parametrize(("result", "reference"), [(EMPTY, FULL), (FULL, EMPTY), (EMPTY, EMPTY)])
def test_what_is_empty_gives_the_same_value_or_kind_of_error(
    medpy: Any, name: str, result: NDArray, reference: NDArray
) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = getattr(medpy, name)(result, reference)
    except (RuntimeError, ZeroDivisionError) as error:
        with pytest.raises(type(error), match="is empty"):
            getattr(binary, name)(result, reference)
        return
    if math.isnan(expected) and name in OVERLAPS:  # of numpy 2; see the next test
        return
    found = getattr(binary, name)(result, reference)
    assert found == pytest.approx(expected, nan_ok=True)


# what MedPy documents, and what numpy 2 made of it


@pytest.mark.parametrize(
    ("name", "result", "reference", "expected"),
    [
        ("dc", EMPTY, EMPTY, 1.0),
        ("jc", EMPTY, EMPTY, 1.0),
        ("precision", EMPTY, FULL, 0.0),
        ("precision", EMPTY, EMPTY, 0.0),
        ("recall", FULL, EMPTY, 0.0),
        ("recall", EMPTY, EMPTY, 0.0),
        ("specificity", FULL, FULL, 0.0),
        ("specificity", EMPTY, FULL, 0.0),
        ("specificity", EMPTY, EMPTY, 1.0),
    ],
)
def test_nothing_by_nothing_is_what_medpy_documents(
    name: str, result: NDArray, reference: NDArray, expected: float
) -> None:
    assert getattr(binary, name)(result, reference) == expected


def test_any_array_like_is_taken_and_all_but_0_is_inside() -> None:
    assert binary.dc([[0, 0.5], [-1, 0]], [[0, 3], [0, 0]]) == pytest.approx(2 / 3)
    assert binary.hd([0, 2, 0, 0], [0, 0, 0, -1], 0.5) == 1.0
    assert binary.dc(np.array(1), np.array(1)) == 1


@pytest.mark.parametrize("order", ["C", "F"])
def test_masks_may_be_stored_in_any_order(order: Any) -> None:
    first, second = two_masks(0, (9, 8, 7))
    turned = np.asarray(first, order=order), second.astype(float)[::-1][::-1]
    assert binary.hd95(*turned, (1, 2, 3)) == binary.hd95(first, second, (1, 2, 3))


# errors


@pytest.mark.parametrize("name", [*OVERLAPS, *DISTANCES])
def test_other_shapes_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="result has shape"):
        getattr(binary, name)(np.ones((2, 3)), np.ones((1, 3)))


@pytest.mark.parametrize("voxelspacing", [(1, 2, 3), (1,)])
def test_spacings_of_other_axes_are_refused(voxelspacing: Any) -> None:
    with pytest.raises(RuntimeError, match="the arrays have 2 axes"):
        binary.hd(FULL, FULL, voxelspacing)


@pytest.mark.parametrize("voxelspacing", [0, (1, -1), (1, math.nan)])
def test_a_spacing_is_above_0(voxelspacing: Any) -> None:
    with pytest.raises(ValueError, match="voxelspacing must be above 0"):
        binary.hd(FULL, FULL, voxelspacing)
