"""The contract that every clean-up keeps, then what each of them does, by hand."""

from itertools import permutations, product
from typing import Any

import numpy as np
import pytest
import torch

from medseg import Grid, Labels, orientation, reorient
from medseg.cleanup import CLEANUPS, cleanup_called
from medseg.cleanup.boxes import boxes_of
from medseg.cleanup.cleaning import Cleanup, cleaned

EVERY_WAY_TO_STORE = [
    "".join(letters) for order in permutations(("RL", "AP", "SI")) for letters in product(*order)
]
IDLE = {"relabel"}  # by default, and told what to do it makes new labels
SHAPES = [((24, 20), (1, 2)), ((14, 12, 10), (1, 2, 3)), ((12, 1, 16), (1, 5, 1))]


def blobs(
    shape: tuple[int, ...], spacing: tuple[float, ...] | float = 1.0, seed: int = 0
) -> Labels:
    """Labels 2, 5 and 300 in lumps, with specks, gaps and holes."""
    from scipy import ndimage

    rng = np.random.default_rng(seed)
    relief = ndimage.gaussian_filter(rng.normal(size=shape), 1.5)
    edges = np.quantile(relief, [0.5, 0.7, 0.85])
    values = np.array([0, 2, 5, 300], np.int16)[np.digitize(relief, edges)]
    values[rng.random(shape) < 0.1] = 0
    return Labels(values, Grid.from_spacing(shape, spacing), {2: "two", 300: "many"})


@pytest.fixture(params=CLEANUPS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize(("shape", "spacing"), SHAPES, ids=str)
def test_geometry_names_and_dtype_stay_and_no_label_is_new(
    name: str, shape: tuple[int, ...], spacing: tuple[float, ...]
) -> None:
    labels = blobs(shape, spacing)
    before = labels.array.copy()
    cleanup = CLEANUPS[name]()
    assert isinstance(cleanup, Cleanup)
    found = cleanup(labels)
    assert found.grid is labels.grid
    assert found.names == labels.names
    assert found.array.dtype == labels.array.dtype
    assert {0, *found.values()} <= {0, *labels.values()}
    np.testing.assert_array_equal(labels.array, before)
    if name not in IDLE:
        assert (found.array != before).any(), "these labels are made so that it has to do"


def test_same_labels_give_the_same(name: str) -> None:
    labels, cleanup = blobs((14, 12, 10), (1, 2, 3)), CLEANUPS[name]()
    np.testing.assert_array_equal(cleanup(labels).array, cleanup(labels).array)


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.int16, np.uint16, np.uint32, np.int64])
def test_background_passes_through(name: str, dtype: type) -> None:
    empty = Labels(np.zeros((5, 6, 7), dtype), Grid.from_spacing((5, 6, 7)), {1: "nothing"})
    found = CLEANUPS[name]()(empty)
    assert not found.array.any()
    assert (found.array.dtype, found.names) == (empty.array.dtype, empty.names)


@pytest.mark.parametrize("shape", [(1, 1), (1, 1, 1), (4, 1, 1)], ids=str)
def test_a_volume_full_of_one_label_stays_as_it_is(name: str, shape: tuple[int, ...]) -> None:
    full = Labels(np.full(shape, 3, np.uint8), Grid.from_spacing(shape, 20.0))
    np.testing.assert_array_equal(CLEANUPS[name]()(full).array, full.array)


def test_large_label_values_survive(name: str) -> None:
    array = np.zeros((9, 9), np.int64)
    array[1:8, 1:8] = 2**40
    labels = Labels(array, Grid.from_spacing((9, 9)))
    found = CLEANUPS[name]()(labels)
    assert found.values() == (2**40,)
    assert found.array[4, 4] == 2**40


def test_the_way_of_storing_changes_nothing_in_the_world(name: str) -> None:
    labels, cleanup = blobs((9, 8, 7), (1, 2, 3)), CLEANUPS[name]()
    wanted = cleanup(labels)
    for way in EVERY_WAY_TO_STORE:
        found = cleanup(reorient(labels, way))
        assert orientation(found.grid) == way
        np.testing.assert_array_equal(reorient(found).array, wanted.array, err_msg=way)


def test_a_slice_gives_the_same_in_2d_and_3d(name: str) -> None:
    flat = blobs((20, 24))
    thick = Labels(flat.array[..., None], Grid.from_spacing((20, 24, 1)))
    cleanup = CLEANUPS[name]()
    np.testing.assert_array_equal(cleanup(thick).array[..., 0], cleanup(flat).array)


@pytest.mark.cuda
@pytest.mark.parametrize(("shape", "spacing"), SHAPES, ids=str)
def test_cuda_gives_what_the_cpu_gives(
    name: str, shape: tuple[int, ...], spacing: tuple[float, ...]
) -> None:
    labels = blobs(shape, spacing)
    on_cpu, on_cuda = (CLEANUPS[name](device=device)(labels).array for device in ("cpu", "cuda"))
    np.testing.assert_array_equal(on_cuda, on_cpu)


def clean(name: str, values: object, spacing: object = 1.0, **parameters: object) -> list:
    array = np.asarray(values, np.int32)
    labels = Labels(array, Grid.from_spacing(array.shape, spacing))
    return cleanup_called(name, **parameters)(labels).array.tolist()


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("keep-larges", {}, "no clean-up is called 'keep-larges'; did you mean 'keep-largest'"),
        ("open", {"radus": 2}, "open has no parameter radus; did you mean 'radius'"),
        ("open", {"radius": 0}, "open takes a length above 0 mm, got radius=0"),
        ("close", {"radius": -1}, "close takes a length above 0 mm, got radius=-1"),
        ("smooth", {"sigma": 0.0}, "smooth takes a length above 0 mm, got sigma=0"),
        ("drop-small", {"below": -3}, "a volume of 0 mm³ or more, got below=-3"),
        ("fill-holes", {"connectivity": 6}, "connectivity of 1, 2 or 3, got 6"),
        ("keep-largest", {"connectivity": 0}, "connectivity of 1, 2 or 3, got 0"),
        ("drop-small", {"connectivity": 4}, "connectivity of 1, 2 or 3, got 4"),
        ("keep-largest", {"of": "both"}, "of each or of all labels, got 'both'"),
    ],
)
def test_a_cleanup_says_what_is_wrong_and_what_would_be_right(
    name: str, parameters: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        cleanup_called(name, **parameters)


# Components


def test_keep_largest_keeps_one_component_of_each_label() -> None:
    found = clean("keep-largest", [[1, 0, 2, 2, 0, 1, 1, 0, 2]])
    assert found == [[0, 0, 2, 2, 0, 1, 1, 0, 0]]


def test_keep_largest_of_all_takes_touching_labels_as_one() -> None:
    found = clean("keep-largest", [[1, 2, 1, 0, 2, 2, 0, 1]], of="all")
    assert found == [[1, 2, 1, 0, 0, 0, 0, 0]]


def test_of_equally_large_components_the_first_in_the_world_is_kept() -> None:
    assert clean("keep-largest", [[0, 1, 1, 0, 1, 1]]) == [[0, 1, 1, 0, 0, 0]]


@pytest.mark.parametrize(("connectivity", "kept"), [(1, [[0, 0], [0, 0]]), (2, [[1, 0], [0, 1]])])
def test_connectivity_says_whether_corners_join(connectivity: int, kept: list) -> None:
    assert clean("drop-small", [[1, 0], [0, 1]], below=2, connectivity=connectivity) == kept


def test_drop_small_counts_cubic_millimetres() -> None:
    values = np.zeros((3, 3, 9), int)
    values[1, 1, :2] = 1  # 2 voxels of 0.1 x 2 x 3 mm
    values[1, 1, 3:6] = 1
    values[1, 1, 7:] = 2
    found = np.array(clean("drop-small", values, (0.1, 2, 3), below=1.8))
    assert found[1, 1].tolist() == [0, 0, 0, 1, 1, 1, 0, 0, 0]
    assert clean("drop-small", values, (0.1, 2, 3), below=1.2) == values.tolist()


def test_a_hole_is_filled_and_a_bay_is_not() -> None:
    values = [[1, 1, 1, 1, 1], [1, 0, 1, 0, 0], [1, 1, 1, 1, 1]]
    assert clean("fill-holes", values)[1] == [1, 1, 1, 0, 0]


@pytest.mark.parametrize(("outer", "inner"), [(1, 3), (3, 1)])
def test_holes_hold_other_labels_and_go_to_the_innermost(outer: int, inner: int) -> None:
    values = np.full((9, 9), outer)
    values[1:8, 1:8] = 0
    values[2:7, 2:7] = inner
    values[3:6, 3:6] = 0
    values[4, 4] = 2
    wanted = np.full((9, 9), outer)
    wanted[2:7, 2:7] = inner
    wanted[4, 4] = 2
    assert clean("fill-holes", values) == wanted.tolist()


def test_what_two_labels_enclose_only_together_is_no_hole() -> None:
    values = [[1, 1, 2, 2], [1, 0, 0, 2], [1, 1, 2, 2]]
    assert clean("fill-holes", values) == values


def test_a_tunnel_is_open_in_3d_where_each_slice_is_closed() -> None:
    values = np.ones((3, 3, 4), int)
    values[1, 1] = 0
    assert clean("fill-holes", values) == values.tolist()
    values[1, 1, [0, -1]] = 1
    assert clean("fill-holes", values) == np.ones((3, 3, 4), int).tolist()


@pytest.mark.parametrize(
    ("name", "settings"),
    [("keep-largest", {}), ("drop-small", {"below": 9.0}), ("fill-holes", {})],
)
def test_labels_that_are_not_named_stay(name: str, settings: dict[str, Any]) -> None:
    labels = blobs((24, 20))
    whole = CLEANUPS[name](**settings)(labels).array
    each = [CLEANUPS[name](only=(k,), **settings)(labels) for k in (2, 5, 300)]
    for label, found in zip((2, 5, 300), each, strict=True):
        others = (labels.array != label) & (labels.array != 0)
        np.testing.assert_array_equal(found.array[others], labels.array[others])
        np.testing.assert_array_equal(whole == label, found.array == label)
    assert any((found.array != labels.array).any() for found in each)
    several = CLEANUPS[name](only=[2, 5, 300], **settings)(labels)
    np.testing.assert_array_equal(several.array, whole)


def test_some_labels_are_joined_without_the_others() -> None:
    # 1 and 2 touch, 3 parts them from another 1.
    values = [[1, 2, 3, 1, 0, 2]]
    assert clean("keep-largest", values, of="all", only=(1, 2)) == [[1, 2, 3, 0, 0, 0]]


def test_a_single_label_may_be_named_as_a_number() -> None:
    assert cleanup_called("keep-largest", only=2) == cleanup_called("keep-largest", only=(2,))
    for wrong in (0, (1, 0), "liver"):
        with pytest.raises(ValueError, match="only"):
            cleanup_called("keep-largest", only=wrong)


@pytest.mark.parametrize(("connectivity", "filled"), [(1, 1), (2, 0)])
def test_a_hole_may_leak_over_corners(connectivity: int, filled: int) -> None:
    values = [[0, 1, 1, 1], [1, 0, 1, 1], [1, 1, 1, 1]]
    assert clean("fill-holes", values, connectivity=connectivity)[1][1] == filled


@pytest.mark.parametrize("seed", range(4))
def test_holes_of_one_label_are_those_of_scipy(seed: int) -> None:
    from scipy import ndimage

    values = np.random.default_rng(seed).random((9, 10, 11)) < 0.72
    assert (np.array(clean("fill-holes", values)) == ndimage.binary_fill_holes(values)).all()


# Distances


def ball(spacing: tuple[float, ...], radius: float) -> np.ndarray:
    reach = [int(radius / step + 1e-6) for step in spacing]
    places = np.meshgrid(*(np.arange(-n, n + 1) for n in reach), indexing="ij")
    away = sum((place * step) ** 2 for place, step in zip(places, spacing, strict=True))
    return np.asarray(away <= radius**2 + 1e-6)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("radius", [1.0, 2.0, 3.3])
@pytest.mark.parametrize("spacing", [(1, 1), (1, 2), (1, 2, 3)], ids=str)
def test_open_and_close_are_those_of_scipy_with_a_ball_in_mm(
    spacing: tuple[float, ...], radius: float, seed: int
) -> None:
    from scipy import ndimage

    relief = np.random.default_rng(seed).normal(size=(22, 20, 14)[: len(spacing)])
    values = ndimage.gaussian_filter(relief, 1.2) > 0
    structure = ball(spacing, radius)

    def dilated(mask: np.ndarray) -> np.ndarray:
        return np.asarray(ndimage.binary_dilation(mask, structure))

    def eroded(mask: np.ndarray) -> np.ndarray:
        return np.asarray(ndimage.binary_erosion(mask, structure, border_value=1))

    opened, closed = (
        np.array(clean(way, values, spacing, radius=radius)) for way in ("open", "close")
    )
    np.testing.assert_array_equal(opened, dilated(eroded(values)))
    np.testing.assert_array_equal(closed, eroded(dilated(values)))


@pytest.mark.parametrize("name", ["open", "close", "fill-holes", "keep-largest", "drop-small"])
def test_a_second_time_changes_nothing(name: str) -> None:
    labels, cleanup = blobs((16, 14, 12), (1, 2, 3), seed=1), CLEANUPS[name]()
    once = cleanup(labels)
    np.testing.assert_array_equal(cleanup(once).array, once.array)


def test_open_cuts_a_bridge_and_leaves_the_lumps() -> None:
    values = np.zeros((7, 17), int)
    values[1:6, 1:6] = values[1:6, 11:16] = values[3, 6:11] = 4
    found = np.array(clean("open", values, radius=1))
    assert not found[:, 7:10].any()
    assert found[3, 5:7].tolist() == [4, 4], "the ball's tip reaches into the bridge"
    assert found[3, 1:6].tolist() == [4] * 5


def test_open_leaves_alone_what_goes_on_beyond_the_border() -> None:
    values = np.zeros((8, 8), int)
    values[:, :3] = 1
    assert clean("open", values, radius=2) == values.tolist()


def test_close_does_not_take_from_another_label() -> None:
    assert clean("close", [[1, 1, 0, 3, 0, 1, 1]], radius=2) == [[1, 1, 1, 3, 1, 1, 1]]


def test_close_leaves_a_block_in_the_open_as_it_is() -> None:
    values = np.zeros((25, 25), int)
    values[8:17, 8:17] = 1
    assert clean("close", values, radius=2) == values.tolist()


def test_what_two_labels_would_close_goes_to_the_nearer() -> None:
    # Two combs, tooth into tooth: each would fill the gaps between its own teeth.
    values = np.zeros((9, 7), int)
    values[:, 0] = values[0::4, 1:5] = 1
    values[:, 6] = values[2::4, 2:5] = 2
    found = np.array(clean("close", values, radius=2))
    kept = values != 0
    assert (found[kept] == values[kept]).all()
    assert found[1, 1] == 1
    assert found[2, 5] == 2
    assert found[1, 3] == 1, "as near to both, and 1 is the lower"


def test_a_gap_of_slices_counts_in_mm() -> None:
    values = np.zeros((9, 9, 4), int)
    values[:, :, 0] = values[:, :, 2:] = 1
    assert not np.array(clean("close", values, (1, 1, 3), radius=2))[4, 4, 1]
    assert np.array(clean("close", values, (1, 1, 3), radius=3))[4, 4, 1] == 1


def test_smooth_takes_off_specks_and_fills_pits() -> None:
    values = np.zeros((13, 13), int)
    values[:, 6:] = 7
    values[6, 9], values[6, 2] = 0, 7
    wanted = np.zeros((13, 13), int)
    wanted[:, 6:] = 7
    assert clean("smooth", values, sigma=1) == wanted.tolist()


def test_smooth_opens_no_gap_between_labels() -> None:
    rng = np.random.default_rng(0)
    values = np.ones((30, 30), int)
    values[np.arange(30)[:, None] + rng.integers(-2, 3, (30, 1)) > np.arange(30)] = 2
    found = np.array(clean("smooth", values, sigma=2))
    assert set(np.unique(found)) == {1, 2}
    assert (found != values).any()


def test_smooth_leaves_a_straight_border_where_it_is() -> None:
    values = np.zeros((12, 10, 8), int)
    values[5:], values[:5, 4:] = 1, 2
    found = np.array(clean("smooth", values, (1, 2, 3), sigma=2))
    assert (found[8:] == 1).all()
    assert (found[:2, :3] == 0).all()
    assert (found[:2, 5:] == 2).all()


def test_of_equally_strong_labels_a_voxel_keeps_its_own() -> None:
    values = np.tile([1, 2], 40)[None]  # blurred so much, both are a half everywhere
    found = np.array(clean("smooth", values, sigma=4))
    np.testing.assert_array_equal(found[:, 30:50], values[:, 30:50])


def test_smooth_is_as_wide_in_mm_along_all_axes() -> None:
    fine, coarse = np.zeros((21, 21), int), np.zeros((21, 7), int)
    fine[10, 5:] = 1
    coarse[10, 2:] = 1
    assert clean("smooth", fine, (1, 1), sigma=1.5) == np.zeros((21, 21), int).tolist()
    wide = np.zeros((21, 21), int)
    wide[7:14] = 1
    assert np.array(clean("smooth", wide, (3, 1), sigma=1)).sum() == wide.sum()


# Several


def test_cleanups_run_one_after_the_other_and_stay_in_the_mask() -> None:
    grid = Grid.from_spacing((3, 7))
    labels = Labels(
        np.array([[1, 1, 1, 1, 1, 0, 1], [1, 0, 1, 0, 1, 0, 0], [1] * 5 + [0, 0]]), grid
    )
    mask = Labels(np.array([[1] * 7, [1, 1, 1, 0, 1, 1, 1], [1] * 7]), grid)
    steps = [cleanup_called("keep-largest"), cleanup_called("fill-holes")]
    found = cleaned(labels, steps, mask)
    assert found.array.tolist() == [[1] * 5 + [0, 0], [1, 1, 1, 0, 1, 0, 0], [1] * 5 + [0, 0]]
    assert cleaned(labels, []) is labels
    with pytest.raises(ValueError, match="mask lies on another grid"):
        cleaned(labels, steps, Labels(mask.array, Grid.from_spacing((3, 7), 2)))


def test_tensors_are_cleaned_where_they_are() -> None:
    labels = torch.tensor([[1, 0, 1, 1]], dtype=torch.int32)
    found = cleanup_called("keep-largest").run(labels, (1.0, 1.0))
    assert found.dtype == torch.int32
    assert found.tolist() == [[0, 0, 1, 1]]


@pytest.mark.parametrize("margin", [None, (1, 0, 3)], ids=str)
def test_boxes_are_those_of_scipy_and_wider(margin: tuple[int, ...] | None) -> None:
    from scipy import ndimage

    array = np.zeros((9, 8, 7), np.int32)
    array[2:4, 3, 1:6], array[5, 5, 5], array[8, 0, 0] = 2, 7, -1
    found = boxes_of(torch.from_numpy(array), margin)
    for label in (-1, 2, 7):
        (wanted,) = ndimage.find_objects((array == label).astype(int))
        wider = zip(wanted, margin or (0, 0, 0), array.shape, strict=True)
        assert found[label] == tuple(
            slice(max(box.start - more, 0), min(box.stop + more, size)) for box, more, size in wider
        )
    assert list(found) == [-1, 2, 7]
    assert boxes_of(torch.zeros((3, 4), dtype=torch.int32)) == {}


def test_relabel_renumbers_and_drops_what_is_not_named() -> None:
    labels = Labels.from_array(np.array([[0, 1, 2], [3, 2, 1]], np.uint8))
    found = cleanup_called("relabel", pairs=[[1, 300], [2, 1]])(labels)
    np.testing.assert_array_equal(found.array, [[0, 300, 1], [0, 1, 300]])
    tensor = torch.from_numpy(labels.array.astype(np.int32))
    relabel: Any = cleanup_called("relabel", pairs=((1, 300), (2, 1)))
    np.testing.assert_array_equal(relabel.run(tensor, (1.0, 1.0)).numpy(), found.array)


@pytest.mark.parametrize("pairs", [[[1, 2], [1, 3]], [[0, 1]], [[1, 0]], [[1, 2, 3]], [[1, -1]]])
def test_relabel_refuses_pairs_that_say_nothing(pairs: list[list[int]]) -> None:
    with pytest.raises(ValueError, match="relabel takes"):
        cleanup_called("relabel", pairs=pairs)
