"""Metrics: by-hand figures, empty structures, what may not matter, and the oracles."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from drawn import oblique_affine
from numpy.typing import NDArray
from scipy import ndimage

from medseg.metrics import METRICS, Distances, Pair, describe_metric, find_metric, pairs
from medseg.volume import Grid, Labels

SPACING = (1.0, 2.0, 3.0)
DISTANCES = ["hd", "hd95", "hd95_max", "asd_to_reference", "asd_to_predicted", "assd", "masd"]
OVERLAPS = ["dice", "jaccard", "nsd", "nsd_surfel", "cldice", "volume_similarity"]
OF_REFERENCE = ["recall", "sensitivity", "false_negative_rate", "relative_volume_difference"]
OF_MEDPY = ["hd", "hd95", "assd"]


def box(shape: tuple[int, ...], start: tuple[int, ...], size: int) -> NDArray[np.bool_]:
    """Mask of a square or a cube."""
    mask = np.zeros(shape, bool)
    mask[tuple(slice(a, a + size) for a in start)] = True
    return mask


def cubes() -> Pair:
    """Two cubes of 2 x 2 x 2 voxels, one moved along the last axis by a voxel of 3 mm."""
    shape = (6, 6, 6)
    return Pair.from_masks(box(shape, (2, 2, 3), 2), box(shape, (2, 2, 2), 2), SPACING)


def squares() -> Pair:
    """Two squares of 4 x 4 pixels, one moved along the last axis by two pixels of 1 mm."""
    shape = (12, 12)
    return Pair.from_masks(box(shape, (4, 4), 4), box(shape, (4, 2), 4), (2.0, 1.0))


def blobs(seed: int, shape: tuple[int, ...], labels: int = 3) -> NDArray[np.integer]:
    """Random label map with smooth structures, some of them cut by the edge."""
    noise = np.random.default_rng(seed).normal(size=(labels + 1, *shape))
    smooth = np.stack([ndimage.gaussian_filter(values, 1.2) for values in noise])
    return np.asarray(np.argmax(smooth, axis=0))


def two_maps(
    seed: int, shape: tuple[int, ...], spacing: tuple[float, ...]
) -> tuple[Labels, Labels]:
    """A map and one that is like it, with a label that only one of them has."""
    reference = blobs(seed, shape)
    predicted = np.roll(reference, 1, axis=0)
    wrong = blobs(seed + 1, shape, labels=1) == 1
    predicted[wrong] = blobs(seed + 2, shape)[wrong]
    predicted.flat[7] = 9
    return Labels.from_array(predicted, spacing), Labels.from_array(reference, spacing)


def numbers(pair: Pair) -> dict[str, float]:
    return {name: metric.compute(pair) for name, metric in METRICS.items()}


def assert_same(found: Pair, expected: Pair, tolerance: float = 1e-12) -> None:
    assert found.status == expected.status
    assert numbers(found) == pytest.approx(numbers(expected), abs=tolerance, nan_ok=True)


# contract


@pytest.mark.parametrize("name", METRICS)
def test_an_entry_is_called_as_in_the_registry(name: str) -> None:
    assert METRICS[name].name == name
    assert METRICS.summary(name)


@pytest.mark.parametrize("name", METRICS)
def test_only_a_symmetric_metric_stays_when_the_two_change_places(name: str) -> None:
    large, small = box((8, 8, 8), (1, 1, 1), 4), box((8, 8, 8), (2, 3, 2), 2)
    value = METRICS[name].compute(Pair.from_masks(large, small, SPACING))
    swapped = METRICS[name].compute(Pair.from_masks(small, large, SPACING))
    assert (value == swapped) == METRICS[name].symmetric


@pytest.mark.parametrize("name", METRICS)
def test_a_perfect_prediction_has_the_best_value(name: str) -> None:
    mask = box((5, 5, 5), (1, 1, 1), 2)
    metric = METRICS[name]
    value = metric.compute(Pair.from_masks(mask, mask, SPACING))
    neither = {"ml": 0.048, "1": 0.0}  # 8 voxels of 6 mm3
    best = {True: 1.0, False: 0.0, None: neither.get(metric.unit)}
    assert value == pytest.approx(best[metric.higher_is_better])


# figures by hand


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("dice", 1 / 2),
        ("jaccard", 1 / 3),
        ("precision", 1 / 2),
        ("recall", 1 / 2),
        ("sensitivity", 1 / 2),
        ("specificity", 204 / 208),
        ("false_positive_rate", 4 / 208),
        ("false_negative_rate", 1 / 2),
        ("accuracy", 208 / 216),
        ("kappa", (208 * 216 - (8 * 8 + 208 * 208)) / (216 * 216 - (8 * 8 + 208 * 208))),
        ("volume_similarity", 1.0),
        ("relative_volume_difference", 0.0),
        ("volume_predicted", 0.048),
        ("volume_reference", 0.048),
        ("hd", 3.0),
        ("hd95", 3.0),
        ("hd95_max", 3.0),
        ("hd50", 1.5),
        ("hd0", 0.0),
        ("assd", 1.5),
        ("masd", 1.5),
        ("asd_to_reference", 1.5),
        ("asd_to_predicted", 1.5),
        ("nsd", 1 / 2),
        ("nsd_3mm", 1.0),
        ("nsd_surfel_3mm", 1.0),
    ],
)
def test_cubes_a_voxel_apart(name: str, expected: float) -> None:
    assert find_metric(name).compute(cubes()) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("dice", 1 / 2),
        ("jaccard", 1 / 3),
        ("volume_reference", math.nan),
        ("hd", 2.0),
        ("hd95", 2.0),
        ("assd", 1.0),  # of 12 border pixels, 4 each are 0, 1 and 2 mm away
        ("nsd", 2 / 3),
        ("nsd_0mm", 1 / 3),
    ],
)
def test_squares_two_pixels_apart(name: str, expected: float) -> None:
    assert find_metric(name).compute(squares()) == pytest.approx(expected, nan_ok=True)


def test_the_two_directions_differ_where_one_border_has_more() -> None:
    predicted, reference = np.zeros((9, 9), bool), np.zeros((9, 9), bool)
    reference[4, 4] = predicted[4, 4] = predicted[4, 7] = predicted[0, 4] = True
    pair = Pair.from_masks(predicted, reference)
    expected = {
        "asd_to_reference": 7 / 3,  # of 0, 3 and 4 mm
        "asd_to_predicted": 0.0,
        "assd": 7 / 4,
        "masd": 7 / 6,
        "hd50": 1.5,  # of 0, 0, 3 and 4 mm
        "hd50_max": 3.0,
        "relative_volume_difference": 2.0,
        "volume_similarity": 1 / 2,
    }
    assert {name: find_metric(name).compute(pair) for name in expected} == pytest.approx(expected)


def test_kappa_of_a_table_of_a_textbook() -> None:
    predicted = np.repeat([1, 1, 0, 0], (20, 5, 10, 15))
    reference = np.repeat([1, 0, 1, 0], (20, 5, 10, 15))
    assert find_metric("kappa").compute(Pair.from_masks(predicted, reference)) == pytest.approx(0.4)


def test_a_centre_line_is_what_tubes_are_compared_by() -> None:
    tube, half = np.zeros((30, 7), bool), np.zeros((30, 7), bool)
    tube[2:28, 2:5] = True
    half[2:15, 2:5] = True
    whole, cut = (find_metric(n).compute(Pair.from_masks(half, tube)) for n in ("dice", "cldice"))
    assert find_metric("cldice").compute(Pair.from_masks(tube, tube)) == 1
    assert whole == pytest.approx(2 / 3)
    share = 13 / 24  # of the centre line, which ends a voxel before the tube does
    assert cut == pytest.approx(2 * share / (1 + share))
    thin = np.zeros_like(tube)
    thin[2:28, 3] = True
    assert find_metric("cldice").compute(Pair.from_masks(thin, tube)) == 1


def test_a_structure_that_thinning_takes_away_is_its_own_centre_line() -> None:
    block = box((5, 5, 5), (1, 1, 1), 2)
    assert find_metric("cldice").compute(Pair.from_masks(block, block)) == 1


def test_precision_is_of_the_prediction_and_recall_of_the_reference() -> None:
    pair = Pair.from_masks([1, 1, 1, 1, 0], [0, 1, 1, 0, 0])
    assert (METRICS["precision"].compute(pair), METRICS["recall"].compute(pair)) == (0.5, 1.0)


def test_the_four_counts_say_where_the_voxels_are() -> None:
    pair = Pair.from_masks([1, 1, 1, 0, 0, 0], [0, 1, 1, 1, 1, 0])
    assert (pair.tp, pair.fp, pair.fn, pair.tn) == (2, 1, 2, 1)


def test_single_voxels_are_as_far_apart_as_their_centres() -> None:
    pair = Pair.from_masks(box((4, 4, 4), (0, 0, 0), 1), box((4, 4, 4), (1, 1, 1), 1), SPACING)
    assert METRICS["hd"].compute(pair) == pytest.approx(math.sqrt(1 + 4 + 9))


def test_a_structure_that_fills_the_image_has_its_border_at_the_edge() -> None:
    full = np.ones((5, 5, 5), bool)
    pair = Pair.from_masks(full, np.pad(full[1:], ((1, 0), (0, 0), (0, 0))), SPACING)
    assert METRICS["hd"].compute(pair) == pytest.approx(1.0)
    assert math.isnan(METRICS["specificity"].compute(Pair.from_masks(full, full)))


def test_whole_steps_of_a_spacing_are_within_their_length() -> None:
    pair = Pair.from_masks([1, 0, 0, 0], [0, 0, 0, 1], 0.1)
    assert find_metric("nsd", tolerance_mm=0.3).compute(pair) == 1.0  # 3 * 0.1 > 0.3


# distances


@pytest.mark.parametrize("percent", [0, 5, 50, 95, 99.9, 100])
@pytest.mark.parametrize("count", [1, 2, 7, 100])
def test_a_histogram_of_distances_says_what_the_list_says(percent: float, count: int) -> None:
    values = np.random.default_rng(count).integers(0, 5, count) * 0.7
    found = Distances.from_values(values)
    assert len(found) == count
    assert found.percentile(percent) == pytest.approx(np.percentile(values, percent))
    assert (found.max(), found.mean()) == pytest.approx((values.max(), values.mean()))
    assert found.share_within(1.4) == pytest.approx((values < 1.5).mean())


def test_joining_histograms_joins_the_lists() -> None:
    first, second = [0.0, 1.0, 1.0], [1.0, 2.0]
    joined = Distances.from_values(first) + Distances.from_values(second)
    np.testing.assert_array_equal(joined.mm, [0, 1, 2])
    np.testing.assert_array_equal(joined.counts, [1, 3, 1])


# empty structures


def half_empty(status: str) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Masks, predicted and annotated, of which one or both are empty."""
    mask, empty = box((4, 4, 4), (1, 1, 1), 2), np.zeros((4, 4, 4), bool)
    first = empty if status in ("missed", "both_empty") else mask
    second = empty if status in ("spurious", "both_empty") else mask
    return first, second


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (
            "missed",
            dict.fromkeys(DISTANCES, math.inf)
            | dict.fromkeys(OVERLAPS, 0)
            | {"precision": math.nan, "recall": 0, "sensitivity": 0, "false_negative_rate": 1}
            | {"relative_volume_difference": -1, "kappa": 0},
        ),
        (
            "spurious",
            dict.fromkeys(DISTANCES, math.inf)
            | dict.fromkeys(OVERLAPS, 0)
            | dict.fromkeys(OF_REFERENCE, math.nan)
            | {"precision": 0, "kappa": 0},
        ),
        (
            "both_empty",
            dict.fromkeys([*DISTANCES, *OVERLAPS, *OF_REFERENCE, "precision", "kappa"], math.nan),
        ),
    ],
)
def test_empty_structures_are_scored_as_declared(status: str, expected: dict[str, float]) -> None:
    pair = Pair.from_masks(*half_empty(status), SPACING)
    assert pair.status == status
    found = numbers(pair)
    assert {name: found[name] for name in expected} == pytest.approx(expected, nan_ok=True)
    assert all(map(math.isfinite, (found[name] for name in found.keys() - expected.keys())))


@pytest.mark.parametrize("status", ["missed", "spurious", "both_empty"])
def test_pairs_of_empty_structures_are_those_of_masks(status: str) -> None:
    masks = half_empty(status)
    predicted, reference = (Labels.from_array(mask, SPACING) for mask in masks)
    found = pairs(predicted, reference, labels=[1])
    assert_same(found[1], Pair.from_masks(*masks, SPACING))


# pairs of all labels at once, held against pairs of masks


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("shape", "spacing"),
    [
        ((13, 11, 9), SPACING),
        ((13, 11, 9), (0.7, 0.7, 5.0)),
        ((20, 17), (2.0, 0.5)),
        ((1, 20, 17), (4.0, 2.0, 0.5)),
        ((20, 1, 1), SPACING),
    ],
)
def test_all_labels_at_once_are_as_each_on_its_own(
    seed: int, shape: tuple[int, ...], spacing: tuple[float, ...]
) -> None:
    predicted, reference = two_maps(seed, shape, spacing)
    found = pairs(predicted, reference, regions={"whole": (1, 2, 3), "outer": [3]})
    for label in (1, 2, 3, 9):
        masks = predicted.mask(label), reference.mask(label)
        assert_same(found[label], Pair.from_masks(*masks, spacing))
    for name, members in {"whole": (1, 2, 3), "outer": (3,)}.items():
        masks = np.isin(predicted.array, members), np.isin(reference.array, members)
        assert_same(found[name], Pair.from_masks(*masks, spacing))


def test_labels_are_those_of_either_map_and_those_with_a_name() -> None:
    grid = Grid.from_spacing((2, 2))
    predicted = Labels(np.array([[1, 0], [0, 4]]), grid)
    reference = Labels(np.array([[1, 2], [0, 0]]), grid, {0: "background", 7: "liver"})
    found = pairs(predicted, reference)
    assert {label: pair.status for label, pair in found.items()} == {
        1: "ok",
        2: "missed",
        4: "spurious",
        7: "both_empty",
    }


def test_labels_that_are_chosen_are_the_only_ones() -> None:
    predicted, reference = two_maps(0, (9, 8, 7), SPACING)
    found = pairs(predicted, reference, labels=(2, 500))
    assert list(found) == [2, 500]
    masks = predicted.mask(2), reference.mask(2)
    assert_same(found[2], Pair.from_masks(*masks, SPACING))
    assert found[500].status == "both_empty"


@pytest.mark.parametrize("high", [200, 65_535, 65_536, 2**40])
def test_large_labels_are_scored_as_small_ones(high: int) -> None:
    predicted, reference = two_maps(0, (9, 8, 7), SPACING)
    large = (
        Labels(np.where(predicted.array == 2, high, predicted.array), predicted.grid),
        Labels(np.where(reference.array == 2, high, reference.array), reference.grid),
    )
    masks = predicted.mask(2), reference.mask(2)
    assert_same(pairs(*large)[high], Pair.from_masks(*masks, SPACING))
    region = pairs(*large, labels=[], regions={"r": [high]})
    assert list(region) == ["r"]
    assert_same(region["r"], Pair.from_masks(*masks, SPACING))


def test_many_labels_need_no_table_of_all_against_all() -> None:
    values = np.arange(1, 2**16).reshape(5, 51, 257)
    labels = Labels.from_array(values)
    found = pairs(Labels.from_array(np.roll(values, 1)), labels)
    assert len(found) == 65_535
    assert METRICS["dice"].compute(found[65_535]) == 0
    assert METRICS["hd"].compute(found[3]) == 1


# what may not matter


def turned(change: Callable[[NDArray], NDArray]) -> dict[int | str, Pair]:
    predicted, reference = two_maps(0, (9, 8, 7), (2.0, 2.0, 2.0))
    return pairs(
        Labels.from_array(change(predicted.array), 2.0),
        Labels.from_array(change(reference.array), 2.0),
    )


@pytest.mark.parametrize(
    "change",
    [
        np.asfortranarray,
        np.flip,
        np.transpose,
        lambda array: np.flip(np.asfortranarray(array), axis=1),
        lambda array: array.astype(np.uint16),
    ],
    ids=["Fortran order", "flipped", "transposed", "flipped in Fortran order", "another dtype"],
)
def test_storage_changes_nothing(change: Callable[[NDArray], NDArray]) -> None:
    expected = turned(lambda array: array)
    for label, pair in turned(change).items():
        found, known = numbers(pair), numbers(expected[label])
        # Thinning takes off one side after the other, so a centre line minds the order of axes.
        assert found.keys() == known.keys()
        assert {n: found[n] for n in found if n != "cldice"} == pytest.approx(
            {n: known[n] for n in known if n != "cldice"}, abs=1e-12, nan_ok=True
        )


@pytest.mark.parametrize("turned_one", ["predicted", "reference", "both"])
def test_each_of_the_two_may_be_stored_in_fortran_order(turned_one: str) -> None:
    predicted, reference = two_maps(0, (9, 8, 7), SPACING)
    expected = pairs(predicted, reference)
    if turned_one in ("predicted", "both"):
        predicted = Labels(np.asfortranarray(predicted.array), predicted.grid)
    if turned_one in ("reference", "both"):
        reference = Labels(np.asfortranarray(reference.array), reference.grid)
    for label, pair in pairs(predicted, reference).items():
        assert_same(pair, expected[label])


def test_background_around_the_structures_changes_no_distance() -> None:
    expected = turned(lambda array: array)
    for label, pair in turned(lambda array: np.pad(array, ((1, 2), (3, 0), (0, 4)))).items():
        for name in ("dice", "cldice", *DISTANCES, "nsd", "nsd_surfel"):
            value = METRICS[name].compute(expected[label])
            assert METRICS[name].compute(pair) == pytest.approx(value, nan_ok=True)


def test_a_slice_of_a_volume_is_scored_as_a_picture_but_has_a_volume() -> None:
    flat, slab = two_maps(0, (12, 11), (2.0, 0.5)), two_maps(0, (12, 11, 1), (2.0, 0.5, 10.0))
    picture, volume = pairs(*flat)[1], pairs(*slab)[1]
    for name in ("dice", "accuracy", "cldice", *DISTANCES, "nsd", "nsd_surfel"):
        assert METRICS[name].compute(picture) == METRICS[name].compute(volume)
    assert METRICS["volume_reference"].compute(volume) == volume.sizes[1] / 100


def test_distances_grow_with_the_voxels() -> None:
    small, large = (pairs(*two_maps(0, (9, 8, 7), (s, 2 * s, 3 * s)))[1] for s in (1.0, 4.0))
    for name in DISTANCES:
        assert METRICS[name].compute(large) == pytest.approx(4 * METRICS[name].compute(small))


def test_a_grid_that_is_turned_and_flipped_counts_by_its_spacing() -> None:
    predicted, reference = two_maps(0, (9, 8, 7), SPACING)
    grid = Grid((9, 8, 7), oblique_affine() @ np.diag([-1, 1, -1, 1]))
    found = pairs(Labels(predicted.array, grid), Labels(reference.array, grid))
    for label, pair in pairs(predicted, reference).items():
        assert_same(found[label], pair)


def test_distances_are_measured_once_and_only_if_asked_for() -> None:
    calls = []

    def measure() -> tuple[Distances, Distances]:
        calls.append(1)
        return Distances.from_values([1.0]), Distances.from_values([2.0])

    pair = replace(cubes(), measure=measure)
    METRICS["dice"].compute(pair)
    assert not calls
    assert [METRICS[name].compute(pair) for name in ("hd", "assd")] == [2.0, 1.5]
    assert len(calls) == 1


# oracles


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.9375, 0.9375, 3.0)])
def test_medpy_has_the_same_numbers(seed: int, spacing: tuple[float, ...]) -> None:
    binary = pytest.importorskip("medpy.metric.binary", reason="MedPy is not installed")
    predicted, reference = two_maps(seed, (15, 14, 12), spacing)
    for label, pair in pairs(predicted, reference, labels=(1, 2, 3)).items():
        masks = predicted.mask(int(label)), reference.mask(int(label))
        expected = {
            "dice": binary.dc(*masks),
            "jaccard": binary.jc(*masks),
            "precision": binary.precision(*masks),
            "recall": binary.recall(*masks),
            "specificity": binary.specificity(*masks),
            **{name: getattr(binary, name)(*masks, voxelspacing=spacing) for name in OF_MEDPY},
        }
        found = numbers(pair)
        assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-9)


@pytest.mark.filterwarnings("ignore::FutureWarning")  # MONAI's, of its own arguments
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.9375, 0.9375, 3.0)])
def test_monai_has_the_same_numbers(spacing: tuple[float, ...]) -> None:
    torch = pytest.importorskip("torch")
    theirs = pytest.importorskip("monai.metrics")
    predicted, reference = two_maps(5, (15, 14, 12), spacing)
    how = {"include_background": True, "spacing": spacing}
    for label, pair in pairs(predicted, reference, labels=(1, 2, 3)).items():
        masks = [
            torch.from_numpy(labels.mask(int(label)))[None, None]
            for labels in (predicted, reference)
        ]
        expected = {
            "dice": theirs.compute_dice(*masks),
            "jaccard": theirs.compute_iou(*masks),
            "hd": theirs.compute_hausdorff_distance(*masks, **how),
            "hd95_max": theirs.compute_hausdorff_distance(*masks, percentile=95, **how),
            "hd50_max": theirs.compute_hausdorff_distance(*masks, percentile=50, **how),
            "asd_to_reference": theirs.compute_average_surface_distance(*masks, **how),
            "assd": theirs.compute_average_surface_distance(*masks, symmetric=True, **how),
            "nsd_1.5mm": theirs.compute_surface_dice(*masks, class_thresholds=[1.5], **how),
        }
        found = {name: find_metric(name).compute(pair) for name in expected}
        # MONAI computes in float32.
        assert found == pytest.approx({n: float(v) for n, v in expected.items()}, abs=2e-5)


# names and errors


def test_a_name_may_say_the_tolerance() -> None:
    assert find_metric("nsd").name == find_metric("nsd_1mm").name == "nsd"
    assert find_metric("nsd_2mm", tolerance_mm=5).name == "nsd_2mm"
    assert find_metric("nsd", tolerance_mm=0.25).name == "nsd_0.25mm"
    assert find_metric(find_metric("nsd", 1e-5).name).name == "nsd_1e-05mm"
    assert find_metric("hd", tolerance_mm=3) is METRICS["hd"]
    assert describe_metric("nsd_2mm") == METRICS.summary("nsd")
    assert find_metric("nsd_surfel_2mm").name == "nsd_surfel_2mm"


@pytest.mark.parametrize("name", ["hd95", "hd99", "hd50", "hd99.5", "hd95_max", "hd99_max"])
def test_a_name_may_say_the_percentile(name: str) -> None:
    assert find_metric(name).name == name
    assert describe_metric(name).startswith("95th" if "95" in name else name[2:4])
    assert ("worse" in describe_metric(name)) == name.endswith("max")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("dise", "did you mean 'dice'"),
        ("hd_2mm", "hd has no tolerance"),
        ("nsb_2mm", "'nsd'"),
        ("hd101", "a percentile is between 0 and 100, got 101"),
    ],
)
def test_an_unknown_name_is_refused(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        find_metric(name)


@pytest.mark.parametrize("tolerance", [-1, math.nan, math.inf])
def test_a_tolerance_is_a_distance(tolerance: float) -> None:
    with pytest.raises(ValueError, match="a tolerance is a distance in mm"):
        find_metric("nsd", tolerance)


def test_other_grids_are_refused() -> None:
    predicted, reference = Labels.from_array(np.zeros((3, 3))), Labels.from_array(np.ones((3, 4)))
    with pytest.raises(ValueError, match="the prediction lies on another grid"):
        pairs(predicted, reference)


@pytest.mark.parametrize("labels", [{"labels": [0]}, {"regions": {"all": [0, 1]}}])
def test_background_is_no_structure(labels: dict[str, object]) -> None:
    image = Labels.from_array(np.ones((3, 3)))
    with pytest.raises(ValueError, match="0 can't be scored"):
        pairs(image, image, **labels)  # type: ignore[arg-type]


def test_negative_labels_are_refused() -> None:
    image = Labels.from_array(np.array([[1, -1]]))
    with pytest.raises(ValueError, match="only labels above 0 are structures, got -1"):
        pairs(image, image)


@pytest.mark.parametrize(
    ("reference", "spacing", "message"),
    [(np.ones((2, 3)), 1, "reference"), (np.ones((2, 2)), (1, 1, 1), "spacing needs 2 values")],
)
def test_masks_that_do_not_fit_are_refused(
    reference: NDArray, spacing: object, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Pair.from_masks(np.ones((2, 2)), reference, spacing)  # type: ignore[arg-type]
