"""A trained model as a segmenter; its weights are random here, which makes it no less one."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from balls import ball_plan, draw_ball
from drawn import oblique_affine
from torch.nn import functional

from medseg import (
    Grid,
    Image,
    Labels,
    Model,
    Plan,
    Probabilistic,
    Segmenter,
    orientation,
    reorient,
    resample,
    with_spacing,
)
from medseg.intensity import Identity
from medseg.learning.preparing import (
    class_indices,
    prepare,
    resampled_classes,
)
from medseg.learning.regridding import stretches
from medseg.learning.run import Run
from medseg.learning.weights import save_tensors
from medseg.networks.unet import UNet
from medseg.tiling import Slab

pytestmark = pytest.mark.usefixtures("one_thread")
STORED = ("RAS", "LPS", "LAS", "PSR", "AIL", "SRA", "ILP", "RPI")
FINER_AND_COARSER = {"native": (1, 2, 3), "anisotropic": (1.7, 1.1, 4.0), "coarse": (3, 3, 3)}


def some_model(**changes: Any) -> Model:
    torch.manual_seed(0)
    return Model.untrained(ball_plan(**{"patch": (8, 8, 8)} | changes), "cpu")


@pytest.fixture(scope="module")
def image() -> Image:
    return draw_ball(0, affine=oblique_affine())[0]


@pytest.fixture(scope="module")
def mask(image: Image) -> Labels:
    inside = np.zeros(image.grid.shape, np.uint8)
    inside[3:10, 2:12, 5:9] = 1
    return Labels(inside, image.grid)


# Contract


def test_is_a_segmenter_and_probabilistic() -> None:
    assert isinstance(some_model(), Segmenter)
    assert isinstance(some_model(), Probabilistic)


@pytest.mark.parametrize("spacing", FINER_AND_COARSER.values(), ids=FINER_AND_COARSER)
def test_the_way_of_storing_changes_nothing_in_the_world(
    image: Image, mask: Labels, spacing: tuple[float, ...]
) -> None:
    model = some_model(spacing=spacing)
    wanted = model.segment(image, mask=mask)
    assert wanted.values() == (1, 2)
    for way in STORED:
        found = model.segment(reorient(image, way), mask=reorient(mask, way))
        assert orientation(found.grid) == way
        back = reorient(found, orientation(image.grid))
        np.testing.assert_array_equal(back.array, wanted.array, err_msg=way)


@pytest.mark.parametrize("spacing", FINER_AND_COARSER.values(), ids=FINER_AND_COARSER)
def test_labels_lie_where_the_image_does(image: Image, spacing: tuple[float, ...]) -> None:
    model = some_model(spacing=spacing)
    labels = model.segment(image)
    assert labels.grid is image.grid
    assert labels.names == model.plan.names


@pytest.mark.parametrize("spacing", FINER_AND_COARSER.values(), ids=FINER_AND_COARSER)
def test_segment_is_where_the_probabilities_are_highest(
    image: Image, mask: Labels, spacing: tuple[float, ...]
) -> None:
    model = some_model(spacing=spacing)
    for inside in (None, mask):
        labels = model.segment(image, mask=inside)
        found = model.most_probable(model.probabilities(image, mask=inside))
        np.testing.assert_array_equal(found.array, labels.array)


@pytest.mark.parametrize("way", ["RAS", "PSR"])
@pytest.mark.parametrize("spacing", FINER_AND_COARSER.values(), ids=FINER_AND_COARSER)
def test_probabilities_sum_to_one_and_are_named(
    image: Image, spacing: tuple[float, ...], way: str
) -> None:
    stored = reorient(image, way)
    found = some_model(spacing=spacing).probabilities(stored)
    assert found.names == ("background", "shell", "core")
    assert found.grid is stored.grid
    assert found.array.min() >= 0
    np.testing.assert_allclose(found.array.sum(axis=0), 1, atol=1e-5)


def test_keeps_to_the_mask(image: Image, mask: Labels) -> None:
    model = some_model()
    labels = model.segment(image, mask=mask)
    probabilities = model.probabilities(image, mask=mask)
    assert labels.array[mask.array == 1].any()
    assert not labels.array[mask.array == 0].any()
    assert (probabilities.array[0][mask.array == 0] == 1).all()


@pytest.mark.parametrize("spacing", FINER_AND_COARSER.values(), ids=FINER_AND_COARSER)
def test_inside_the_mask_nothing_changes(
    image: Image, mask: Labels, spacing: tuple[float, ...]
) -> None:
    model = some_model(spacing=spacing, normalisations=(Identity(),))
    whole, masked = model.segment(image), model.segment(image, mask=mask)
    np.testing.assert_array_equal(masked.array, np.where(mask.array, whole.array, 0))


def test_a_mask_of_one_voxel_is_seen_by_a_coarse_plan() -> None:
    image, _ = draw_ball(0)
    model = some_model(spacing=(4, 4, 4), normalisations=(Identity(),))
    whole = model.segment(image)
    for voxel in np.argwhere(whole.array)[::37]:
        inside = np.zeros(image.grid.shape, np.uint8)
        inside[tuple(voxel)] = 1
        labels = model.segment(image, mask=Labels(inside, image.grid))
        assert labels.array[tuple(voxel)] == whole.array[tuple(voxel)]


@pytest.mark.parametrize("training", [True, False])
def test_leaves_the_mode_of_the_network_as_it_was(image: Image, *, training: bool) -> None:
    model = some_model()
    model.network.train(training)
    model.segment(image)
    model.probabilities(image)
    assert all(module.training == training for module in model.network.modules())


def test_the_mode_of_the_network_changes_nothing(image: Image) -> None:
    model = some_model(network=UNet(3, (4, 4, 4, 4), deep_supervision=True))
    model.network.eval()
    first = model.segment(image)
    model.network.train()
    np.testing.assert_array_equal(model.segment(image).array, first.array)


def test_keeps_nothing_between_calls(image: Image) -> None:
    model = some_model()
    first = model.segment(image)
    model.segment(Image(-image.array[:, ::-1], image.grid))
    np.testing.assert_array_equal(model.segment(image).array, first.array)


def test_leaves_its_input_alone(image: Image, mask: Labels) -> None:
    before = image.array.copy(), mask.array.copy()
    some_model().probabilities(image, mask=mask)
    np.testing.assert_array_equal(image.array, before[0])
    np.testing.assert_array_equal(mask.array, before[1])


# Shapes


@pytest.mark.parametrize(
    "shape", [(1, 1, 1), (3, 2, 5), (20, 1, 9), (8, 8, 8), (17, 8, 3)], ids=str
)
@pytest.mark.parametrize("spacing", [(1, 1, 1), (2, 0.4, 1)], ids=str)
def test_any_size_comes_back(shape: tuple[int, ...], spacing: tuple[float, ...]) -> None:
    image = Image.from_array(np.random.default_rng(0).normal(size=shape))
    assert some_model(spacing=spacing).segment(image).array.shape == shape


def test_a_constant_image_gives_a_result() -> None:
    image = Image.from_array(np.full((9, 9, 9), 3.0))
    assert np.isfinite(some_model().probabilities(image).array).all()


@pytest.mark.parametrize("slices", [0, 1, 2])
def test_a_2d_network_takes_volumes_slice_by_slice(slices: int) -> None:
    shape = (6, 7, 8)
    image = Image.from_array(np.random.default_rng(0).normal(size=shape))
    patch = tuple(1 if axis == slices else side for axis, side in enumerate(shape))
    model = some_model(network=UNet(2, (4, 8)), patch=patch, normalisations=(Identity(),))
    found = replace(model, precision="float32").probabilities(image).array
    with torch.inference_mode():
        tiles = torch.tensor(image.array).movedim(slices + 1, 0)
        wanted = model.network.eval()(tiles).softmax(1).movedim(0, slices + 1)
    np.testing.assert_allclose(found, wanted.numpy(), atol=1e-5)


def test_a_2d_model_takes_2d_images() -> None:
    image, _ = draw_ball(0, shape=(20, 24))
    model = some_model(network=UNet(2, (4, 8)), patch=(16, 16), spacing=(1.0, 1.5))
    assert model.segment(image).array.shape == (20, 24)


def test_overlap_says_how_many_tiles_there_are() -> None:
    image, _ = draw_ball(0)
    model = some_model()
    counts = []
    for overlap in (0, 0.5):
        seen: list[int] = []
        hook = model.network.register_forward_hook(lambda _, x, y, seen=seen: seen.append(len(y)))
        replace(model, overlap=overlap).segment(image)
        hook.remove()
        counts.append(sum(seen))
    assert counts == [2 * 2 * 2, 3 * 3 * 2]


# Labels of any value


def test_values_of_the_labels_come_back(image: Image) -> None:
    labels = {3: "shell", 7: "core"}
    found = some_model(labels=(0, 3, 7), names=labels).segment(image)
    wanted = some_model().segment(image)
    np.testing.assert_array_equal(found.array, np.array([0, 3, 7])[wanted.array])


def test_more_classes_than_a_byte_holds_come_back() -> None:
    labels = tuple(range(0, 3000, 10))
    model = some_model(network=UNet(3, (4,)), labels=labels, names=dict.fromkeys(labels[1:], "x"))
    image = Image.from_array(np.random.default_rng(0).normal(size=(8, 8, 8)))
    found = model.segment(image)
    np.testing.assert_array_equal(
        found.array, model.most_probable(model.probabilities(image)).array
    )
    assert max(found.values()) > 2560


def test_classes_of_labels_are_their_places_in_the_plan() -> None:
    plan = ball_plan(labels=(0, 7, 3), names={3: "a", 7: "b"})
    labels = Labels(np.array([[[0, 3, 7, 3]]]), Grid.from_spacing((1, 1, 4)))
    assert class_indices(labels, plan).ravel().tolist() == [0, 2, 1, 2]


@pytest.mark.parametrize("odd", [-1, 1, 200])
def test_labels_that_the_plan_has_not_are_named(odd: int) -> None:
    labels = Labels(np.array([[[0, 3, odd]]]), Grid.from_spacing((1, 1, 3)))
    with pytest.raises(
        ValueError, match=rf"labels \[{odd}\] are not in the plan, which has \[0, 3"
    ):
        class_indices(labels, ball_plan(labels=(0, 3, 7)))


# Resampling


@pytest.mark.parametrize("rows", [[16], [2] * 8, [1] * 16, [7, 5, 4], [1, 14, 1]], ids=str)
@pytest.mark.parametrize(
    "shape",
    [(16, 5, 4), (40, 7, 9), (17, 3, 4), (15, 5, 4), (7, 5, 4), (3, 3, 3), (1, 1, 1)],
    ids=str,
)
def test_a_stretch_at_a_time_equals_interpolating_the_whole(
    shape: tuple[int, ...], rows: list[int]
) -> None:
    logits = torch.randn(2, 16, 5, 4, generator=torch.manual_seed(0))
    starts = np.cumsum([0, *rows[:-1]]).tolist()
    slabs = [
        Slab(start, logits[:, start : start + n], (torch.ones(n), torch.ones(5), torch.ones(4)))
        for start, n in zip(starts, rows, strict=True)
    ]
    found = torch.cat([some.logits() for some in stretches(slabs, 16, shape)], dim=1)
    wanted = functional.interpolate(logits[None], shape, mode="trilinear", align_corners=False)[0]
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)


def test_few_rows_at_a_time_equal_many(monkeypatch: pytest.MonkeyPatch, image: Image) -> None:
    model = some_model(spacing=FINER_AND_COARSER["anisotropic"])
    wanted = model.segment(image)
    monkeypatch.setattr("medseg.learning.regridding._AT_ONCE", {"cpu": 1, "cuda": 1})
    np.testing.assert_array_equal(model.segment(image).array, wanted.array)


def test_a_prepared_image_has_the_spacing_of_the_plan_and_fills_the_same_box() -> None:
    shape = (12, 10, 8)
    ramp = np.broadcast_to(np.arange(12.0)[:, None, None], shape)
    plan = ball_plan(spacing=(2, 1, 0.5), normalisations=(Identity(),))
    prepared = prepare(Image.from_array(ramp), plan)
    assert prepared.image.shape == (1, 6, 10, 16)
    np.testing.assert_allclose(prepared.image[0, :, 0, 0], np.arange(6) * 2 + 0.5, atol=1e-6)


def test_image_and_labels_are_resampled_to_the_same_place() -> None:
    image, labels = draw_ball(0, shape=(20, 24, 28))
    plan = ball_plan(spacing=(1.6, 0.7, 2.1), normalisations=(Identity(),))
    prepared = prepare(Image(100.0 * (labels.array > 0)[None], image.grid), plan)
    classes = resampled_classes(class_indices(labels, plan), prepared.native, plan)
    assert classes.shape == prepared.image.shape[1:]
    agree = (prepared.image[0] > 50) == (classes > 0)
    assert agree.mean() > 0.99


def test_resampled_classes_are_those_of_resampled_labels(image: Image) -> None:
    labels = draw_ball(0)[1].on(draw_ball(0)[1].array, image.grid)
    plan = ball_plan(spacing=(1.5, 1.5, 1.5))
    native = reorient(labels)
    found = resampled_classes(class_indices(labels, plan), native.grid, plan)
    wanted = resample(native, with_spacing(native.grid, plan.spacing))
    np.testing.assert_array_equal(found, wanted.array)


def test_normalisation_comes_before_resampling() -> None:
    image = Image.from_array(np.random.default_rng(0).normal(5, 3, (8, 8, 8)))
    prepared = prepare(image, ball_plan(spacing=(4, 4, 4)))
    # The mean of 4 x 4 x 4 voxels would have deviation 1 again, had it been normalised after.
    assert prepared.image.std() < 0.6


# Refused


def test_other_channels_are_refused_with_a_way_out(image: Image) -> None:
    two = Image(np.concatenate([image.array] * 2), image.grid)
    with pytest.raises(ValueError, match=r"takes 1 channels \(MR\), got 2; name the files"):
        some_model().segment(two)


def test_other_axes_are_refused() -> None:
    with pytest.raises(ValueError, match="takes volumes of 3 axes, got 2"):
        some_model().segment(draw_ball(0, shape=(9, 9))[0])


def test_seeds_are_refused(image: Image, mask: Labels) -> None:
    with pytest.raises(ValueError, match="takes no seeds"):
        some_model().segment(image, mask)


def test_an_empty_mask_is_refused(image: Image) -> None:
    with pytest.raises(ValueError, match="mask is empty"):
        some_model().segment(image, mask=Labels(np.zeros(image.grid.shape, int), image.grid))


def test_a_mask_on_another_grid_is_refused(image: Image, mask: Labels) -> None:
    elsewhere = Labels(mask.array, Grid.from_spacing(mask.grid.shape))
    with pytest.raises(ValueError, match="the mask lies"):
        some_model().probabilities(image, mask=elsewhere)


@pytest.mark.parametrize("overlap", [-0.1, 1])
def test_an_overlap_that_is_no_share_is_refused(overlap: float) -> None:
    with pytest.raises(ValueError, match=r"overlap is a share in \[0, 1\)"):
        replace(some_model(), overlap=overlap)


# From a run


def saved(model: Model, folder: Path, *names: str) -> Path:
    run = Run(folder)
    model.plan.save(run.plan)
    for name in names:
        save_tensors(model.network.state_dict(), getattr(run, name), {})
    return folder


def test_a_loaded_model_is_the_one_that_was_saved(image: Image, tmp_path: Path) -> None:
    model = some_model()
    loaded = Model.load(saved(model, tmp_path, "last"), "cpu")
    assert loaded.plan == model.plan
    np.testing.assert_array_equal(loaded.segment(image).array, model.segment(image).array)


def test_the_best_weights_come_before_the_last(tmp_path: Path) -> None:
    best, last = some_model(), some_model()
    with torch.no_grad():
        last.network.heads[0].bias += 1
    saved(best, tmp_path, "best")
    saved(last, tmp_path, "last")
    for weights, wanted in (("auto", best), ("best", best), ("last", last)):
        found = Model.load(tmp_path, "cpu", weights=weights).network.state_dict()
        torch.testing.assert_close(found, wanted.network.state_dict())


def test_loading_leaves_the_random_state_of_torch_alone(tmp_path: Path) -> None:
    saved(some_model(), tmp_path, "last")
    before = torch.get_rng_state()
    Model.load(tmp_path)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_run_without_weights_is_refused(tmp_path: Path) -> None:
    saved(some_model(), tmp_path)
    with pytest.raises(FileNotFoundError, match="holds no trained model: there is no best"):
        Model.load(tmp_path)


def test_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="expected a run of medseg train"):
        Model.load(tmp_path / "nowhere")


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    saved(some_model(network=UNet(3, (4, 16))), tmp_path, "last")
    some_model().plan.save(Run(tmp_path).plan)
    with pytest.raises(ValueError, match=r"last\.safetensors does not fit .*plan\.json"):
        Model.load(tmp_path)


def test_weights_by_another_name_are_refused(tmp_path: Path) -> None:
    saved(some_model(), tmp_path, "last")
    with pytest.raises(ValueError, match="weights are best, last, auto, got 'latest'"):
        Model.load(tmp_path, weights="latest")


def test_a_plan_without_names_still_names_its_channels(image: Image) -> None:
    plan: Plan = ball_plan(names={1: "shell"}, patch=(8, 8, 8))
    found = Model.untrained(plan, "cpu").probabilities(image)
    assert found.names == ("background", "shell", "label 2")
