"""The contract that every filter keeps, then what each of them does, against SciPy."""

from itertools import permutations, product

import numpy as np
import pytest
import torch
from scipy import ndimage

from medseg import Grid, Image, Labels, orientation, reorient
from medseg.filters import FILTERS, filter_called
from medseg.filters.filtering import Filter
from medseg.filters.smooth import medians_in_torch
from medseg.smoothing import gaussian

EVERY_WAY_TO_STORE = [
    "".join(letters) for order in permutations(("RL", "AP", "SI")) for letters in product(*order)
]
QUICK = {"n4": {"iterations": 5, "levels": 2, "shrink": 2}}
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.cuda)]


def shaded(
    shape: tuple[int, ...] = (24, 20, 16), spacing: tuple[float, ...] | float = 1.0
) -> tuple[Image, Labels]:
    """Two channels of noise about two tissues, under a slope of brightness, and a mask."""
    rng = np.random.default_rng(0)
    places = (np.indices(shape) + 0.5) / np.reshape(shape, (-1, *[1] * len(shape)))
    tissue = np.where(np.abs(places - 0.45).max(axis=0) < 0.3, 200.0, 100.0)
    array = tissue * np.exp(0.4 * places[0]) + rng.normal(scale=2, size=(2, *shape))
    grid = Grid.from_spacing(shape, spacing)
    return Image(array, grid, ("a", "b")), Labels(np.abs(places - 0.5).max(axis=0) < 0.45, grid)


@pytest.fixture(params=FILTERS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def built(name: str, **parameters: object) -> Filter:
    return filter_called(name, **QUICK.get(name, {}), **parameters)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("where", ["everywhere", "mask"])
@pytest.mark.parametrize(
    ("shape", "spacing"),
    [((24, 20), (1, 2)), ((14, 12, 10), (1, 2, 3)), ((24, 1, 16), (1, 5, 1))],
    ids=str,
)
def test_geometry_and_channels_stay(
    name: str, shape: tuple[int, ...], spacing: tuple[float, ...], where: str, device: str
) -> None:
    image, mask = shaded(shape, spacing)
    before = image.array.copy()
    smooth = built(name, device=device)
    assert isinstance(smooth, Filter)
    found = smooth(image, mask if where == "mask" else None)
    assert found.grid is image.grid
    assert found.names == image.names
    assert found.array.shape == image.array.shape
    assert (found.array != before).any()
    np.testing.assert_array_equal(image.array, before)


def test_what_lies_outside_the_mask_has_no_part_in_statistics(name: str) -> None:
    if name in {"gaussian", "median"}:
        pytest.skip("has no statistics")
    image, mask = shaded()
    inside = mask.array != 0
    other = image.on(np.where(inside, image.array, 1e4), image.grid)
    first, second = (built(name)(each, mask).array[:, inside] for each in (image, other))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("way", ["LPI", "SAR", "PIR"])
def test_the_way_of_storing_changes_nothing_in_the_world(name: str, way: str) -> None:
    image, mask = shaded((16, 12, 8), (1, 2, 3))
    wanted = built(name)(image, mask)
    found = built(name)(reorient(image, way), reorient(mask, way))
    assert orientation(found.grid) == way
    np.testing.assert_array_equal(reorient(found).array, wanted.array)


def test_a_constant_image_gives_a_constant(name: str) -> None:
    image = Image(np.full((1, 9, 8, 7), 3.0), Grid.from_spacing((9, 8, 7)))
    found = built(name)(image)
    assert np.ptp(found.array) == 0
    assert found.array.flat[0] == pytest.approx(0 if name == "normalise" else 3)


def test_a_mask_on_another_grid_or_empty_is_refused(name: str) -> None:
    image, mask = shaded()
    with pytest.raises(ValueError, match="the mask lies on another grid"):
        built(name)(image, Labels(mask.array, Grid.from_spacing(mask.array.shape, 2.0)))
    with pytest.raises(ValueError, match="the mask is empty"):
        built(name)(image, mask.on(np.zeros_like(mask.array), mask.grid))


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("medan", {}, "no filter is called 'medan'; did you mean 'median'"),
        ("gaussian", {"width": 2}, "gaussian has no parameter width"),
        ("gaussian", {"sigma": 0}, "gaussian takes a width above 0 mm, got sigma=0"),
        ("median", {"radius": -1}, "median takes a radius above 0 mm, got radius=-1"),
        ("clip", {"low": 60, "high": 40}, "0 <= low < high <= 100, got low=60, high=40"),
        ("n4", {"shrink": 0}, "of 1 or more, got shrink=0"),
    ],
)
def test_a_filter_says_what_is_wrong(
    name: str, parameters: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        filter_called(name, **parameters)


# Smoothing


@pytest.mark.parametrize("sigma", [0.0, 0.3, 1.0, 2.5, 30.0])
@pytest.mark.parametrize(
    ("shape", "spacing"), [((40,), (1.0,)), ((20, 17), (1, 2)), ((9, 12, 11), (1, 2, 3))], ids=str
)
def test_the_gaussian_is_that_of_scipy(
    shape: tuple[int, ...], spacing: tuple[float, ...], sigma: float
) -> None:
    values = np.random.default_rng(0).normal(size=(2, *shape))
    sigmas = [sigma / step for step in spacing]
    wanted = [ndimage.gaussian_filter(each, sigmas, mode="nearest") for each in values]
    found = gaussian(torch.from_numpy(values), sigma, spacing)
    np.testing.assert_allclose(found, np.stack(wanted), atol=1e-12)


def test_the_gaussian_leaves_its_input_alone_and_refuses_a_negative_width() -> None:
    values = torch.rand(5, 6)
    before = values.clone()
    gaussian(values, 1.0, (1.0, 1.0))
    torch.testing.assert_close(values, before, rtol=0, atol=0)
    with pytest.raises(ValueError, match="0 mm or more, got -1"):
        gaussian(values, -1, (1.0, 1.0))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("reach", [(0, 0, 0), (1, 0, 2), (1, 1, 1), (3, 1, 0)], ids=str)
def test_medians_in_torch_are_those_of_scipy(
    reach: tuple[int, ...], device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("medseg.filters.smooth._MOST_AT_ONCE", 20_000)  # in several parts
    image = torch.rand((2, 9, 10, 11), generator=torch.Generator().manual_seed(0))
    size = (1, *(2 * n + 1 for n in reach))
    wanted = ndimage.median_filter(image.numpy(), size, mode="nearest")
    np.testing.assert_array_equal(medians_in_torch(image.to(device), reach).cpu(), wanted)


def test_the_box_of_the_median_is_measured_in_mm() -> None:
    array = np.zeros((7, 7), np.float32)
    array[3, 3] = array[2, 3] = array[4, 3] = 1  # a line along the fine axis
    image = Image.from_array(array, (0.5, 3.0))
    assert filter_called("median", radius=1)(image).array[0, 3, 3] == 1
    assert not filter_called("median", radius=3)(image).array.any()


def test_a_single_wrong_voxel_is_gone_and_an_edge_stays() -> None:
    array = np.zeros((9, 9, 9), np.float32)
    array[:, :, 5:] = 10
    speck = array.copy()
    speck[4, 4, 2] = 99
    found = filter_called("median")(Image.from_array(speck))
    np.testing.assert_array_equal(found.array[0], array)


# Intensities


@pytest.mark.parametrize("where", ["everywhere", "mask"])
def test_clip_ends_at_percentiles_of_each_channel(where: str) -> None:
    image, mask = shaded()
    image = image.on(image.array * np.reshape([1, 50], (2, 1, 1, 1)), image.grid)
    found = filter_called("clip", low=10, high=90)(image, mask if where == "mask" else None)
    for values, clipped in zip(image.array, found.array, strict=True):
        counted = values[mask.array != 0] if where == "mask" else values
        low, high = np.percentile(counted, [10, 90])
        np.testing.assert_allclose(clipped, np.clip(values, low, high), rtol=1e-6)


@pytest.mark.parametrize("where", ["everywhere", "mask"])
def test_normalise_gives_mean_0_and_deviation_1(where: str) -> None:
    image, mask = shaded()
    image = image.on(image.array + 1e5, image.grid)
    found = filter_called("normalise")(image, mask if where == "mask" else None)
    for values in found.array:
        counted = values[mask.array != 0] if where == "mask" else values
        assert counted.mean(dtype=float) == pytest.approx(0, abs=1e-3)
        assert counted.std(dtype=float) == pytest.approx(1, abs=1e-3)


# N4


def head(shape: tuple[int, ...]) -> tuple[np.ndarray, Image, Labels]:
    """Two tissues under a bias field, on air."""
    places = np.indices(shape) / np.reshape(shape, (-1, *[1] * len(shape)))
    away = np.abs(places - 0.5).max(axis=0)
    tissue = np.where(away < 0.2, 200.0, 100.0)
    bias = np.exp(0.5 * (places[0] - 0.5) - 0.3 * (places[1] - 0.5) ** 2)
    noise = np.random.default_rng(0).normal(scale=2, size=shape)
    array = np.where(away < 0.45, tissue * bias + noise, np.abs(noise))
    grid = Grid.from_spacing(shape, (2.0, 2.0, 4.0)[: len(shape)])
    return away, Image(array[None], grid), Labels(away < 0.45, grid)


@pytest.mark.parametrize("where", ["everywhere", "mask"])
@pytest.mark.parametrize("shape", [(60, 56), (40, 36, 20)], ids=str)
def test_n4_takes_the_field_out(shape: tuple[int, ...], where: str) -> None:
    away, image, mask = head(shape)
    corrected = filter_called("n4", shrink=2)(image, mask if where == "mask" else None)
    for tissue in (away < 0.18, (away > 0.22) & (away < 0.43)):
        before, after = (x.array[0][tissue] for x in (image, corrected))
        assert after.std() / after.mean() < 0.4 * before.std() / before.mean()


def test_n4_needs_two_axes_and_something_bright() -> None:
    n4 = filter_called("n4")
    line = Image(np.arange(1, 9).reshape(1, 8, 1, 1), Grid.from_spacing((8, 1, 1)))
    with pytest.raises(ValueError, match="n4 takes images of 2 or 3 axes"):
        n4(line)
    dark = Image(-np.arange(1, 65.0).reshape(1, 8, 8), Grid.from_spacing((8, 8)))
    with pytest.raises(ValueError, match="intensities above 0"):
        n4(dark)


def test_n4_says_when_it_steps_over_the_mask() -> None:
    array = np.random.default_rng(0).uniform(50, 100, (1, 32, 32))
    inside = np.zeros((32, 32), np.uint8)
    inside[0, 0:2] = 1
    image = Image(array, Grid.from_spacing((32, 32)))
    with pytest.raises(ValueError, match="n4 with shrink=8 steps over all of the mask"):
        filter_called("n4", shrink=8)(image, Labels(inside, image.grid))


@pytest.mark.parametrize(
    ("shape", "spacing", "factors"),
    [
        ((256, 256, 160), (1, 1, 1), [4, 4, 4]),
        ((256, 256, 30), (0.5, 0.5, 5.0), [4, 4, 1]),
        ((256, 256, 60), (1, 1, 2), [4, 4, 2]),
        ((256, 256, 6), (1, 1, 1), [4, 4, 1]),
    ],
)
def test_n4_shrinks_to_equal_spacing(
    shape: tuple[int, ...], spacing: tuple[float, ...], factors: list[int]
) -> None:
    assert FILTERS["n4"]()._factors(shape, spacing) == factors


def test_invert_turns_the_range_over_and_twice_gives_the_image() -> None:
    image = Image(np.array([[[1.0, 2.0, 5.0]]]), Grid.from_spacing((1, 3)))
    inside = Labels(np.array([[1, 1, 0]]), image.grid)
    found = filter_called("invert")(image)
    np.testing.assert_array_equal(found.array, [[[5, 4, 1]]])
    np.testing.assert_array_equal(filter_called("invert")(found).array, image.array)
    np.testing.assert_array_equal(filter_called("invert")(image, inside).array, [[[2, 1, -2]]])
