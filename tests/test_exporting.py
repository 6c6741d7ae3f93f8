"""Networks for other runtimes: they give the same numbers, and their plan lies beside them."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from commands import command, complaint
from test_pipelines import pipeline

import medseg
from medseg import Image, Model
from medseg.intensity import ZScore
from medseg.learning.exporting import export
from medseg.learning.plan import Plan
from medseg.learning.run import Run
from medseg.learning.weights import save_tensors
from medseg.networks import NetworkConfig
from medseg.networks.residual_unet import ResidualUNet
from medseg.networks.unet import UNet

pytestmark = pytest.mark.usefixtures("one_thread")

PROGRAM, ONNX = "network.pt2", "network.onnx"
needs_onnx = pytest.mark.skipif(
    not all(map(find_spec, ("onnx", "onnxscript", "onnxruntime"))),
    reason="ONNX is not installed; pip install 'medseg[onnx]'",
)
FORMATS = [PROGRAM, pytest.param(ONNX, marks=needs_onnx)]
NETWORKS: dict[str, tuple[NetworkConfig, tuple[int, ...]]] = {
    "plain": (UNet(2, (2,)), (6, 1, 4)),
    "unet": (UNet(3, (2, 4)), (4, 6, 5)),
    "residual, slices": (ResidualUNet(2, (2, 4), blocks=(1, 1)), (6, 1, 4)),
}


def some_model(name: str = "plain") -> Model:
    config, patch = NETWORKS[name]
    plan = Plan(config, ("t1",), (ZScore(),), (1, 2, 3), patch, (0, 1, 5), {1: "a", 5: "b"})
    torch.manual_seed(0)
    model = Model(config.build(1, 3), plan)
    for values in model.network.parameters():
        torch.nn.init.normal_(values, std=0.5)
    torch.nn.init.zeros_(model.network.heads[0].bias)
    return model


def some_image() -> Image:
    """Larger than a patch along each axis."""
    values = np.random.default_rng(0).normal(size=(1, 7, 9, 8)).astype(np.float32)
    return Image.from_array(values, (1, 2, 3))


def by_patches(model: Model) -> Model:
    """The same model, with the tiles that an exported network takes."""
    content = model.plan.to_json()
    content["conventions"]["tiles"] = "patch"
    return Model(model.network, Plan.from_json(content))


@pytest.mark.parametrize("file", FORMATS)
@pytest.mark.parametrize("name", ["unet", "residual, slices"])
def test_another_runtime_gives_the_same_labels(tmp_path: Path, name: str, file: str) -> None:
    model = some_model(name)
    beside = export(model, tmp_path / file)
    assert beside == tmp_path / "network.json"
    image = some_image()
    medseg.write(image, tmp_path / "image.nii.gz")

    pipeline("exported.py").main(
        tmp_path / file, tmp_path / "image.nii.gz", tmp_path / "found.nii.gz"
    )

    run = pipeline("exported.py").runtime(tmp_path / file)
    sides = [side for side in model.plan.patch if side > 1]
    for count in (1, 3):
        patches = torch.randn(count, 1, *sides, generator=torch.manual_seed(count))
        with torch.inference_mode():
            expected = model.network.eval()(patches)
            torch.testing.assert_close(run(patches), expected, atol=1e-4, rtol=1e-4)
    found = medseg.read_labels(tmp_path / "found.nii.gz").array
    wanted = by_patches(model).segment(image).array
    assert len(np.unique(wanted)) > 1
    assert np.array_equal(found, wanted)


def test_a_network_with_a_margin_takes_what_it_sees(tmp_path: Path) -> None:
    config = medseg.NETWORKS["unet-2015"](**medseg.NETWORKS["unet-2015"].small())
    plan = Plan(config, ("em",), (ZScore(),), (1, 1), (4, 4), (0, 1), {})
    torch.manual_seed(0)
    model = Model(config.build(1, 2), plan)
    export(model, tmp_path / PROGRAM)
    run = pipeline("exported.py").runtime(tmp_path / PROGRAM)
    seen = tuple(n + 2 * m for n, m in zip(config.fitted((4, 4)), config.margin, strict=True))
    patches = torch.randn(1, 1, *seen, generator=torch.manual_seed(0))
    with torch.inference_mode():
        expected = model.network.eval()(patches)
        torch.testing.assert_close(run(patches), expected, atol=1e-4, rtol=1e-4)


def test_exporting_leaves_the_model_as_it_was(tmp_path: Path) -> None:
    model = some_model()
    model.network.train()
    before = {name: tensor.clone() for name, tensor in model.network.state_dict().items()}
    export(model, tmp_path / PROGRAM)
    assert model.network.training
    assert model.plan.conventions.tiles == "grown"
    torch.testing.assert_close(model.network.state_dict(), before, rtol=0, atol=0)


def test_the_command_exports_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, run = some_model(), Run(tmp_path / "run")
    run.folder.mkdir()
    model.plan.save(run.plan)
    save_tensors(model.network.state_dict(), run.last, {})
    given: tuple[Any, ...] = ("export", run.folder, tmp_path / PROGRAM)
    assert command(capsys, *given)[0] == 0
    assert "network.pt2 exists already; replace it with --overwrite" in complaint(capsys, *given)
    assert command(capsys, *given, "--overwrite")[0] == 0
    (tmp_path / PROGRAM).unlink()
    assert "network.json exists already" in complaint(capsys, *given)


@pytest.mark.parametrize("file", ["network.pth", "network"])
def test_other_suffixes_are_refused(tmp_path: Path, file: str) -> None:
    with pytest.raises(ValueError, match=r"networks are exported as \.onnx, \.pt2, got"):
        export(some_model(), tmp_path / file)


def test_without_onnx_it_says_what_to_install(tmp_path: Path) -> None:
    with (
        mock.patch("medseg.learning.exporting.find_spec", return_value=None),
        pytest.raises(ModuleNotFoundError, match=r"needs onnx and onnxscript; .*medseg\[onnx\]"),
    ):
        export(some_model(), tmp_path / ONNX)
    assert not list(tmp_path.iterdir())
