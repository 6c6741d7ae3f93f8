"""Networks that nnU-Net has trained, as runs of medseg; nnU-Net itself is not needed."""

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commands import command, complaint
from torch import Tensor, nn
from torch.nn import functional

from medseg import Image, Model, reorient
from medseg.intensity import Identity, Percentiles, Window, ZScore
from medseg.learning.conventions import Conventions
from medseg.learning.importing import import_nnunet
from medseg.learning.importing.plans import Axes

pytestmark = pytest.mark.usefixtures("one_thread")

FEATURES, KERNELS = (3, 6, 8), ((1, 3, 3), (3, 3, 3), (3, 3, 3))
STRIDES = ((1, 1, 1), (1, 2, 2), (2, 2, 2))


# nnU-Net's own modules, written once more: their names, their order and their biases


def convolved(
    inputs: int, outputs: int, kernel: Any, stride: Any, *, rectified: bool = True
) -> Any:
    """Convolution, normalisation and rectifier; all stand a second time in `all_modules`."""
    ndim = len(kernel)
    kind = {2: nn.Conv2d, 3: nn.Conv3d}[ndim]
    norm = {2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}[ndim]
    padding, biased = [k // 2 for k in kernel], max(kernel) > 1
    layers = nn.Module()
    layers.conv = kind(inputs, outputs, kernel, stride, padding, bias=biased)
    layers.norm = norm(outputs, affine=True)
    nonlinear = [nn.LeakyReLU()] if rectified else []
    layers.all_modules = nn.Sequential(layers.conv, layers.norm, *nonlinear)
    layers.forward = layers.all_modules.forward
    return layers


def stacked(count: int, inputs: int, outputs: int, kernel: Any, stride: Any) -> nn.Module:
    layers = nn.Module()
    rest = [convolved(outputs, outputs, kernel, 1) for _ in range(count - 1)]
    layers.convs = nn.Sequential(convolved(inputs, outputs, kernel, stride), *rest)
    layers.forward = layers.convs.forward
    return layers


class Block(nn.Module):
    """BasicBlockD."""

    def __init__(self, inputs: int, outputs: int, kernel: Any, stride: Any) -> None:
        super().__init__()
        self.conv1 = convolved(inputs, outputs, kernel, stride)
        self.conv2 = convolved(outputs, outputs, kernel, 1, rectified=False)
        pool = {2: nn.AvgPool2d, 3: nn.AvgPool3d}[len(kernel)]
        ops: list[nn.Module] = [pool(stride)] if max(stride) > 1 else []
        if inputs != outputs:
            ops.append(convolved(inputs, outputs, (1,) * len(kernel), 1, rectified=False))
        self.skip: Callable[[Tensor], Tensor] = nn.Sequential(*ops) if ops else (lambda x: x)

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        return functional.leaky_relu(self.conv2(self.conv1(x)) + self.skip(x), 0.01)


class Foreign(nn.Module):
    """PlainConvUNet, or ResidualEncoderUNet with 1, 2 and 1 blocks."""

    def __init__(self, kernels: Any, strides: Any, *, residual: bool, inputs: int = 1) -> None:
        super().__init__()
        self.residual = residual
        self.encoder, self.decoder = nn.Module(), nn.Module()
        widths = (inputs, *FEATURES)
        if residual:
            self.encoder.stem = stacked(1, inputs, FEATURES[0], kernels[0], 1)
            widths = (FEATURES[0], *FEATURES)
        levels = zip(widths[:3], FEATURES, kernels, strides, (1, 2, 1), strict=True)
        self.encoder.stages = nn.Sequential(*(self._level(*level) for level in levels))
        decoder = self.decoder
        decoder.encoder = self.encoder
        up = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}[len(kernels[0])]
        head = {2: nn.Conv2d, 3: nn.Conv3d}[len(kernels[0])]
        finer = (1, 0)
        decoder.transpconvs = nn.ModuleList(
            up(FEATURES[k + 1], FEATURES[k], strides[k + 1], strides[k + 1]) for k in finer
        )
        count = 1 if residual else 2
        decoder.stages = nn.ModuleList(
            stacked(count, 2 * FEATURES[k], FEATURES[k], kernels[k], 1) for k in finer
        )
        decoder.seg_layers = nn.ModuleList(head(FEATURES[k], 3, 1) for k in finer)

    def _level(self, inputs: int, outputs: int, kernel: Any, stride: Any, blocks: int) -> Any:
        if not self.residual:
            return nn.Sequential(stacked(2, inputs, outputs, kernel, stride))
        level = nn.Module()
        rest = [Block(outputs, outputs, kernel, (1,) * len(kernel)) for _ in range(blocks - 1)]
        level.blocks = nn.Sequential(Block(inputs, outputs, kernel, stride), *rest)
        level.forward = level.blocks.forward
        return level

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        x = self.encoder.stem(x) if self.residual else x
        skips = []
        for stage in self.encoder.stages:
            x = stage(x)
            skips.append(x)
        for k, (up, stage) in enumerate(
            zip(self.decoder.transpconvs, self.decoder.stages, strict=True)
        ):
            x = stage(torch.cat([up(x), skips[-k - 2]], dim=1))
        logits: Tensor = self.decoder.seg_layers[-1](x)
        return logits


# A folder as nnU-Net leaves it


def foreign(ndim: int = 3, *, residual: bool = False, inputs: int = 1) -> Foreign:
    torch.manual_seed(0)
    cut = 3 - ndim
    shapes = [k[cut:] for k in KERNELS], [s[cut:] for s in STRIDES]
    network = Foreign(*shapes, residual=residual, inputs=inputs)
    for values in network.parameters():
        nn.init.normal_(values, std=0.5)
    nn.init.zeros_(network.decoder.seg_layers[-1].bias)
    return network.eval()


def some_plans(ndim: int = 3, *, residual: bool = False) -> dict[str, Any]:
    cut = 3 - ndim
    depth = "n_blocks_per_stage" if residual else "n_conv_per_stage"
    name = "ResidualEncoderUNet" if residual else "PlainConvUNet"
    resampling = {"is_seg": False, "order_z": 0, "force_separate_z": None}
    basis = {
        "preprocessor_name": "DefaultPreprocessor",
        "patch_size": [4, 8, 12][cut:],
        "spacing": [3.0, 2.0, 1.0][cut:],
        "normalization_schemes": ["ZScoreNormalization"],
        "use_mask_for_norm": [False],
        "resampling_fn_data": "resample_data_or_seg_to_shape",
        "resampling_fn_data_kwargs": {**resampling, "order": 3},
        "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
        "resampling_fn_probabilities_kwargs": {**resampling, "order": 1},
        "architecture": {
            "network_class_name": f"dynamic_network_architectures.architectures.unet.{name}",
            "arch_kwargs": {
                "n_stages": 3,
                "features_per_stage": FEATURES,
                "conv_op": f"torch.nn.modules.conv.Conv{ndim}d",
                "kernel_sizes": [k[cut:] for k in KERNELS],
                "strides": [s[cut:] for s in STRIDES],
                depth: [1, 2, 1] if residual else [2, 2, 2],
                "n_conv_per_stage_decoder": [1, 1] if residual else [2, 2],
                "conv_bias": True,
                "norm_op": f"torch.nn.modules.instancenorm.InstanceNorm{ndim}d",
                "norm_op_kwargs": {"eps": 1e-05, "affine": True},
                "dropout_op": None,
                "dropout_op_kwargs": None,
                "nonlin": "torch.nn.LeakyReLU",
                "nonlin_kwargs": {"inplace": True},
            },
        },
    }
    return {
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2],
        "original_median_spacing_after_transp": [3.0, 2.0, 1.0],
        "foreground_intensity_properties_per_channel": {
            "0": {"mean": 40.0, "std": 25.0, "percentile_00_5": -90.0, "percentile_99_5": 210.0}
        },
        "configurations": {"basis": basis, "trained": {"inherits_from": "basis"}},
    }


DATASET = {
    "channel_names": {"0": "MRI"},
    "labels": {"background": 0, "front": 1, "back": 2},
    "file_ending": ".nii.gz",
}


def saved(
    folder: Path,
    network: nn.Module | None = None,
    plans: dict[str, Any] | None = None,
    dataset: dict[str, Any] = DATASET,
    **checkpoint: Any,
) -> Path:
    """Folder of a trained network, with the numbers of NumPy that nnU-Net logs."""
    (folder / "fold_0").mkdir(parents=True)
    (folder / "plans.json").write_text(json.dumps(plans or some_plans()))
    (folder / "dataset.json").write_text(json.dumps(dataset))
    content = {
        "network_weights": (network or foreign()).state_dict(),
        "logging": {"mean_fg_dice": [np.float64(0.5), np.float32(0.25), np.int64(3)]},
        "_best_ema": np.float64(0.5),
        "init_args": {"configuration": "trained", "device": torch.device("cpu")},
        "inference_allowed_mirroring_axes": (0, 1, 2),
        **checkpoint,
    }
    torch.save(content, folder / "fold_0" / "checkpoint_final.pth")
    return folder


def changed(path: str, value: Any) -> dict[str, Any]:
    """Plans with one thing otherwise: of all, of the configuration, or of its architecture."""
    plans = some_plans()
    place = plans
    *way, last = path.split(".")
    for step in way:
        place = place[step]
    place[last] = value
    return plans


# Predicting as nnU-Net does


def some_image(shape: tuple[int, ...] = (12, 8, 4)) -> Image:
    """Numbers as noise, with voxels of 1, 2 and 3 mm."""
    values = np.random.default_rng(0).normal(100, 10, (1, *shape)).astype(np.float32)
    return Image.from_array(values, (1, 2, 3))


def by_hand(network: nn.Module, image: Image, transposed: list[int], flips: list[Any]) -> Any:
    """Mean logits (classes, ...) over mirrored passes, on the axes of the image."""
    array = image.array[0].transpose(2, 1, 0).transpose(transposed)
    array = (array - array.mean()) / array.std()
    x = torch.from_numpy(np.ascontiguousarray(array))[None, None]
    with torch.inference_mode():
        logits = torch.stack([network(x.flip(f)).flip(f) if f else network(x) for f in flips])
    back = logits.mean(0)[0].permute(0, *(1 + transposed.index(axis) for axis in range(3)))
    return back.permute(0, 3, 2, 1).numpy()


@pytest.mark.parametrize("residual", [False, True], ids=["plain", "residual"])
@pytest.mark.parametrize("transposed", [[0, 1, 2], [1, 2, 0]], ids=str)
def test_an_imported_network_gives_the_same_numbers(
    tmp_path: Path, transposed: list[int], *, residual: bool
) -> None:
    network, plans = foreign(residual=residual), some_plans(residual=residual)
    shape, spacing = [4, 8, 12], [3.0, 2.0, 1.0]
    image = some_image()
    if transposed != [0, 1, 2]:
        # The axes of the image change, so that those of the network stay.
        stored = [transposed.index(axis) for axis in range(3)][::-1]
        image = some_image(tuple(shape[axis] for axis in stored))
        image = Image.from_array(image.array, tuple(spacing[axis] for axis in stored))
    plans["transpose_forward"] = transposed
    saved(tmp_path / "results", network, plans, inference_allowed_mirroring_axes=(0, 2))
    (run,) = import_nnunet(tmp_path / "results", tmp_path / "run")
    model = Model.load(run, "cpu", precision="float32")
    flips = [(), (2,), (4,), (2, 4)]
    expected = torch.from_numpy(by_hand(network, image, transposed, flips)).softmax(0).numpy()
    np.testing.assert_allclose(model.probabilities(image).array, expected, atol=2e-5)
    assert np.array_equal(model.segment(image).array, expected.argmax(0))
    assert model.segment(image).names == {1: "front", 2: "back"}


def test_imported_regions_are_written_as_nnunet_writes_them(tmp_path: Path) -> None:
    network, image = foreign(), some_image()
    regions = {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "rim": 3}
    usual = np.median(by_hand(network, image, [0, 1, 2], [()]), axis=(1, 2, 3))
    network.decoder.seg_layers[-1].bias.data -= torch.from_numpy(usual)
    dataset = {**DATASET, "labels": regions, "regions_class_order": [1, 3, 2]}
    saved(tmp_path / "results", network, dataset=dataset, inference_allowed_mirroring_axes=None)
    (run,) = import_nnunet(tmp_path / "results", tmp_path / "run")
    model = Model.load(run, "cpu", precision="float32")
    logits = by_hand(network, image, [0, 1, 2], [()])
    expected = np.zeros(logits.shape[1:], int)
    for inside, label in zip(logits > 0, (1, 3, 2), strict=True):
        expected[inside] = label
    assert {1, 2, 3} <= set(expected.ravel().tolist())
    np.testing.assert_array_equal(model.segment(image).array, expected)
    assert model.plan.regions == {"whole": (1, 2, 3), "core": (2, 3), "rim": (3,)}


def cascade(folder: Path) -> tuple[Path, nn.Module]:
    """Folder of a second stage, beside the folds of the first; and its network."""
    first = saved(folder / "Trainer__Plans__low")
    (first / "fold_1").mkdir()
    other = foreign()
    nn.init.normal_(other.decoder.seg_layers[-1].weight, std=2)
    usual = by_hand(other, some_image(), [0, 1, 2], [()]).mean((1, 2, 3))
    other.decoder.seg_layers[-1].bias.data -= torch.from_numpy(usual)
    content = torch.load(first / "fold_0" / "checkpoint_final.pth", weights_only=False)
    content["network_weights"] = other.state_dict()
    torch.save(content, first / "fold_1" / "checkpoint_final.pth")
    plans, network = changed("configurations.basis.previous_stage", "low"), foreign(inputs=3)
    flips = {"inference_allowed_mirroring_axes": None}
    return saved(folder / "Trainer__Plans__full", network, plans, **flips), network


def test_the_second_stage_of_a_cascade_comes_with_the_first(tmp_path: Path) -> None:
    folder, network = cascade(tmp_path / "results")
    (run,) = import_nnunet(folder, tmp_path / "run")
    model, image = Model.load(run, "cpu", precision="float32"), some_image()
    folds = [Model.load(run / "earlier" / f"fold_{k}", "cpu", precision="float32") for k in (0, 1)]
    mean = np.mean([one.probabilities(image).array for one in folds], axis=0)
    earlier = mean.argmax(0)
    assert len(set(earlier.ravel().tolist())) > 1
    array = (image.array[0] - image.array[0].mean()) / image.array[0].std()
    seen = np.stack([array, earlier == 1, earlier == 2]).astype(np.float32)
    with torch.inference_mode():  # axes the other way round, as nnU-Net has them
        logits = network(torch.from_numpy(seen.transpose(0, 3, 2, 1).copy())[None])[0]
    expected = logits.softmax(0).numpy().transpose(0, 3, 2, 1)
    np.testing.assert_allclose(model.probabilities(image).array, expected, atol=2e-5)


def test_a_first_stage_that_is_elsewhere_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, _ = cascade(tmp_path / "results")
    first = (tmp_path / "results" / "Trainer__Plans__low").rename(tmp_path / "elsewhere")
    err = complaint(capsys, "import-nnunet", folder, tmp_path / "run", "--quiet")
    assert "Trainer__Plans__low does not exist" in err
    assert not (tmp_path / "run" / "plan.json").exists()
    given = ("--previous", first)
    assert command(capsys, "import-nnunet", folder, tmp_path / "run", *given)[0] == 0
    assert (tmp_path / "run" / "earlier" / "fold_1" / "plan.json").is_file()


def test_an_ignore_label_is_no_class(tmp_path: Path) -> None:
    labels = {"background": 0, "front": 1, "back": 2, "ignore": 3}
    saved(tmp_path / "results", dataset={**DATASET, "labels": labels})
    (run,) = import_nnunet(tmp_path / "results", tmp_path / "run")
    plan = Model.load(run, "cpu").plan
    assert (plan.labels, plan.ignore, plan.outputs) == ((0, 1, 2), 3, 3)


@pytest.mark.parametrize("residual", [False, True], ids=["plain", "residual"])
def test_an_imported_2d_network_goes_along_the_first_transposed_axis(
    tmp_path: Path, *, residual: bool
) -> None:
    network, plans = foreign(2, residual=residual), some_plans(2, residual=residual)
    saved(tmp_path / "results", network, plans, inference_allowed_mirroring_axes=(1,))
    (run,) = import_nnunet(tmp_path / "results", tmp_path / "run")
    model = Model.load(run, "cpu", precision="float32")
    assert model.plan.patch == (12, 8, 1)
    assert model.mirrored == (0,)
    image = some_image((12, 8, 3))
    array = image.array[0].transpose(2, 1, 0)
    x = torch.from_numpy((array - array.mean()) / array.std())[:, None]
    with torch.inference_mode():
        logits = network(x) + network(x.flip(3)).flip(3)
    expected = (logits / 2).softmax(1).permute(1, 3, 2, 0).numpy()
    np.testing.assert_allclose(model.probabilities(image).array, expected, atol=2e-5)


@pytest.mark.parametrize(
    ("reader", "asked", "turned"),
    [
        ("SimpleITKIO", "", False),
        ("NibabelIO", "", False),
        ("NibabelIOWithReorient", "", True),
        ("SimpleITKIO", "RAS", True),
    ],
)
def test_images_are_turned_where_nnunet_turns_them(
    tmp_path: Path, reader: str, asked: str, *, turned: bool
) -> None:
    saved(tmp_path / "results", plans=changed("image_reader_writer", reader))
    (run,) = import_nnunet(tmp_path / "results", tmp_path / "run", orientation=asked)
    model = Model.load(run, "cpu", mirrored=())
    image = some_image()
    other = reorient(image, "LAS")
    found, there = (reorient(model.segment(im), "RAS").array for im in (image, other))
    assert np.array_equal(found, there) == turned
    as_stored = Image.from_array(other.array, other.grid.spacing)
    if not turned:
        assert np.array_equal(model.segment(as_stored).array, model.segment(other).array)


def test_pictures_have_two_axes(tmp_path: Path) -> None:
    plans = some_plans(2)
    plans["image_reader_writer"] = "NaturalImage2DIO"
    saved(tmp_path / "results", foreign(2), plans, inference_allowed_mirroring_axes=(0, 1))
    (run,) = import_nnunet(tmp_path / "results", tmp_path / "run")
    plan = Model.load(run, "cpu").plan
    assert (plan.patch, plan.spacing, plan.mirror) == ((12, 8), (1, 2), (0, 1))


def test_plans_from_before_architectures_were_named_are_read(tmp_path: Path) -> None:
    plans = some_plans()
    settings = plans["configurations"]["basis"]
    del settings["architecture"]
    plans["configurations"]["basis"] = {
        **settings,
        "UNet_class_name": "PlainConvUNet",
        "UNet_base_num_features": 3,
        "unet_max_num_features": 8,
        "n_conv_per_stage_encoder": [2, 2, 2],
        "n_conv_per_stage_decoder": [2, 2],
        "conv_kernel_sizes": KERNELS,
        "pool_op_kernel_sizes": STRIDES,
    }
    (old,) = import_nnunet(saved(tmp_path / "old", plans=plans), tmp_path / "one")
    (new,) = import_nnunet(saved(tmp_path / "new"), tmp_path / "two")
    assert (old / "plan.json").read_text() == (new / "plan.json").read_text()


# What the plan takes over


@pytest.mark.parametrize(
    ("scheme", "masked", "normalisation"),
    [
        ("ZScoreNormalization", False, ZScore()),
        ("ZScoreNormalization", True, ZScore(nonzero=True)),
        ("CTNormalization", False, Window(-90, 210, 40, 25)),
        ("NoNormalization", False, Identity()),
        ("RescaleTo01Normalization", False, Percentiles(0, 100)),
        ("RGBTo01Normalization", False, Window(0, 255, 0, 255)),
    ],
)
def test_normalisations_are_those_of_nnunet(
    tmp_path: Path, scheme: str, normalisation: Any, *, masked: bool
) -> None:
    plans = changed("configurations.basis.normalization_schemes", [scheme])
    plans["configurations"]["basis"]["use_mask_for_norm"] = [masked]
    (run,) = import_nnunet(saved(tmp_path / "results", plans=plans), tmp_path / "run")
    assert Model.load(run, "cpu").plan.normalisations == (normalisation,)


def test_rescaling_and_pictures_are_normalised_by_the_formulas_of_nnunet() -> None:
    values = np.array([3, 7, 11, 103], np.float32)
    np.testing.assert_allclose(Percentiles(0, 100)(values), (values - 3) / 100, atol=1e-6)
    np.testing.assert_allclose(Window(0, 255, 0, 255)(values), values / 255, atol=1e-6)


def test_the_plan_does_as_nnunet_does(tmp_path: Path) -> None:
    (run,) = import_nnunet(saved(tmp_path / "results"), tmp_path / "run")
    plan = Model.load(run, "cpu").plan
    assert (plan.spacing, plan.patch, plan.labels) == ((1, 2, 3), (12, 8, 4), (0, 1, 2))
    assert (plan.channels, plan.names) == (("MRI",), {1: "front", 2: "back"})
    assert plan.conventions == Conventions(
        "stored", "nonzero", "cubic", "kept", "patch", "half", (0, 1, 2)
    )


@pytest.mark.parametrize(
    ("transposed", "ndim", "pictures", "axes"),
    [
        ([0, 1, 2], 3, False, Axes((2, 1, 0))),
        ([1, 0, 2], 3, False, Axes((1, 2, 0))),
        ([1, 0, 2], 2, False, Axes((2, 0), 1)),
        ([0, 1, 2], 2, True, Axes((1, 0))),
        ([0, 2, 1], 2, True, Axes((0, 1))),
    ],
)
def test_axes_are_those_of_the_reversed_volume_transposed(
    transposed: list[int], ndim: int, axes: Axes, *, pictures: bool
) -> None:
    assert Axes.of(transposed, ndim, pictures=pictures) == axes


def test_what_there_is_for_each_axis_comes_in_the_order_of_the_volume() -> None:
    axes = Axes((1, 2, 0))
    assert axes.turned(("of j", "of k", "of i")) == ("of i", "of j", "of k")
    assert Axes((2, 0), 1).with_slices((30, 10), 20) == (10, 20, 30)


# Folds and files


def test_several_folds_become_runs_of_their_own(tmp_path: Path) -> None:
    folder = saved(tmp_path / "results")
    (folder / "fold_0").rename(folder / "fold_3")
    saved(tmp_path / "more")
    (tmp_path / "more" / "fold_0").rename(folder / "fold_all")
    runs = import_nnunet(folder, tmp_path / "runs")
    assert runs == [tmp_path / "runs" / "fold_3", tmp_path / "runs" / "fold_all"]
    assert import_nnunet(folder, tmp_path / "one", folds=("all",)) == [tmp_path / "one"]


def test_the_command_makes_a_run_and_refuses_to_replace_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = "import-nnunet", saved(tmp_path / "results"), tmp_path / "run"
    assert command(capsys, *given)[0] == 0
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [
        "last.safetensors",
        "plan.json",
    ]
    assert "holds a run already; replace it with --overwrite" in complaint(capsys, *given)
    assert command(capsys, *given, "--overwrite")[0] == 0


@pytest.mark.parametrize("missing", ["plans.json", "dataset.json", "fold_0/checkpoint_final.pth"])
def test_what_is_missing_is_named(tmp_path: Path, missing: str) -> None:
    folder = saved(tmp_path / "results")
    (folder / missing).unlink()
    with pytest.raises(FileNotFoundError, match=Path(missing).name):
        import_nnunet(folder, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_fold_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path) -> None:
    folder = saved(tmp_path / "results")
    with pytest.raises(FileNotFoundError, match=r"no checkpoint_final\.pth in fold_4; there are"):
        import_nnunet(folder, tmp_path / "run", folds=("4",))


def test_a_folder_above_is_refused_with_the_right_one(tmp_path: Path) -> None:
    saved(tmp_path / "Dataset004" / "nnUNetTrainer__nnUNetPlans__2d")
    with pytest.raises(FileNotFoundError, match=r"did you mean .*nnUNetTrainer__nnUNetPlans__2d"):
        import_nnunet(tmp_path / "Dataset004", tmp_path / "run")


class Malicious:
    """Makes a folder where it is unpickled."""

    def __reduce__(self) -> Any:
        return os.mkdir, ("made by a pickle",)


def test_a_checkpoint_that_would_run_something_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = saved(tmp_path / "results", logging=Malicious())
    with pytest.raises(
        ValueError, match=r"can be read safely: it holds posix\.mkdir, no"
    ) as refused:
        import_nnunet(folder, tmp_path / "run")
    assert "weights_only" not in str(refused.value)
    assert not (tmp_path / "made by a pickle").exists()
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "content",
    [b"", b"not a file of torch", pickle.dumps({"network_weights": {}}, protocol=2)],
    ids=["empty", "text", "pickle"],
)
def test_a_damaged_checkpoint_is_refused(tmp_path: Path, content: bytes) -> None:
    folder = saved(tmp_path / "results")
    (folder / "fold_0" / "checkpoint_final.pth").write_bytes(content)
    with pytest.raises(ValueError, match=r"checkpoint_final\.pth is damaged, or no checkpoint"):
        import_nnunet(folder, tmp_path / "run")


def test_a_cut_checkpoint_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "results") / "fold_0" / "checkpoint_final.pth"
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(ValueError, match=r"checkpoint_final\.pth is damaged, or no checkpoint"):
        import_nnunet(tmp_path / "results", tmp_path / "run")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"network_weights": {"a": 3}}, "its weights are not all tensors"),
        ({"network_weights": {"a.b.c": torch.zeros(2)}}, "a.b is no part of nnU-Net's plain"),
        ({"network_weights": {}}, "it lacks"),
        ({"init_args": {"configuration": "other"}}, "no configuration 'other', but basis, trained"),
        ({"init_args": {}}, "'configuration'"),
        ({"inference_allowed_mirroring_axes": (0, 5)}, "can't be imported: tuple index"),
    ],
    ids=["numbers", "names", "no weights", "configuration", "no configuration", "mirroring"],
)
def test_a_checkpoint_of_something_else_is_refused(
    tmp_path: Path, given: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        import_nnunet(saved(tmp_path / "results", **given), tmp_path / "run")
    assert not (tmp_path / "run").exists()


ARCHITECTURE = "configurations.basis.architecture.arch_kwargs"


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("configurations.basis.preprocessor_name", "Mine", "its preprocessor_name is Mine"),
        ("configurations.basis.resampling_fn_data", "torch", "its resampling_fn_data is torch"),
        ("configurations.basis.resampling_fn_data_kwargs", {}, "its resampling_fn_data_kwargs"),
        ("configurations.basis.normalization_schemes", ["Mine"], "its Mine is unknown"),
        ("configurations.basis.normalization_schemes", [], "tuple index|list index"),
        ("configurations.trained.inherits_from", "trained", "inherits from itself"),
        ("configurations.basis.spacing", [1.0, 1.0], "not for 3 axes"),
        ("configurations.basis.patch_size", [8], "a patch of 2 or 3"),
        ("configurations", {}, "it has no configuration 'trained'"),
        ("image_reader_writer", "Tiff3DIO", "its images are read by Tiff3DIO"),
        ("transpose_forward", [0, 0, 1], "transpose_forward is"),
        ("configurations.basis.architecture.network_class_name", "a.B", "its network is B"),
        (f"{ARCHITECTURE}.squeeze", 1, "settings that medseg's has not: squeeze"),
        (f"{ARCHITECTURE}.norm_op", "torch.nn.BatchNorm3d", "are followed by torch.nn.BatchNorm3d"),
        (f"{ARCHITECTURE}.norm_op_kwargs", {"eps": 1e-3}, "are followed by"),
        (f"{ARCHITECTURE}.nonlin_kwargs", {"negative_slope": 0.2}, "of slope 0.2"),
        (f"{ARCHITECTURE}.dropout_op", "torch.nn.Dropout3d", "its network has dropout_op"),
        (f"{ARCHITECTURE}.n_conv_per_stage", [2, 2, 3], r"have \[2, 3\] convolutions"),
        (f"{ARCHITECTURE}.features_per_stage", [3, 6, 9], "expected"),
    ],
    ids=str,
)
def test_what_medseg_has_not_is_refused(
    tmp_path: Path, path: str, value: Any, message: str
) -> None:
    folder = saved(tmp_path / "results", plans=changed(path, value))
    with pytest.raises(ValueError, match=rf"checkpoint_final\.pth can't be imported: .*{message}"):
        import_nnunet(folder, tmp_path / "run")


@pytest.mark.parametrize(
    ("labels", "more", "message"),
    [
        ({"background": 0, "whole": [1, 2]}, {}, "and no regions_class_order"),
        ({"background": 0, "one": 1}, {"regions_class_order": [1, 2]}, "1 regions are written as"),
        ({"background": 0, "three": 3}, {}, "labels are not 0, 1, 2"),
    ],
    ids=["regions", "order", "gaps"],
)
def test_labels_that_are_no_classes_are_refused(
    tmp_path: Path, labels: dict[str, Any], more: dict[str, Any], message: str
) -> None:
    folder = saved(tmp_path / "results", dataset={**DATASET, "labels": labels, **more})
    with pytest.raises(ValueError, match=message):
        import_nnunet(folder, tmp_path / "run")


def test_a_damaged_description_is_refused(tmp_path: Path) -> None:
    folder = saved(tmp_path / "results")
    (folder / "plans.json").write_text('{"configurations": ')
    with pytest.raises(ValueError, match=r"plans\.json is no JSON"):
        import_nnunet(folder, tmp_path / "run")
    (folder / "plans.json").write_text("[]")
    with pytest.raises(ValueError, match=r"plans\.json is no JSON object"):
        import_nnunet(folder, tmp_path / "run")
