"""How networks of other makers want their images: turned, cropped, resampled with splines."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from skimage.transform import resize

from medseg import Case, Image, Labels, write
from medseg.intensity import ZScore
from medseg.learning.batches import read_cases
from medseg.learning.conventions import OURS, Conventions
from medseg.learning.framing import frame
from medseg.learning.model import Model
from medseg.learning.plan import Plan
from medseg.learning.preparing import prepare
from medseg.learning.regridding import stretches
from medseg.learning.splines import resized_cubic, thick_axis
from medseg.learning.validation import Validation
from medseg.networks.unet import UNet
from medseg.tiling import Slab
from medseg.volume import reorient

SHAPE = (5, 7, 6)


def some_image(channels: int = 1, orientation: str = "RAS") -> Image:
    """Numbers over 0, everywhere, with voxels of 1, 2 and 3 mm."""
    array = 1 + np.arange(channels * np.prod(SHAPE), dtype=np.float32)
    return reorient(Image.from_array(array.reshape(channels, *SHAPE), (1, 2, 3)), orientation)


def some_plan(spacing: Sequence[float] = (1, 2, 3), **fields: Any) -> Plan:
    network = UNet(3, (2,))
    if 1 in fields.get("patch", ()):
        network = UNet(2, (2,))
    given: dict[str, Any] = {"patch": (4, 4, 4), "normalisations": (ZScore(),), **fields}
    names = tuple(f"channel {k}" for k in range(len(given["normalisations"])))
    return Plan(network, names, spacing=tuple(spacing), labels=(0, 1), names={}, **given)


# Turning and cropping


def test_our_own_conventions_leave_an_image_alone() -> None:
    image = some_image(orientation="LPI")
    framed = frame(image, None, OURS)
    assert framed.image is image
    labels = Labels(np.ones(SHAPE, int), image.grid)
    assert framed.whole(labels) is labels


def test_as_it_is_stored_an_image_is_not_turned() -> None:
    image = some_image(orientation="PIR")
    framed = frame(image, None, Conventions("stored"))
    assert np.array_equal(reorient(framed.image).array, image.array)
    assert framed.image.grid.spacing == image.grid.spacing == (2, 3, 1)


def test_in_a_named_orientation_all_ways_of_storing_look_the_same() -> None:
    seen = [
        reorient(frame(some_image(orientation=stored), None, Conventions("LPS")).image).array
        for stored in ("RAS", "PIR", "LPS")
    ]
    assert np.array_equal(seen[2], some_image(orientation="LPS").array)
    for one, other in pairwise(seen):
        assert np.array_equal(one, other)


@pytest.mark.parametrize("stored", ["RAS", "PIR"])
@pytest.mark.parametrize("orientation", ["stored", "RAS", "LPS"])
def test_what_comes_back_lies_where_it_was_seen(orientation: str, stored: str) -> None:
    array = np.zeros((2, *SHAPE), np.float32)
    array[0, 1:3, 2:6, 1] = array[1, 2, 3, 2:4] = 7
    image = reorient(Image.from_array(array, (1, 2, 3)), stored)
    mask = Labels((image.array[0] == 7).astype(int), image.grid)
    framed = frame(image, mask, Conventions(orientation, "nonzero"))
    assert sorted(framed.image.grid.shape) == [2, 3, 4]
    assert framed.mask is not None
    back = framed.whole(framed.mask)
    assert back.grid is image.grid
    assert np.array_equal(back.array, mask.array)


def test_around_what_was_seen_background_is_certain() -> None:
    array = np.zeros((1, *SHAPE), np.float32)
    array[0, 1:3, 2:6, 1:4] = 7
    image = reorient(Image.from_array(array, (1, 2, 3)), "PIR")
    framed = frame(image, None, Conventions("LPS", "nonzero"))
    shares = np.full((2, *framed.image.grid.shape), 0.5, np.float32)
    found = framed.whole(Image(shares, framed.image.grid))
    assert found.grid is image.grid
    inside = image.array[0] == 7
    assert np.array_equal(found.array[0], np.where(inside, 0.5, 1))
    assert np.array_equal(found.array[1], np.where(inside, 0.5, 0))


def test_an_image_of_nothing_is_not_cropped() -> None:
    image = Image.from_array(np.zeros((1, *SHAPE), np.float32), (1, 2, 3))
    assert frame(image, None, Conventions(crop="nonzero")).image.grid.shape == SHAPE


# Normalising


def test_what_is_enclosed_counts_and_what_surrounds_does_not() -> None:
    values = np.zeros((2, 6, 6, 6), np.float32)
    values[0, 1:5, 1:5, 1:5] = np.arange(64).reshape(4, 4, 4) + 10
    values[0, 2, 2, 2] = 0
    values[1, 1:5, 1:5, 1] = 3
    plan = some_plan(
        (1, 1, 1),
        normalisations=(ZScore(nonzero=True), ZScore()),
        conventions=Conventions(crop="nonzero"),
    )
    seen = prepare(Image.from_array(values, (1, 1, 1)), plan).image
    inside = values[0, 1:5, 1:5, 1:5]
    np.testing.assert_allclose(
        seen[0, 1:5, 1:5, 1:5], (inside - inside.mean()) / inside.std(), atol=1e-5
    )
    assert not seen[0, 0].any()
    np.testing.assert_allclose(seen[1], (values[1] - values[1].mean()) / values[1].std(), atol=1e-5)


# Resampling


def by_skimage(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    wide = array.astype(float)
    return np.array(resize(wide, shape, order=3, mode="edge", anti_aliasing=False))


@pytest.mark.parametrize("shape", [(9, 14, 4), (5, 13, 6), (1, 3, 12)], ids=str)
def test_cubic_interpolation_is_that_of_scikit_image(shape: tuple[int, ...]) -> None:
    array = torch.randn(2, *SHAPE, generator=torch.manual_seed(0))
    found = resized_cubic(array, shape)
    for channel, expected in zip(found, array, strict=True):
        np.testing.assert_allclose(channel, by_skimage(expected.numpy(), shape), atol=1e-5)


def test_thick_slices_are_not_mixed() -> None:
    array = torch.randn(1, *SHAPE, generator=torch.manual_seed(0))
    found = resized_cubic(array, (8, 9, 3), thick=2)[0]
    for k, nearest in enumerate((1, 3, 5)):
        expected = by_skimage(array[0, :, :, nearest].numpy(), (8, 9))
        np.testing.assert_allclose(found[:, :, k], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("now", "then", "axis"),
    [
        ((1, 1, 1), (1, 1, 1), None),
        ((1, 1, 3.1), (1, 1, 1), 2),
        ((1, 1, 3), (1, 1, 1), None),
        ((1, 1, 1), (5, 1, 1), 0),
        ((1, 4, 1), (5, 1, 1), 1),
        ((0.2, 1, 1), (1, 1, 5), None),
        ((1, 4), (1, 1), 1),
    ],
)
def test_an_axis_is_thick_over_three_times(now: Any, then: Any, axis: int | None) -> None:
    assert thick_axis(now, then) == axis


@pytest.mark.parametrize("thick", [None, 0, 1, 2])
def test_logits_come_back_linearly_but_for_thick_slices(thick: int | None) -> None:
    whole = torch.randn(2, *SHAPE, generator=torch.manual_seed(0))
    ones = tuple(torch.ones(n) for n in SHAPE)
    slabs = [Slab(a, whole[:, a:b], (ones[0][a:b], *ones[1:])) for a, b in ((0, 2), (2, 3), (3, 5))]
    shape = (8, 5, 9)
    expected = whole.numpy()
    for axis, size in enumerate(shape):
        at = (np.arange(size) + 0.5) * SHAPE[axis] / size - 0.5
        if axis == thick:
            expected = np.take(expected, np.floor(at + 0.5).astype(int), axis + 1)
            continue
        at = at.clip(0, SHAPE[axis] - 1)
        low = np.floor(at).astype(int)
        share = (at - low).reshape(-1, *[1] * (2 - axis))
        high = np.minimum(low + 1, SHAPE[axis] - 1)
        low_values, high_values = (np.take(expected, k, axis + 1) for k in (low, high))
        expected = low_values * (1 - share) + high_values * share
    found = torch.cat(
        [some.logits() for some in stretches(slabs, SHAPE[0], shape, thick=thick)], dim=1
    )
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_prepared_image_is_resampled_as_the_conventions_say() -> None:
    image = some_image()
    plan = some_plan((1.5, 1, 3), conventions=Conventions(interpolation="cubic"))
    normalised = (image.array[0] - image.array.mean()) / image.array.std()
    found = prepare(image, plan).image[0]
    np.testing.assert_allclose(found, by_skimage(normalised, (3, 14, 6)), atol=1e-5)


def test_slices_may_keep_their_spacing() -> None:
    image = some_image()
    kept = Conventions(slices="kept")
    assert prepare(image, some_plan((2, 1, 1), patch=(4, 1, 4))).image.shape == (1, 2, 14, 18)
    plan = some_plan((2, 1, 1), patch=(4, 1, 4), conventions=kept)
    assert prepare(image, plan).image.shape == (1, 2, 7, 18)


# Fields


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"orientation": "RAR"}, "orientation is one of stored, RAS"),
        ({"orientation": 3}, "orientation is made of str"),
        ({"crop": "tight"}, "crop is one of none, nonzero; got 'tight'"),
        ({"mirrored": (0, 0)}, "mirrored names axes, each once"),
        ({"mirrored": (3,)}, "mirrored names axes"),
        ({"colour": 1}, "conventions has no parameter colour"),
    ],
    ids=str,
)
def test_conventions_that_nobody_has_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Conventions.from_json(fields)


def test_a_plan_keeps_its_conventions_in_json() -> None:
    conventions = Conventions("LPS", "nonzero", "cubic", "kept", "patch", "half", (1, 2))
    plan = some_plan(conventions=conventions)
    assert Plan.from_json(plan.to_json()) == plan


def test_mirrored_axes_are_those_of_the_plan() -> None:
    with pytest.raises(ValueError, match="mirror names axes below 2, got"):
        Plan(
            UNet(2, (2,)),
            ("a",),
            (ZScore(),),
            (1, 1),
            (4, 4),
            (0, 1),
            {},
            conventions=Conventions(mirrored=(2,)),
        )


# Predicting


def noise() -> Image:
    values = np.random.default_rng(0).normal(10, 1, (1, *SHAPE))
    return Image.from_array(values.astype(np.float32), (1, 2, 3))


def some_model(plan: Plan, **settings: Any) -> Model:
    """A U-Net that minds which way an image is turned."""
    torch.manual_seed(0)
    model = Model(plan.network.build(len(plan.channels), 2), plan, precision="float32", **settings)
    for values in model.network.parameters():
        torch.nn.init.normal_(values, std=0.5)
    torch.nn.init.zeros_(model.network.heads[0].bias)
    return model


@pytest.mark.parametrize("patch", [SHAPE, (5, 1, 6)], ids=str)
def test_mirrored_passes_are_averaged(patch: tuple[int, ...]) -> None:
    image = noise()
    plain = some_plan(patch=patch)
    given = some_plan(patch=patch, conventions=Conventions(mirrored=(0, 2)))
    logits = []
    for flips in ((), (0,), (2,), (0, 2)):
        turned = np.flip(image.array, tuple(axis + 1 for axis in flips))
        found = some_model(plain).probabilities(image.on(turned.copy(), image.grid)).array
        shares = np.log(np.flip(found, tuple(axis + 1 for axis in flips)))
        logits.append(shares[1] - shares[0])
    expected = 1 / (1 + np.exp(-np.mean(logits, axis=0)))
    for model in (some_model(given), some_model(plain, mirrored=(2, 0))):
        np.testing.assert_allclose(model.probabilities(image).array[1], expected, atol=1e-5)
    assert some_model(given, mirrored=()).mirrored == ()


@pytest.mark.parametrize("axes", [(3,), (0, 0), (-1,)], ids=str)
def test_axes_that_an_image_has_not_can_not_be_mirrored(axes: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="mirrored names axes below 3, each once"):
        some_model(some_plan(), mirrored=axes)


@pytest.mark.parametrize(("window", "middle"), [("centred", 1.5), ("half", 2)])
def test_tiles_weigh_most_where_the_conventions_say(window: str, middle: float) -> None:
    image = noise()
    cut = Image.from_array(image.array[:, :4, :7, :4], (1, 2, 3))
    model = some_model(some_plan(conventions=Conventions(tiles="patch", window=window)))
    values = torch.from_numpy((cut.array - cut.array.mean()) / cut.array.std())[None]
    with torch.inference_mode():
        tiles = [model.network(values[:, :, :, j : j + 4])[0] for j in (0, 2, 3)]
    weights = torch.exp(-0.5 * (2 * (torch.arange(4) - middle)) ** 2)[None, None, :, None]
    total, weight = torch.zeros(2, 4, 7, 4), torch.zeros(1, 1, 7, 1)
    for j, logits in zip((0, 2, 3), tiles, strict=True):
        total[:, :, j : j + 4] += logits * weights
        weight[:, :, j : j + 4] += weights
    expected = (total / weight).softmax(0)
    np.testing.assert_allclose(model.probabilities(cut).array, expected, atol=1e-5)


def test_tiles_of_a_patch_never_grow() -> None:
    sizes = []
    for tiles in ("grown", "patch"):
        model = some_model(some_plan(conventions=Conventions(tiles=tiles)))
        model.network.register_forward_hook(
            lambda module, given, found: sizes.append(tuple(given[0].shape[2:]))
        )
        model.segment(Image.from_array(noise().array[:, :, :6, :4], (1, 2, 3)))
    assert sizes[0] == (5, 6, 4)
    assert set(sizes[1:]) == {(4, 4, 4)}


@pytest.mark.parametrize("stored", ["RAS", "PIR"])
def test_a_model_sees_the_cropped_image_as_it_is_stored(stored: str) -> None:
    array = np.zeros((1, 8, 9, 7), np.float32)
    array[:, 1:6, 1:8, 1:7] = noise().array
    image = reorient(Image.from_array(array, (1, 2, 3)), stored)
    spacing = image.grid.spacing
    there = Conventions("stored", "nonzero", "cubic")
    model = some_model(some_plan([0.8 * mm for mm in spacing], conventions=there))
    found = model.segment(image)
    plan = some_plan([0.8 * mm for mm in spacing], conventions=Conventions(interpolation="cubic"))
    inside = tuple(slice(a.min(), a.max() + 1) for a in np.nonzero(image.array[0]))
    alone = Image.from_array(image.array[(slice(None), *inside)], spacing)
    expected = some_model(plan).segment(alone)
    assert 0 < expected.array.sum() < expected.array.size
    assert np.array_equal(found.array[inside], expected.array)
    assert found.array.sum() == expected.array.sum()
    shares = model.probabilities(image)
    assert np.array_equal(model.most_probable(shares).array, found.array)


def test_thick_slices_of_logits_are_not_mixed() -> None:
    array = np.random.default_rng(0).normal(size=(1, 6, 6, 8)).astype(np.float32)
    image = Image.from_array(array, (1, 1, 1))
    plan = some_plan((1, 1, 4), conventions=Conventions(interpolation="cubic"))
    found = some_model(plan).probabilities(image).array
    for k in range(0, 8, 4):
        for other in range(k + 1, k + 4):
            assert np.array_equal(found[..., k], found[..., other])
    assert not np.array_equal(found[..., 0], found[..., 4])


# Training


def bordered() -> Image:
    """Image with voxels of 0 around it."""
    array = np.pad(some_image().array, [(0, 0), (1, 2), (0, 1), (2, 0)])
    return reorient(Image.from_array(array, (1, 2, 3)), "PIR")


def test_labels_of_a_part_come_back_whole() -> None:
    image = bordered()
    labels = Labels((image.array[0] > 50).astype(np.uint8), image.grid)
    framed = frame(image, None, Conventions("LPS", crop="nonzero"))
    part = framed.part(labels)
    assert part.grid.matches(framed.image.grid)
    assert np.array_equal(part.array != 0, framed.image.array[0] > 50)
    assert np.array_equal(framed.whole(part).array, labels.array)


def test_training_and_validation_see_what_the_conventions_say(tmp_path: Path) -> None:
    image = bordered()
    write(image, tmp_path / "image.nii.gz")
    labels = Labels((image.array[0] > 50).astype(np.uint8), image.grid)
    write(labels, tmp_path / "labels.nii.gz")
    case = Case("a", (tmp_path / "image.nii.gz",), tmp_path / "labels.nii.gz")
    plan = some_plan(conventions=Conventions("LPS", crop="nonzero"))
    wanted = prepare(frame(image, None, plan.conventions).image, plan).image
    (read,) = read_cases((case,), plan, torch.device("cpu"), tmp_path / "cache", 0)
    np.testing.assert_allclose(read.image.numpy(), wanted, atol=1e-5)
    inside = wanted[0][read.classes.numpy() != 0]
    assert inside.min() > wanted[0][read.classes.numpy() == 0].max()

    model = some_model(plan)
    classes = model.segment(image).array
    both = 2 * ((classes == 1) & (labels.array == 1)).sum()
    expected = both / ((classes == 1).sum() + labels.array.sum())
    assert Validation((case,), plan).dice(model)["1"] == pytest.approx(expected)
