"""The window classifier: what it weighs, and that one pass gives what all windows give."""

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import medseg
from medseg.networks.pixel_classifier import WINDOW, PixelClassifier, PixelClassifierModule

pytestmark = pytest.mark.usefixtures("one_thread")
SMALL = PixelClassifier(**PixelClassifier.small())
PIPELINE = Path(__file__).parent.parent / "pipelines" / "sliding_window_vs_fcn.py"


def built(channels: int = 2, classes: int = 3) -> PixelClassifierModule:
    torch.manual_seed(0)
    module = SMALL.build(channels, classes)
    assert isinstance(module, PixelClassifierModule)
    return module


def images(*size: int, samples: int = 1) -> Tensor:
    return torch.randn(samples, 2, *size, generator=torch.manual_seed(1))


def test_it_weighs_what_the_layers_of_the_paper_weigh() -> None:
    with torch.device("meta"):
        network = PixelClassifier().build(1, 2)
    convolutions = 48 * (16 + 1) + 48 * (48 * 25 + 1) + 2 * 48 * (48 * 16 + 1)
    dense = 200 * (48 * 9 + 1) + 2 * (200 + 1)
    assert sum(p.numel() for p in network.parameters()) == convolutions + dense == 219_290


def test_one_pass_gives_what_each_window_gives() -> None:
    network, x = built(), images(105, 102, samples=2)
    with torch.inference_mode():
        whole = network(x)
        each = [
            network.windows(x[..., i : i + WINDOW, j : j + WINDOW])
            for i in range(11)
            for j in range(8)
        ]
    assert whole.shape == (2, 3, 11, 8)
    torch.testing.assert_close(whole.flatten(2), torch.stack(each, -1), atol=1e-5, rtol=1e-5)


def test_both_ways_learn_the_same() -> None:
    network, x = built(), images(96, 95)
    gradients = []
    for logits in (network(x).flatten(2), torch.stack([
        network.windows(x[..., :WINDOW, :]), network.windows(x[..., 1:, :])
    ], -1)):  # fmt: skip
        network.zero_grad()
        logits.square().sum().backward()
        gradients.append([p.grad.clone() for p in network.parameters()])
    torch.testing.assert_close(*gradients, atol=1e-4, rtol=1e-4)


def test_a_pixel_depends_on_its_window_alone() -> None:
    network, x = built(), images(150, 150)
    changed = x.clone()
    changed[..., :20, :] += 1
    with torch.inference_mode():
        same = (network(x) == network(changed)).all(1)[0]
    assert same[20:].all()
    assert not same[:20].any()


def test_windows_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match=r"windows of 95 x 95 pixels, got \(96, 95\); call"):
        built().windows(images(96, 95))


@pytest.mark.parametrize("fields", [{"width": 0}, {"hidden": 0}, {"width": 10**6}])
def test_widths_that_make_no_sense_are_refused(fields: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="from 1 to 4096 maps and hidden features, got width="):
        PixelClassifier(**fields)


def test_pipeline(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    values = np.random.default_rng(0).integers(256, size=(1, 12, 10)).astype(np.uint8)
    grid = medseg.Grid.from_spacing((12, 10), 1.0)
    medseg.write(medseg.Image(values, grid), tmp_path / "slice.png")
    spec = spec_from_file_location("sliding_window_vs_fcn", PIPELINE)
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "sliding_window_vs_fcn", module)
    spec.loader.exec_module(module)

    module.main(tmp_path / "slice.png", windows=5, batch=2)

    printed = capsys.readouterr().out
    assert "219290 parameters; a pixel sees 95 x 95 pixels" in printed
    assert "from 5 of 120 windows" in printed
    apart = float(printed.split("differ by ")[1].split()[0])
    assert apart < 1e-4
