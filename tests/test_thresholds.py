"""What is special to each threshold: by-hand figures, and what other libraries find."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from skimage import filters

from medseg import Grid, Image, Labels, method
from medseg.classical import li, thresholding
from medseg.classical.histogram import Histogram, total_of
from medseg.classical.otsu import thresholds
from medseg.classical.windows import NO_VARIANCE, Rule, box_sum, brighter_in_torch, brighter_than

RULES = (
    "li", "yen", "triangle", "isodata", "minimum", "mean", "kittler-illingworth",
    "maximum-entropy", "huang",
)  # fmt: skip
BINNED = set(RULES) - {"li", "mean"}


def image_of(values: object) -> Image:
    return Image.from_array(np.asarray(values, dtype=np.float32))


def labels_of(name: str, values: object, **parameters: Any) -> np.ndarray:
    return method(name, **parameters).segment(image_of(values)).array


def threshold_of(name: str, values: np.ndarray, **parameters: Any) -> float:
    rule = method(name, **parameters)
    assert isinstance(rule, thresholding.Thresholding)
    return rule.threshold(torch.from_numpy(values.astype(np.float32)))


def head(seed: int = 0) -> np.ndarray:
    """Air, two tissues and some bright spots: intensities as in a T1 image."""
    rng = np.random.default_rng(seed)
    parts = [rng.rayleigh(6, 6000), rng.normal(70, 12, 5000), rng.normal(120, 10, 4000)]
    return np.concatenate([*parts, rng.normal(220, 15, 200)]).astype(np.float32)


def last_dark_bin(histogram: Histogram, threshold: float) -> int:
    """Last bin with a count whose centre lies below the threshold."""
    centres = histogram.centre(np.arange(len(histogram.counts)))  # type: ignore[arg-type]
    return int(np.flatnonzero((histogram.counts > 0) & (centres < threshold))[-1])


# Thresholds that are found


@pytest.mark.parametrize("name", ["yen", "triangle", "isodata", "minimum"])
@pytest.mark.parametrize("seed", range(5))
def test_the_last_dark_bin_is_that_of_scikit_image(name: str, seed: int) -> None:
    values = head(seed)
    histogram = Histogram.of(torch.from_numpy(values), 256, name)
    theirs = getattr(filters, f"threshold_{name}")(values)
    their_bin = round((theirs - histogram.low) / histogram.width - 0.5)
    their_last = np.flatnonzero(histogram.counts[: their_bin + 1])[-1]
    assert last_dark_bin(histogram, threshold_of(name, values)) == their_last


@pytest.mark.parametrize("classes", [2, 3, 4])
@pytest.mark.parametrize("seed", range(3))
def test_otsu_parts_the_bins_as_scikit_image_does(classes: int, seed: int) -> None:
    values = head(seed)
    histogram = Histogram.of(torch.from_numpy(values), 256, "otsu")
    theirs = filters.threshold_multiotsu(values, classes)
    their_bins = np.rint((theirs - histogram.low) / histogram.width - 0.5)
    ours = thresholds(torch.from_numpy(values), classes)
    np.testing.assert_array_equal([last_dark_bin(histogram, t) for t in ours], their_bins)


@pytest.mark.parametrize("seed", range(3))
def test_mean_and_li_are_those_of_scikit_image(seed: int) -> None:
    values = head(seed)
    assert threshold_of("mean", values) == pytest.approx(filters.threshold_mean(values), rel=1e-6)
    assert threshold_of("li", values) == pytest.approx(filters.threshold_li(values), rel=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_maximum_entropy_is_that_of_simpleitk_within_a_bin(seed: int) -> None:
    import SimpleITK as sitk  # noqa: N813

    values = head(seed)
    rule = sitk.MaximumEntropyThresholdImageFilter()
    rule.SetNumberOfHistogramBins(256)
    rule.Execute(sitk.GetImageFromArray(values[None]))
    ours = threshold_of("maximum-entropy", values)
    assert ours == pytest.approx(rule.GetThreshold(), abs=float(np.ptp(values)) / 256)


def test_kittler_illingworth_errs_least_between_two_bells() -> None:
    rng = np.random.default_rng(0)
    narrow, wide = rng.normal(0, 1, 200_000), rng.normal(10, 3, 50_000)
    found = threshold_of("kittler-illingworth", np.concatenate([narrow, wide]), bins=512)

    def errors(cut: float) -> float:  # of 0.8 N(0, 1) + 0.2 N(10, 3), analytically
        right, left = math.erfc(cut / math.sqrt(2)), math.erfc((10 - cut) / 3 / math.sqrt(2))
        return 0.8 * right / 2 + 0.2 * left / 2

    best = min(np.arange(0, 10, 0.01), key=errors)
    assert errors(found) == pytest.approx(errors(best), abs=2e-4)
    assert found == pytest.approx(best, abs=0.3)
    (cut_by_otsu,) = thresholds(torch.from_numpy(np.concatenate([narrow, wide])).float())
    assert errors(cut_by_otsu) > 1.2 * errors(found)


def test_maximum_entropy_is_the_best_of_all_choices() -> None:
    from medseg.classical.maximum_entropy import last_dark

    counts = np.random.default_rng(0).integers(0, 50, 40)
    counts[[0, -1]] = 5, 7

    def entropy(part: np.ndarray) -> float:
        share = part[part > 0] / part.sum()
        return float(-(share * np.log(share)).sum())

    sums = [entropy(counts[: k + 1]) + entropy(counts[k + 1 :]) for k in range(39)]
    assert last_dark(counts) == np.argmax(sums)


def test_huang_is_the_best_of_all_choices() -> None:
    from medseg.classical.huang import last_dark

    counts = np.random.default_rng(1).integers(0, 50, 30)
    counts[[0, -1]] = 5, 7
    place = np.arange(30)

    def fuzziness(k: int) -> float:
        total = 0.0
        for part in (place <= k, place > k):
            mean = (counts[part] * place[part]).sum() / counts[part].sum()
            for g in place[part]:
                u = 1 / (1 + abs(g - mean) / 29)
                total += counts[g] * -(
                    u * math.log(u) + ((1 - u) * math.log(1 - u) if u < 1 else 0)
                )
        return total

    assert last_dark(counts) == min(range(29), key=fuzziness)


def test_li_is_where_cross_entropy_is_least() -> None:
    values = head().astype(np.float64) + 1
    values = np.concatenate([[0], values])

    def cross_entropy(cut: float) -> float:
        return -sum(part.sum() * math.log(part.mean()) for part in
                    (values[values < cut], values[values >= cut]))  # fmt: skip

    found = li.from_zero(torch.from_numpy(values).float())
    for nearby in (0.9 * found, 1.1 * found):
        assert cross_entropy(found) < cross_entropy(nearby)


def test_triangle_bends_where_the_tail_is_farthest_below_the_line() -> None:
    from medseg.classical.triangle import last_dark

    # Peak of 100 in bin 1; the line to the end of the bright tail falls by 100/8 a bin.
    counts = np.array([40, 100, 60, 20, 10, 8, 6, 4, 2, 1])
    assert last_dark(counts) == 3  # 75 - 20 below it; bin 4 is 62.5 - 10 below
    assert last_dark(counts[::-1]) == 6


@pytest.mark.parametrize("name", RULES)
def test_found_thresholds_follow_scale_and_shift(name: str) -> None:
    values = head().round(2)
    found = threshold_of(name, values)
    assert threshold_of(name, 4 * values - 1000) == pytest.approx(4 * found - 1000, abs=4)


@pytest.mark.parametrize("name", RULES)
def test_a_found_threshold_has_something_on_both_sides(name: str) -> None:
    for values in (
        np.array([3.0, 5.0, 5.0, 5.1]),
        np.array([0.0] * 99 + [1.0]),
        np.array([1e-3, 1, 1, 1, 1]),
    ):
        if name == "minimum" and len(values) != 4:
            continue  # no valley: refused
        found = threshold_of(name, values)
        assert (values < found).any(), values
        assert (values >= found).any(), values


@pytest.mark.parametrize("name", RULES)
def test_a_constant_image_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} can't part .* constant, 7 everywhere it looked"):
        labels_of(name, np.full((4, 4), 7))


def test_a_histogram_without_a_valley_is_refused_by_minimum() -> None:
    with pytest.raises(ValueError, match=r"has two peaks once it is smoothed, .* has 1; try otsu"):
        labels_of("minimum", [np.repeat(np.arange(6), [99, 80, 60, 40, 20, 5])], bins=6)


@pytest.mark.parametrize("name", sorted(BINNED - {"minimum"}))
@pytest.mark.parametrize("bins", [3, 16, 4096])
def test_any_number_of_bins_will_do(name: str, bins: int) -> None:
    values = np.repeat([0, 0.1, 0.9, 1], [900, 30, 20, 500])
    assert 0 < threshold_of(name, values, bins=bins) < 1


def test_sums_of_many_intensities_keep_their_last_digits() -> None:
    values = torch.full((2**21,), 0.1) + 1000 * (torch.arange(2**21) % 2)
    assert total_of(values) == pytest.approx(float(values.double().sum()), rel=3e-7)


# Thresholds that are given


def test_an_interval_has_its_ends() -> None:
    values = [[0, 1, 2, 3, 4]]
    np.testing.assert_array_equal(labels_of("threshold", values, low=1, high=3), [[0, 1, 1, 1, 0]])
    np.testing.assert_array_equal(labels_of("threshold", values, low=3), [[0, 0, 0, 1, 1]])
    np.testing.assert_array_equal(labels_of("threshold", values, high=0), [[1, 0, 0, 0, 0]])


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("threshold", {}, "threshold takes low, high or both, as in --set low=200"),
        ("threshold", {"low": 3, "high": 2}, "low up to high, got low=3, high=2"),
        ("hysteresis", {"low": 3}, "hysteresis takes low up to high, got low=3, high=None"),
        ("hysteresis", {"low": 3, "high": 2}, "hysteresis takes low up to high"),
        ("hysteresis", {"low": 0, "high": 2, "connectivity": 4}, "at most 3, got 4"),
        ("sauvola", {"window": 0}, "window is a number above 0, got 0"),
        ("niblack", {"weight": "much"}, "weight is made of"),
        ("local-gaussian", {"sigma": -1}, "sigma is a number above 0"),
        ("minimum", {"bins": 2}, "of at least 3"),
    ],
)
def test_what_makes_no_threshold_is_refused(
    name: str, parameters: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        method(name, **parameters)


def test_hysteresis_keeps_what_is_connected_to_what_is_bright() -> None:
    values = [[5, 9, 5, 0, 5, 5, 0, 9]]
    wanted = [[1, 1, 1, 0, 0, 0, 0, 1]]
    np.testing.assert_array_equal(labels_of("hysteresis", values, low=4, high=8), wanted)


def test_hysteresis_goes_over_corners_when_told() -> None:
    values = [[9, 0], [0, 5]]
    for connectivity, wanted in ((1, [[1, 0], [0, 0]]), (2, [[1, 0], [0, 1]])):
        found = labels_of("hysteresis", values, low=4, high=8, connectivity=connectivity)
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("shape", [(40, 50), (20, 22, 24)], ids=str)
def test_hysteresis_is_that_of_scikit_image(shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    wanted = filters.apply_hysteresis_threshold(values, 0.5, 2)
    np.testing.assert_array_equal(labels_of("hysteresis", values, low=0.5, high=2), wanted)


def test_hysteresis_does_not_go_through_what_is_outside_the_mask() -> None:
    image = image_of([[9, 5, 5, 5]])
    mask = Labels(np.array([[1, 1, 0, 1]], np.uint8), image.grid)
    found = method("hysteresis", low=4, high=8).segment(image, mask=mask).array
    np.testing.assert_array_equal(found, [[1, 1, 0, 0]])


# Local thresholds


def slow(values: np.ndarray, mask: np.ndarray, reach: tuple[int, ...], rule: Rule) -> np.ndarray:
    """Window by window, as the definition says."""
    found = np.zeros(values.shape, np.int32)
    for place in zip(*np.nonzero(mask), strict=True):
        box = tuple(slice(max(p - n, 0), p + n + 1) for p, n in zip(place, reach, strict=True))
        window = values[box][mask[box]].astype(np.float64)
        m, s = window.mean() - rule.low, window.std()
        threshold = rule.mean * m + rule.deviation * s + rule.product * m * s
        found[place] = values[place] - rule.low > threshold
    return found


@pytest.mark.parametrize(
    ("shape", "reach"),
    [((30,), (4,)), ((25, 33), (3, 0)), ((37, 9, 11), (2, 3, 1)), ((5, 6, 7), (9, 9, 9))],
    ids=str,
)
@pytest.mark.parametrize("share", [1.0, 0.4])
@pytest.mark.parametrize("find", [brighter_than, brighter_in_torch])
def test_local_thresholds_are_what_their_definition_says(
    shape: tuple[int, ...], reach: tuple[int, ...], share: float, find: Any
) -> None:
    rng = np.random.default_rng(0)
    values = (100 + 10 * rng.normal(size=shape)).astype(np.float32)
    mask = rng.random(shape) < share
    rule = Rule(20.0, 0.9, -0.1, 0.002)
    known = None if share == 1 else torch.from_numpy(mask)
    found = find(torch.from_numpy(values), known, reach, rule)
    np.testing.assert_array_equal(found, slow(values, mask, reach, rule))


@pytest.mark.parametrize("shape", [(60, 70), (34, 36, 38)], ids=str)
@pytest.mark.parametrize("name", ["sauvola", "niblack", "local-gaussian"])
def test_local_thresholds_are_those_of_scikit_image_but_near_the_border(
    name: str, shape: tuple[int, ...]
) -> None:
    rng = np.random.default_rng(0)
    values = rng.integers(0, 255, shape).astype(np.float32)
    values.flat[:2] = 0, 254
    wanted, parameters, reach = {
        "sauvola": (filters.threshold_sauvola(values, 9, 0.2, 127), {"window": 9}, 4),
        "niblack": (filters.threshold_niblack(values, 9, 0.3), {"window": 9, "weight": 0.3}, 4),
        "local-gaussian": (filters.threshold_local(values, 9), {"sigma": 8 / 6}, 5),
    }[name]
    inner = (slice(reach, -reach),) * len(shape)
    found = labels_of(name, values, **parameters)
    assert ((found == 1) != (values > wanted))[inner].mean() < 1e-4  # roundings of equals


def test_a_window_is_as_wide_in_mm_along_each_axis() -> None:
    rng = np.random.default_rng(0)
    grid = Grid.from_spacing((20, 21, 22), (1, 2, 3))
    image = Image(rng.normal(size=(1, *grid.shape)), grid)
    found = method("niblack", window=7).segment(image).array  # 7, 3 and 3 voxels
    everywhere = np.ones(grid.shape, bool)
    wanted = slow(image.array[0], everywhere, (3, 1, 1), Rule(0, 1, -0.2, 0))
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("name", ["sauvola", "niblack"])
def test_a_window_of_one_voxel_is_refused(name: str) -> None:
    image = Image.from_array(np.arange(64.0).reshape(4, 4, 4), (2, 2, 5))
    with pytest.raises(ValueError, match=rf"{name} takes a window of 3 voxels.* 3 mm .* 2 x 2 x 5"):
        method(name, window=3).segment(image)


def test_a_local_threshold_follows_uneven_light() -> None:
    light = np.linspace(100, 1000, 60)
    values = np.tile(light, (60, 1))
    spots = np.zeros((60, 60), bool)
    spots[5::10, 5::10] = True
    values[spots] *= 1.5
    for name, parameters in {
        "niblack": {"window": 9, "weight": -2},
        "local-gaussian": {"sigma": 3, "margin": 30},
    }.items():
        inner = (slice(4, -4),) * 2
        found = labels_of(name, values, **parameters)
        np.testing.assert_array_equal(found[inner] == 1, spots[inner], err_msg=name)


def test_what_is_flat_has_no_variance_whatever_its_intensity() -> None:
    values = torch.full((9, 9, 9), 1234.567)
    rule = Rule(0.0, 1.0, -1.0, 0.0)
    for find in (brighter_than, brighter_in_torch):
        assert not find(values, None, (2, 2, 2), rule).any()
    assert NO_VARIANCE < 2.0**-24  # finer than what float32 can tell apart


def test_a_box_at_the_border_holds_what_there_is() -> None:
    np.testing.assert_array_equal(box_sum(torch.ones(5), (1,)), [2, 3, 3, 3, 2])
