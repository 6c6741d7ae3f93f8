"""FCN, SegNet and DeconvNet: parameters and sizes as published, and weights of VGG16."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from medseg.learning.pretrained import load_vgg16
from medseg.learning.weights import save_tensors
from medseg.networks import NETWORKS
from medseg.networks.deconvnet import DeconvNet
from medseg.networks.fcn import FCN8s, FCN16s, FCN32s
from medseg.networks.segnet import SegNet
from medseg.networks.unet import UNet
from medseg.networks.vgg import vgg_stages
from medseg.networks.vgg_weights import put_vgg16

pytestmark = pytest.mark.usefixtures("one_thread")
FCNS = [FCN32s, FCN16s, FCN8s]


def on_meta(config: Any, channels: int, classes: int) -> nn.Module:
    with torch.device("meta"):
        return config.build(channels, classes)


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def count_of_norms(module: nn.Module) -> int:
    return sum(count(part) for part in module.modules() if isinstance(part, nn.BatchNorm2d))


def images(*size: int, channels: int = 3) -> Tensor:
    return torch.randn(1, channels, *size, generator=torch.manual_seed(1))


# As published


@pytest.mark.parametrize(
    ("name", "channels", "classes", "parameters"),
    [
        ("fcn-32s", 3, 21, 136_152_917),
        ("fcn-16s", 3, 21, 134_815_994),
        ("fcn-8s", 3, 21, 134_489_759),
        ("fcn-8s", 3, 2, 134_271_430),
        ("segnet", 3, 11, 29_449_355),
        ("segnet", 3, 21, 29_455_125),
        ("segnet", 1, 2, 29_443_010),
        ("deconvnet", 3, 21, 251_805_653),
        ("deconvnet", 3, 2, 251_804_418),
    ],
)
def test_parameters(name: str, channels: int, classes: int, parameters: int) -> None:
    assert count(on_meta(NETWORKS[name](), channels, classes)) == parameters


@pytest.mark.parametrize(
    ("name", "classes", "parameters"),
    [("segnet", 11, 29_433_483), ("deconvnet", 21, 251_772_245)],
)
def test_parameters_without_normalisation(name: str, classes: int, parameters: int) -> None:
    network = on_meta(NETWORKS[name](), 3, classes)
    assert count(network) - count_of_norms(network) == parameters


def test_parameters_of_vgg16() -> None:
    with torch.device("meta"):
        assert count(vgg_stages(3, 64, norm=False)) == 14_714_688


@pytest.mark.parametrize("size", [(375, 500), (224, 224)])
@pytest.mark.parametrize("name", ["fcn-32s", "fcn-16s", "fcn-8s", "segnet"])
def test_published_sizes_come_out_as_they_went_in(name: str, size: tuple[int, int]) -> None:
    network = on_meta(NETWORKS[name](), 3, 21).eval()
    assert network(torch.empty(1, 3, *size, device="meta")).shape == (1, 21, *size)


def test_deconvnet_goes_through_a_single_vector() -> None:
    network = on_meta(DeconvNet(), 3, 21).eval()
    shapes: dict[str, tuple[int, ...]] = {}
    for name in ("fc6", "fc7", "up", "head"):
        network.get_submodule(name).register_forward_hook(
            lambda _, given, output, name=name: shapes.update(
                {f"{name} gets": given[0].shape[1:], f"{name} gives": output.shape[1:]}
            )
        )
    network(torch.empty(1, 3, 224, 224, device="meta"))
    assert shapes == {
        "fc6 gets": (512, 7, 7),
        "fc6 gives": (4096, 1, 1),
        "fc7 gets": (4096, 1, 1),
        "fc7 gives": (4096, 1, 1),
        "up gets": (4096, 1, 1),
        "up gives": (512, 7, 7),
        "head gets": (64, 224, 224),
        "head gives": (21, 224, 224),
    }


def test_segnet_pools_odd_sizes_to_half_and_back() -> None:
    network = on_meta(SegNet(), 3, 11).eval()
    sizes = []
    for stage in (*network.stages, *network.decoder):
        stage.register_forward_hook(lambda _, given, __: sizes.append(given[0].shape[-1]))
    network(torch.empty(1, 3, 360, 477, device="meta"))
    assert sizes == [477, 239, 120, 60, 30, 30, 60, 120, 239, 477]


# FCN


@pytest.mark.parametrize("kind", FCNS)
def test_scores_are_0_before_anything_is_learnt(kind: Any) -> None:
    network = kind(width=1).build(3, 2).eval()
    assert not network(images(33, 20)).any()


@pytest.mark.parametrize("kind", FCNS)
def test_a_score_that_is_the_same_everywhere_is_so_inside(kind: Any) -> None:
    network = kind(width=1).build(3, 2).eval()
    with torch.no_grad():
        network.score.bias.copy_(torch.tensor([2.0, -3.0]))
        logits = network(images(100, 131))[..., 32:-32, 32:-32]
    expected = torch.tensor([2.0, -3.0]).reshape(1, 2, 1, 1).expand_as(logits)
    torch.testing.assert_close(logits, expected)


def test_scores_end_at_the_border_of_their_grid() -> None:
    # The image begins in row 19 of the upsampled scores, of which only row 32 has two neighbours.
    network = FCN32s(width=1).build(3, 2).eval()
    with torch.no_grad():
        network.score.bias.fill_(1.0)
        logits = network(images(100, 100))
    tent = 1 - (31.5 - 19) / 32
    assert float(logits[0, 0, 0, 0]) == pytest.approx(tent**2)
    assert float(logits[0, 0, 50, 12]) == pytest.approx(1 - 0.5 / 32)
    assert float(logits[0, 0, 50, 13]) == pytest.approx(1)


def test_scores_of_finer_stages_are_added_to_those_of_the_coarsest() -> None:
    network = FCN8s(width=1).build(3, 2).eval()
    with torch.no_grad():
        network.score.bias[0] = 1
        network.scores["16"].bias[0] = 10
        network.scores["8"].bias[0] = 100
        logits = network(images(100, 131))[0, 0, 32:-32, 32:-32]
    torch.testing.assert_close(logits, torch.full_like(logits, 111.0))


def test_the_image_is_padded_by_100() -> None:
    network = FCN32s(width=1).build(3, 2).eval()
    with torch.no_grad():
        network.score.weight.normal_(generator=torch.manual_seed(0))
        x = images(45, 38)
        first, *rest = network.stages[0]
        y = nn.Sequential(*rest)(functional.conv2d(x, first.weight, first.bias, padding=100))
        for stage in network.stages[1:]:
            y = stage(functional.max_pool2d(y, 2, ceil_mode=True))
        y = functional.max_pool2d(y, 2, ceil_mode=True)
        scores = network.score(network.fc7(network.fc6(y).relu()).relu())
        expected = network.last_up(scores)[..., 19 : 19 + 45, 19 : 19 + 38]
        torch.testing.assert_close(network(x), expected)


@pytest.mark.parametrize("kind", FCNS)
def test_the_last_upsampling_stays_bilinear_and_the_others_are_learnt(kind: Any) -> None:
    network = kind(width=1).build(3, 2)
    assert not network.last_up.weight.requires_grad
    assert all(up.weight.requires_grad for up in network.up)
    assert len(network.up) == len(network.scores) == FCNS.index(kind)


def test_dropout_is_for_training() -> None:
    network = FCN32s(width=1, dropout=0.5).build(3, 2)
    nn.init.ones_(network.score.weight)
    x = images(20, 20)
    assert not torch.equal(network.train()(x), network(x))
    assert torch.equal(network.eval()(x), network(x))


# SegNet and DeconvNet


@pytest.mark.parametrize("name", ["segnet", "deconvnet"])
def test_a_single_small_image_can_be_trained_on(name: str) -> None:
    network = NETWORKS[name](width=2).build(3, 2).train()
    logits = network(images(1, 1))
    assert logits.shape == (1, 2, 1, 1)
    assert logits.isfinite().all()


# What is refused


@pytest.mark.parametrize("kind", [*FCNS, SegNet, DeconvNet])
@pytest.mark.parametrize("width", [0, -8, 10**9])
def test_widths_that_make_no_sense_are_refused(kind: Any, width: int) -> None:
    with pytest.raises(ValueError, match=f"{kind.__name__} has a width from 1 to 1024, got width="):
        kind(width=width)


@pytest.mark.parametrize("dropout", [-0.1, 1.0, float("nan")])
def test_dropouts_that_make_no_sense_are_refused(dropout: float) -> None:
    with pytest.raises(ValueError, match=r"dropout is a share in \[0, 1\), got dropout="):
        FCN8s(dropout=dropout)


# Weights of VGG16, here of one that is narrow, as a file of torchvision has them


def torchvision_vgg16(width: int, *, norm: bool, dense: bool = True) -> dict[str, Tensor]:
    layers: list[nn.Module] = []
    channels = 3
    for maps, convolutions in zip((1, 2, 4, 8, 8), (2, 2, 3, 3, 3), strict=True):
        for _ in range(convolutions):
            layers.append(nn.Conv2d(channels, maps * width, 3, padding=1))
            layers += [nn.BatchNorm2d(maps * width)] * norm + [nn.ReLU()]
            channels = maps * width
        layers.append(nn.MaxPool2d(2))
    parts = {"features": nn.Sequential(*layers)}
    if dense:
        parts["classifier"] = nn.Sequential(
            nn.Linear(channels * 49, 64 * width),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(64 * width, 64 * width),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(64 * width, 1000),
        )
    generator = torch.manual_seed(3)
    state = nn.ModuleDict(parts).state_dict()
    return {
        name: values if "tracked" in name else torch.rand(values.shape, generator=generator)
        for name, values in state.items()
    }


def features_of(weights: dict[str, Tensor], x: Tensor) -> Tensor:
    """What the convolutions of a VGG16 without normalisation give, written out."""
    index = 0
    for convolutions in (2, 2, 3, 3, 3):
        for _ in range(convolutions):
            name = f"features.{index}"
            x = functional.conv2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], padding=1)
            x = x.relu()
            index += 2
        x = functional.max_pool2d(x, 2)
        index += 1
    return x


def through(stages: nn.ModuleList, x: Tensor) -> Tensor:
    for stage in stages:
        x = functional.max_pool2d(stage(x), 2)
    return x


def test_fcn_with_weights_of_vgg16_computes_what_that_computes() -> None:
    weights = torchvision_vgg16(2, norm=False)
    network = FCN32s(width=2).build(3, 2).eval()
    taken = put_vgg16(weights, network)
    x = images(224, 224).abs()
    with torch.no_grad():
        expected = features_of(weights, x)
        found = through(network.stages, x)
        torch.testing.assert_close(found, expected)
        dense = functional.linear(
            expected.flatten(1), weights["classifier.0.weight"], weights["classifier.0.bias"]
        )
        torch.testing.assert_close(network.fc6(found).flatten(1), dense, rtol=1e-4, atol=0)
    assert len(taken) == 2 * (13 + 2)
    assert torch.equal(network.fc7.weight.flatten(1), weights["classifier.3.weight"])


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_a_grey_image_in_all_channels_gives_the_same(channels: int) -> None:
    weights = torchvision_vgg16(1, norm=False)
    network = FCN8s(width=1).build(channels, 2).eval()
    put_vgg16(weights, network)
    grey = images(32, 32, channels=1)
    with torch.no_grad():
        found = through(network.stages, grey.expand(-1, channels, -1, -1))
        torch.testing.assert_close(found, features_of(weights, grey.expand(-1, 3, -1, -1)))


@pytest.mark.parametrize("kind", [SegNet, DeconvNet])
def test_normalisation_is_taken_where_the_file_has_it(kind: Any) -> None:
    weights = torchvision_vgg16(1, norm=True)
    network = kind(width=1).build(3, 2)
    taken = put_vgg16(weights, network)
    assert {"stages.0.1.running_var", "stages.4.7.weight"} <= {*taken}
    last = network.stages[4][7]
    assert torch.equal(last.running_mean, weights["features.41.running_mean"])
    assert torch.equal(network.stages[4][6].weight, weights["features.40.weight"])


def test_without_normalisation_in_the_file_it_stays_as_it_is() -> None:
    network = SegNet(width=1).build(3, 2)
    taken = put_vgg16(torchvision_vgg16(1, norm=False), network)
    assert len(taken) == 2 * 13
    assert torch.equal(network.stages[0][1].weight, torch.ones(1))


@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".pth"])
def test_weights_are_read_from_a_file(tmp_path: Path, suffix: str) -> None:
    weights = torchvision_vgg16(1, norm=False, dense=False)
    path = tmp_path / f"vgg16{suffix}"
    if suffix == ".safetensors":
        save_tensors(weights, path, {})
    else:
        torch.save(weights, path)
    network = FCN16s(width=1).build(3, 2)
    assert len(load_vgg16(path, network)) == 2 * 13
    assert torch.equal(network.stages[0][0].weight, weights["features.0.weight"])


class Odd:
    """What no file of weights should hold."""


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"stages": Odd()}, "is damaged, or holds more than tensors"),
        (b"no zip", "is damaged, or holds more than tensors"),
        (b"", "is damaged, or holds more than tensors"),
        ([torch.zeros(1)], "is no state dictionary"),
        ({"epoch": 3}, "is no state dictionary"),
        ({"layer1.0.weight": torch.zeros(3)}, r"and have features.0.\w+, got layer1"),
    ],
    ids=["class", "bytes", "nothing", "list", "numbers", "another network"],
)
def test_files_of_something_else_are_refused(tmp_path: Path, content: Any, message: str) -> None:
    path = tmp_path / "weights.pt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(ValueError, match=message):
        load_vgg16(path, FCN16s(width=1).build(3, 2))


def test_files_that_are_cut_off_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save(torchvision_vgg16(1, norm=False, dense=False), path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match="is damaged, or holds more than tensors"):
        load_vgg16(path, FCN16s(width=1).build(3, 2))


def test_files_that_are_not_there_or_of_another_kind_are_refused(tmp_path: Path) -> None:
    network = FCN16s(width=1).build(3, 2)
    for name in ("vgg16.pt", "vgg16.safetensors"):
        with pytest.raises(FileNotFoundError, match=f"{name} does not exist"):
            load_vgg16(tmp_path / name, network)
    with pytest.raises(ValueError, match=r"in a file \.safetensors, \.pt or \.pth, got"):
        load_vgg16(tmp_path / "vgg16.caffemodel", network)


def test_a_network_of_another_width_is_refused() -> None:
    weights = torchvision_vgg16(1, norm=False)
    with pytest.raises(ValueError, match=r"of VGG16 is \(1, .*; build it with width=64"):
        put_vgg16(weights, FCN8s(width=2).build(3, 2))


def test_weights_that_are_not_finite_are_refused() -> None:
    weights = torchvision_vgg16(1, norm=False)
    weights["features.5.bias"][0] = torch.nan
    with pytest.raises(ValueError, match=r"stages\.1\.0\.bias of VGG16 has numbers that are NaN"):
        put_vgg16(weights, FCN8s(width=1).build(3, 2))


def test_a_network_without_vgg16_is_refused() -> None:
    weights = torchvision_vgg16(1, norm=False)
    with pytest.raises(ValueError, match=r"for FCN, SegNet and DeconvNet, got \w+$"):
        put_vgg16(weights, UNet(2, (2, 2)).build(3, 2))
