"""Normalisations: by hand, inside a mask, and through JSON."""

import json
from typing import Any

import numpy as np
import pytest

from medseg.intensity import (
    CT_WINDOWS,
    NORMALISATIONS,
    CTWindow,
    Identity,
    Normalisation,
    Percentiles,
    Window,
    ZScore,
    match_histogram,
    normalisation_from_json,
    normalisation_to_json,
)

EXAMPLES: dict[str, Normalisation] = {
    "identity": Identity(),
    "zscore": ZScore(nonzero=True),
    "window": Window(-100, 240, 40.5, 70),
    "ct-window": CTWindow("lung"),
    "percentiles": Percentiles(1, 90),
}


def some_values(shape: tuple[int, ...] = (5, 6, 7)) -> np.ndarray:
    return np.random.default_rng(0).normal(50, 80, shape).astype(np.float32)


def some_mask(shape: tuple[int, ...] = (5, 6, 7)) -> np.ndarray:
    inside = np.zeros(shape, bool)
    inside[1:4, 2:5] = True
    return inside


# All normalisations


@pytest.fixture(params=EXAMPLES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_every_normalisation_has_an_example_here() -> None:
    assert EXAMPLES.keys() == set(NORMALISATIONS)


@pytest.mark.parametrize("mask", [None, some_mask()], ids=["whole", "mask"])
def test_shape_stays_and_the_result_is_float32(name: str, mask: np.ndarray | None) -> None:
    found = EXAMPLES[name](some_values(), mask)
    assert found.shape == (5, 6, 7)
    assert found.dtype == np.float32


def test_the_input_is_left_alone(name: str) -> None:
    values = some_values()
    EXAMPLES[name](values, some_mask())
    np.testing.assert_array_equal(values, some_values())


@pytest.mark.parametrize("value", [0.0, 3.0, -1e6])
@pytest.mark.parametrize("mask", [None, some_mask()], ids=["whole", "mask"])
def test_a_constant_image_stays_finite(name: str, value: float, mask: np.ndarray | None) -> None:
    assert np.isfinite(EXAMPLES[name](np.full((5, 6, 7), value, np.float32), mask)).all()


def test_a_single_voxel_stays_finite(name: str) -> None:
    assert np.isfinite(EXAMPLES[name](np.full((1, 1, 1), 3, np.float32))).all()


def test_an_empty_mask_counts_as_none(name: str) -> None:
    nothing = np.zeros((5, 6, 7), bool)
    found = EXAMPLES[name](some_values(), nothing)
    assert np.isfinite(found).all()


def test_order_of_intensities_stays(name: str) -> None:
    values = np.sort(some_values().ravel())
    normalise = ZScore() if name == "zscore" else EXAMPLES[name]
    assert (np.diff(normalise(values)) >= 0).all()


def test_json_gives_an_equal_normalisation(name: str) -> None:
    content = json.loads(json.dumps(normalisation_to_json(EXAMPLES[name])))
    assert content["name"] == name
    assert normalisation_from_json(content) == EXAMPLES[name]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"name": "z-score"}, "did you mean 'zscore'"),
        ({}, "no normalisation is called ''"),
        ({"name": "zscore", "mean": 3}, "normalisation has no parameter mean"),
        ({"name": "window", "low": 1}, "normalisation can't be built"),
    ],
    ids=str,
)
def test_json_of_another_kind_is_refused(content: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        normalisation_from_json(content)


# By hand


def test_identity_changes_nothing() -> None:
    np.testing.assert_array_equal(Identity()(some_values(), some_mask()), some_values())


def test_zscore_of_four_voxels() -> None:
    found = ZScore()(np.array([1, 2, 3, 6], np.float32))
    np.testing.assert_allclose(found, np.array([-2, -1, 0, 3]) / np.sqrt(3.5), rtol=1e-6)


def test_zscore_counts_what_is_inside_and_is_0_outside() -> None:
    found = ZScore()(np.array([2, 4, 1000], np.float32), np.array([True, True, False]))
    assert found.tolist() == [-1, 1, 0]


def test_zscore_of_skull_stripped_images_leaves_zeros_alone() -> None:
    found = ZScore(nonzero=True)(np.array([0, 2, 4, 0], np.float32))
    assert found.tolist() == [0, -1, 1, 0]


def test_a_mask_comes_before_what_is_not_zero() -> None:
    inside = np.array([True, True, False])
    found = ZScore(nonzero=True)(np.array([0, 2, 4], np.float32), inside)
    assert found.tolist() == [-1, 1, 0]


def test_zscore_keeps_its_precision_on_a_large_offset() -> None:
    values = (1e6 + np.tile([-1.0, 1.0], 50_000)).astype(np.float32)
    found = ZScore()(values)
    assert found.mean(dtype=np.float64) == pytest.approx(0, abs=1e-6)
    assert found.std(dtype=np.float64) == pytest.approx(1, abs=1e-6)


def test_scale_and_offset_of_the_scanner_do_not_matter_to_zscore() -> None:
    values = some_values()
    np.testing.assert_allclose(ZScore()(7 * values + 300), ZScore()(values), atol=1e-4)


def test_window_clips_then_subtracts_and_divides() -> None:
    found = Window(-100, 200, 50, 25)(np.array([-1000, -100, 0, 75, 200, 3000], np.float32))
    assert found.tolist() == [-6, -6, -2, 1, 6, 6]


def test_window_takes_no_notice_of_the_mask() -> None:
    window = Window(-100, 200, 50, 25)
    np.testing.assert_array_equal(window(some_values(), some_mask()), window(some_values()))


def test_percentiles_go_to_zero_and_one() -> None:
    found = Percentiles(10, 90)(np.arange(11, dtype=np.float32))
    np.testing.assert_allclose(found, np.clip((np.arange(11) - 1) / 8, 0, 1), atol=1e-6)


def test_percentiles_are_those_of_the_inside() -> None:
    inside = np.array([True] * 11 + [False])
    found = Percentiles(0, 100)(np.array([*range(11), 500], np.float32), inside)
    np.testing.assert_allclose(found, [*np.arange(11) / 10, 1], atol=1e-6)


# Refused


@pytest.mark.parametrize(
    "fields", [(1, 1, 0, 1), (2, 1, 0, 1), (0, 1, 0, 0), (0, 1, 0, -1)], ids=str
)
def test_a_window_that_makes_no_sense_is_refused(fields: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="low < high and a positive deviation"):
        Window(*fields)


@pytest.mark.parametrize("ends", [(-1, 50), (50, 50), (10, 101)], ids=str)
def test_percentiles_that_make_no_sense_are_refused(ends: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="percentiles are 0 <= low < high <= 100"):
        Percentiles(*ends)


# CT windows by name


def test_a_window_by_name_goes_from_its_lower_to_its_upper_end() -> None:
    values = np.array([-3000, -1350, -600, 150, 3000], np.float32)
    np.testing.assert_allclose(CTWindow("lung")(values), [0, 0, 0.5, 1, 1])
    assert CTWindow("brain").ends == (0, 80)


def test_a_window_that_is_none_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="no CT window is called 'lungs'; did you mean 'lung'"):
        CTWindow("lungs")
    assert all(width > 0 for _, width in CT_WINDOWS.values())


# Histogram matching


@pytest.mark.parametrize("decimals", [0, 5])
def test_matched_histograms_are_those_of_scikit_image(decimals: int) -> None:
    from skimage.exposure import match_histograms

    values = some_values().round(decimals)
    reference = np.random.default_rng(1).gamma(3, 20, (6, 6, 8)).astype(np.float32).round(decimals)
    found = match_histogram(values, reference)
    np.testing.assert_allclose(found, match_histograms(values, reference), rtol=1e-5)
    assert found.dtype == np.float32


def test_a_histogram_of_the_same_image_at_another_scale_is_matched_exactly() -> None:
    values = some_values()
    np.testing.assert_allclose(match_histogram(values, 3 * values - 7), 3 * values - 7, rtol=1e-5)


def test_what_lies_outside_the_masks_does_not_matter() -> None:
    values, inside = some_values(), some_mask()
    wanted = match_histogram(values, values + 100, inside, inside)
    other = np.where(inside, values + 100, 1e6)
    found = match_histogram(np.where(inside, values, -1e6), other, inside, inside)
    np.testing.assert_array_equal(found[inside], wanted[inside])
    np.testing.assert_allclose(found[inside], values[inside] + 100, rtol=1e-5)
    assert found.max() <= values[inside].max() + 101


def test_histograms_of_nothing_are_refused() -> None:
    values = some_values()
    with pytest.raises(ValueError, match="one of them is empty"):
        match_histogram(values, values, np.zeros(values.shape, bool))
