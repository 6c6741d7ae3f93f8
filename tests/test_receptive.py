"""Receptive fields: by hand, as published, and against where gradients come from."""

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import medseg
from medseg.networks import NETWORKS, NetworkConfig, plan_network
from medseg.networks.receptive import ReceptiveField, output_size, receptive_field
from medseg.networks.topology import topology
from medseg.networks.tracing import seen
from medseg.networks.unet import UNet
from medseg.networks.upsampling import bed_of_nails, bilinear, max_unpooling, nearest
from medseg.networks.vgg import vgg_stages

pytestmark = pytest.mark.usefixtures("one_thread")


class Layer(nn.Module):
    """A function as a module."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        """Call the function."""
        return self.function(x)


def chain(*layers: Any) -> nn.Sequential:
    return nn.Sequential(
        *(layer if isinstance(layer, nn.Module) else Layer(layer) for layer in layers)
    )


def pooled_and_back(x: Tensor) -> Tensor:
    pooled, positions = functional.max_pool2d_with_indices(x, 2, ceil_mode=True)
    return max_unpooling(pooled, positions=positions, size=tuple(x.shape[2:]))


def ones(module: nn.Module) -> nn.Module:
    """Every path through it gives something positive."""
    for name, values in module.double().eval().named_parameters():
        values.data.fill_(0.0 if name.endswith("bias") else 1.0)
    return module


def ends_of_gradients(
    module: nn.Module, size: tuple[int, ...], axis: int, chosen: list[int]
) -> tuple[list[int], list[int]]:
    """First and last position from which a gradient comes, for some positions of the output."""
    images = torch.ones(1, 1, *size, dtype=torch.float64, requires_grad=True)
    output = module(images)
    first, last = [], []
    for position in chosen:
        total = output.select(axis + 2, position).sum()
        (gradient,) = torch.autograd.grad(total, images, retain_graph=True)
        others = [k for k in range(gradient.ndim) if k != axis + 2]
        there = np.flatnonzero(gradient.abs().sum(others).numpy())
        first.append(int(there[0]))
        last.append(int(there[-1]))
    return first, last


@cache
def small(name: str) -> tuple[NetworkConfig, ReceptiveField]:
    """A network at an eighth of its width, and what it sees, which width does not change."""
    kind = NETWORKS[name]
    config = kind(**kind.small())
    return config, receptive_field(config)


# By hand


@pytest.mark.parametrize(
    ("layer", "first", "last"),
    [
        (nn.Conv2d(1, 2, 3), range(8), range(2, 10)),
        (nn.Conv2d(1, 2, 3, padding=1), [0, *range(9)], [*range(1, 10), 9]),
        (nn.Conv2d(1, 2, 3, stride=2, dilation=2), [0, 2, 4], [4, 6, 8]),
        (nn.Conv2d(1, 2, 3, padding=1, padding_mode="reflect"), [0, *range(9)], [*range(1, 10), 9]),
        (nn.MaxPool2d(2), [0, 2, 4, 6, 8], [1, 3, 5, 7, 9]),
        (nn.AvgPool2d(3, ceil_mode=True), [0, 3, 6, 9], [2, 5, 8, 9]),
        (
            chain(nn.MaxPool2d(2), nearest),
            [0, 0, 2, 2, 4, 4, 6, 6, 8, 8],
            [1, 1, 3, 3, 5, 5, 7, 7, 9, 9],
        ),
        (chain(nn.MaxPool2d(5), nn.ConvTranspose2d(1, 1, 3, 2)), [0, 0, 0, 5, 5], [4, 4, 9, 9, 9]),
        (chain(lambda x: x[..., :3, :], bilinear), [0, 0, 0, 1, 1, 2], [0, 1, 1, 2, 2, 2]),
        (nn.Upsample(scale_factor=1.0, mode="bilinear"), range(10), range(10)),
        (pooled_and_back, [0, 0, 2, 2, 4, 4, 6, 6, 8, 8], [1, 1, 3, 3, 5, 5, 7, 7, 9, 9]),
        (lambda x: torch.cat([x[..., :-2, :], x[..., 2:, :]], 1), range(8), range(2, 10)),
        (lambda x: x[..., 1:, :] - x[..., :-1, :], range(9), range(1, 10)),
        (lambda x: x[..., 1:, :].mul(2).add_(x[..., :-1, :]), range(9), range(1, 10)),
        (lambda x: functional.pad(x, (0, 0, -3, -1)), range(3, 9), range(3, 9)),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, nn.Module) else None,
)
def test_what_single_layers_see(layer: Any, first: Any, last: Any) -> None:
    module = layer if isinstance(layer, nn.Module) else Layer(layer)
    found = seen(module, (10, 7), 0)
    assert found[0].tolist() == list(first)
    assert found[1].tolist() == list(last)


def test_nails_alone_see_something() -> None:
    first, last = seen(chain(bed_of_nails, nn.Conv2d(1, 1, 2)), (4, 4), 1)
    assert first.tolist() == [0, 1, 1, 2, 2, 3, 3]
    assert last.tolist() == [0, 1, 1, 2, 2, 3, 3]


# As published


def test_stages_of_vgg_see_what_is_published() -> None:
    stages = vgg_stages(1, 1, norm=False)
    fc6 = nn.Conv2d(8, 1, 7)
    layers: list[nn.Module] = []
    found = []
    for layer in (*stages, fc6):
        layers.append(layer)
        if layer is not fc6:
            layers.append(nn.MaxPool2d(2))
        first, last = seen(nn.Sequential(*layers), (1024, 224), 0)
        middle = len(first) // 2
        found.append((last[middle] - first[middle] + 1, first[middle + 1] - first[middle]))
    assert found[2:] == [(44, 8), (100, 16), (212, 32), (404, 32)]


@pytest.mark.parametrize(
    ("name", "largest"),
    [
        ("fcn-32s", 436),
        ("fcn-16s", 468),
        ("fcn-8s", 468),
        ("segnet", 404),
        ("deconvnet", 788),
        ("pixel-classifier", 95),
        ("unet-2015", 204),
        ("unet-3d", 100),
    ],
)
def test_networks_see_what_is_published(name: str, largest: int) -> None:
    _, found = small(name)
    assert {sizes[-1] for sizes in found.sizes} == {largest}


def test_a_quarter_of_the_phases_of_the_unet_see_188_pixels() -> None:
    _, found = small("unet-2015")
    before, after = np.array(found.before[0]), np.array(found.after[0])
    assert sorted((before + after + 1).tolist()) == [188] * 4 + [204] * 12
    assert max(before.max(), after.max()) == 107


def test_half_of_the_phases_of_the_unet_in_3d_see_92_voxels() -> None:
    _, found = small("unet-3d")
    sizes = np.array(found.before[2]) + np.array(found.after[2]) + 1
    assert sorted(sizes.tolist()) == [92] * 4 + [100] * 4


def test_v_net_sees_at_most_what_its_strides_and_kernels_add_up_to() -> None:
    # The published 551 adds (kernel - 1) * stride for the transposed convolutions too. These
    # have a stride as large as their kernel, so an output voxel sees one voxel of their input.
    _, found = small("vnet")
    assert found.sizes == ((532, 548),) * 3


@pytest.mark.parametrize("name", ["fcn-32s", "fcn-16s", "fcn-8s"])
def test_fcn_looks_as_far_ahead_as_back(name: str) -> None:
    _, found = small(name)
    for before, after in zip(found.before, found.after, strict=True):
        assert max(before) == max(after)


# Against where gradients come from


@pytest.mark.parametrize(
    ("name", "length", "fields"),
    [
        ("fcn-32s", 480, {"width": 1}),
        ("fcn-8s", 500, {"width": 1}),
        ("unet-2015", 256, {"features": (2, 2, 2, 2, 2)}),
        ("pixel-classifier", 120, {"width": 1, "hidden": 1}),
    ],
)
def test_gradients_come_from_what_is_seen(
    name: str, length: int, fields: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = NETWORKS[name](**fields)
    module = ones(config.build(1, 1))
    size = (length, config.smallest[1] + 2 * config.margin[1])
    first, last = seen(module, size, 0)
    chosen = [len(first) // 2 + k for k in (0, 3, 7, 8)]
    # A maximum has one gradient, but depends on all.
    monkeypatch.setattr(functional, "max_pool2d", all_of_pool)
    found = ends_of_gradients(module, size, 0, chosen)
    assert found == (first[chosen].tolist(), last[chosen].tolist())


@pytest.mark.parametrize(("name", "stride"), [("fcn-16s", 16), ("fcn-8s", 16), ("fcn-8s", 8)])
def test_scores_of_a_finer_stage_alone_look_as_far_ahead_as_back(
    name: str, stride: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = ones(NETWORKS[name](width=1).build(1, 1))
    module.score.weight.data.zero_()
    for key, score in module.scores.items():
        score.weight.data.fill_(float(key == str(stride)))
    monkeypatch.setattr(functional, "max_pool2d", all_of_pool)
    chosen = [160 + k for k in range(stride)]
    first, last = map(np.array, ends_of_gradients(module, (384, 32), 0, chosen))
    assert max(chosen - first) == max(last - chosen)


def all_of_pool(x: Tensor, kernel: int, *_: Any, dilation: int = 1, **named: Any) -> Tensor:
    weights = torch.ones(x.shape[1], 1, kernel, kernel, dtype=x.dtype)
    stride = named.get("stride", kernel)
    if named.get("ceil_mode"):
        x = functional.pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2))
    return functional.conv2d(x, weights, stride=stride, dilation=dilation, groups=x.shape[1])


# What is asked in odd ways


@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "monai"])
def test_every_network_of_our_own_can_be_asked(name: str) -> None:
    config, found = small(name)
    assert len(found.sizes) == config.ndim
    for before, after, phases in zip(found.before, found.after, config.multiple, strict=True):
        assert len(before) == len(after) == phases
        assert min(before) >= 0
        assert min(after) >= 0


def test_kernels_of_one_see_a_single_slice() -> None:
    config = UNet(3, (2, 2), ((1, 3, 3),) * 2, ((1, 1, 1), (1, 2, 2)))
    assert receptive_field(config).sizes == ((1,), (15,), (15,))


def test_weights_of_networks_too_large_for_memory_are_never_made() -> None:
    assert (
        receptive_field(UNet(2, (2**20, 2**20))).sizes[0]
        == receptive_field(UNet(2, (2, 2))).sizes[0]
    )


def test_attention_is_refused() -> None:
    def attention(x: Tensor) -> Tensor:
        voxels = x.flatten(2)
        return (torch.softmax(voxels.mT @ voxels, 1) @ voxels.mT).mT.reshape(x.shape)

    with pytest.raises(ValueError, match=r"not known where a network uses matmul of torch"):
        seen(Layer(attention), (4, 4), 0)


@pytest.mark.parametrize("name", ["SegResNet", "DynUNet", "BasicUNet"])
def test_convolutional_networks_of_monai_can_be_asked(name: str) -> None:
    shape = topology((1.0, 1.0), (64, 64), width=8, levels=3)
    sizes = receptive_field(plan_network(f"monai:{name}", shape, {})).sizes
    assert 16 < sizes[0][0] == sizes[1][0]


def test_output_sizes() -> None:
    assert output_size(NETWORKS["unet-2015"](), (572, 572)) == (388, 388)
    assert output_size(NETWORKS["unet-3d"](), (132, 132, 116)) == (44, 44, 28)
    assert medseg.output_size(NETWORKS["fcn-8s"](), (375, 500)) == (375, 500)


@pytest.mark.parametrize(
    ("size", "message"),
    [((94, 120), r"takes \(95, 95\) voxels or more, got"), ((99, 99, 99), "takes 2 axes, got")],
)
def test_inputs_that_give_no_output_are_refused(size: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        output_size(NETWORKS["pixel-classifier"](), size)
