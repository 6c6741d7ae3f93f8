"""The contract of networks, the U-Net's options, and the topology against nnU-Net's own."""

import json
import subprocess
import sys
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from medseg.networks import (
    NETWORKS,
    NetworkConfig,
    network_from_json,
    network_to_json,
    plan_network,
)
from medseg.networks.from_monai import MonaiNetwork
from medseg.networks.normalisation import InstanceNormReLU
from medseg.networks.topology import Topology, topology
from medseg.networks.unet import UNet

pytestmark = pytest.mark.usefixtures("one_thread")

# A config for each network and number of axes: the contract holds for all of them.
NAMES = (*(name for name in NETWORKS if name != "monai"), "monai:SegResNet", "monai:DynUNet")
KINDS = [(name, ndim) for name in NAMES for ndim in NETWORKS[name.partition(":")[0]].ndims]
ODD = {2: [(7, 9), (1, 1)], 3: [(5, 7, 3), (1, 1, 1)]}
CHANNELS, CLASSES = 2, 3


def planned(name: str, ndim: int, **settings: Any) -> NetworkConfig:
    """At the smallest patch of three levels and an eighth of the default width."""
    shape = topology((1.0,) * ndim, (16,) * ndim, width=2, levels=3)
    small = NETWORKS.pick(name.partition(":")[0]).small()
    return plan_network(name, shape, {**small, **settings})


def built(config: NetworkConfig) -> torch.nn.Module:
    torch.manual_seed(0)
    return config.build(CHANNELS, CLASSES)


def some_input(size: tuple[int, ...], samples: int = 1) -> Tensor:
    return torch.randn(samples, CHANNELS, *size, generator=torch.manual_seed(1))


def input_for(config: NetworkConfig, size: tuple[int, ...], samples: int = 1) -> Tensor:
    """What the network needs to give logits of a size."""
    return some_input(
        tuple(n + 2 * margin for n, margin in zip(size, config.margin, strict=True)), samples
    )


# Contract


@pytest.fixture(params=KINDS, ids=lambda kind: f"{kind[0]}-{kind[1]}d")
def kind(request: pytest.FixtureRequest) -> tuple[str, int]:
    name, ndim = request.param
    return str(name), int(ndim)


@pytest.fixture
def config(kind: tuple[str, int]) -> NetworkConfig:
    return planned(*kind)


def test_a_config_says_what_it_was_planned_for(
    kind: tuple[str, int], config: NetworkConfig
) -> None:
    assert config.ndim == kind[1]
    for facts in (config.multiple, config.remainder, config.smallest, config.margin):
        assert len(facts) == config.ndim
    assert min(config.multiple) >= 1
    assert all(0 <= r < m for r, m in zip(config.remainder, config.multiple, strict=True))
    for least, m, r in zip(config.smallest, config.multiple, config.remainder, strict=True):
        assert least > 0
        assert least % m == r


def test_logits_have_the_size_of_the_input_without_its_margin(config: NetworkConfig) -> None:
    network = built(config).eval()
    with torch.inference_mode():
        for size in (config.smallest, *ODD[config.ndim]):
            assert network(input_for(config, size)).shape == (1, CLASSES, *size)


def test_gradients_reach_every_parameter_that_is_trained(config: NetworkConfig) -> None:
    network = built(config).train()
    with torch.no_grad():
        for parameter in network.parameters():
            if not parameter.any():  # behind a layer that begins as 0 there are no gradients
                parameter.normal_(std=0.1)
    output = network(input_for(config, config.smallest, samples=2))
    levels = output if isinstance(output, list) else [output]
    sum(functional.cross_entropy(y, y.argmin(1)) for y in levels).backward()
    trained = {name: p for name, p in network.named_parameters() if p.requires_grad}
    assert trained
    for name, values in trained.items():
        assert values.grad is not None, name
        assert values.grad.isfinite().all(), name
        assert values.grad.any(), name


def test_weights_make_it_the_same_again(config: NetworkConfig) -> None:
    first = built(config).eval()
    second = config.build(CHANNELS, CLASSES).eval()
    second.load_state_dict(first.state_dict())
    images = input_for(config, config.smallest)
    with torch.inference_mode():
        assert torch.equal(first(images), second(images))


def test_json_gives_an_equal_config(config: NetworkConfig) -> None:
    content = json.loads(json.dumps(network_to_json(config)))
    assert network_from_json(content) == config


def test_same_seed_gives_the_same_weights(config: NetworkConfig) -> None:
    first, second = (built(config).state_dict() for _ in range(2))
    torch.testing.assert_close(first, second, rtol=0, atol=0)


def test_what_one_sample_gives_does_not_depend_on_the_others(config: NetworkConfig) -> None:
    network = built(config).eval()
    images = input_for(config, config.smallest, samples=2)
    with torch.inference_mode():
        together, alone = network(images)[1:], network(images[1:])
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)


def test_the_input_stays_as_it_is(config: NetworkConfig) -> None:
    network = built(config).eval()
    images = input_for(config, config.smallest)
    before = images.clone()
    with torch.inference_mode():
        network(images)
    assert torch.equal(images, before)


@pytest.mark.parametrize(("name", "ndim"), sorted({*product(NAMES, (2, 3))} - {*KINDS}))
def test_axes_that_it_does_not_take_are_refused(name: str, ndim: int) -> None:
    with pytest.raises(ValueError, match=f"network {name} takes {5 - ndim} axes, got a patch"):
        planned(name, ndim)


@pytest.mark.cuda
def test_cuda_gives_what_the_cpu_gives(config: NetworkConfig) -> None:
    network = built(config).eval()
    images = input_for(config, config.smallest)
    with torch.inference_mode():
        on_cpu = network(images)
        on_cuda = network.cuda()(images.cuda()).cpu()
    torch.testing.assert_close(on_cuda, on_cpu, atol=1e-2, rtol=1e-2)


def test_parameters_that_it_has_not_are_refused(kind: tuple[str, int]) -> None:
    with pytest.raises(ValueError, match=f"network {kind[0]} has no parameter colour"):
        planned(*kind, colour="red")


def test_names_are_listed_without_torch_and_networks_built_without_its_compiler() -> None:
    code = """
import sys, medseg
list(medseg.NETWORKS)
assert "torch" not in sys.modules
import torch
from medseg.networks.hollow import hollow
network = medseg.NETWORKS["unet"](3, (4, 8))
real, empty = network.build(2, 3).parameters(), hollow(network, 2, 3).parameters()
assert [(w.shape, w.device.type) for w in empty] == [(w.shape, "meta") for w in real]
assert "torch._dynamo" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_network_by_another_name_is_refused() -> None:
    with pytest.raises(ValueError, match="no network is called 'unte'; did you mean 'unet'"):
        planned("unte", 3)


# MONAI


def test_networks_of_monai_are_built_from_their_own_parameters() -> None:
    config = MonaiNetwork("BasicUNet", 2, (16, 16), {"features": [4, 4, 4, 4, 4, 4]})
    assert sum(p.numel() for p in built(config).parameters()) < 10_000


def test_a_network_that_monai_has_not_is_refused_with_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"no network of MONAI is called 'UNETRR'; did you mean"):
        planned("monai:UNETRR", 3)


def test_a_parameter_that_the_class_has_not_is_refused() -> None:
    with pytest.raises(ValueError, match="monai:BasicUNet has no parameter width"):
        built(MonaiNetwork("BasicUNet", 3, (), {"width": 4}))


def test_deep_supervision_of_dynunet_comes_as_a_list_in_training() -> None:
    config = planned("monai:DynUNet", 3)
    deep = {**config.parameters, "deep_supervision": True, "deep_supr_num": 1}
    network = built(MonaiNetwork("DynUNet", 3, config.multiple, deep))
    outputs = network.train()(some_input((9, 8, 7)))
    assert [y.shape for y in outputs] == [(1, CLASSES, 9, 8, 7)] * 2
    assert network.eval()(some_input((9, 8, 7))).shape == (1, CLASSES, 9, 8, 7)


# The U-Net


@pytest.mark.parametrize("depth", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("ndim", [2, 3])
def test_a_unet_of_any_depth_takes_any_size(ndim: int, depth: int) -> None:
    network = built(UNet(ndim, (2,) * depth)).eval()
    with torch.inference_mode():
        for size in ((16,) * ndim, *ODD[ndim]):
            assert network(some_input(size)).shape == (1, CLASSES, *size)


@pytest.mark.parametrize(
    ("kernels", "strides"),
    [
        (((1, 3, 3), (1, 3, 3), (3, 3, 3)), ((1, 1, 1), (1, 2, 2), (2, 2, 2))),
        (((3, 3, 1), (3, 3, 3), (3, 3, 3)), ((1, 1, 1), (2, 2, 1), (2, 2, 1))),
        ((5, 3, 1), (1, 3, 2)),
    ],
    ids=["first", "last", "numbers"],
)
def test_anisotropic_kernels_and_strides_keep_the_size(kernels: Any, strides: Any) -> None:
    network = built(UNet(3, (2, 2, 2), kernels, strides)).eval()
    with torch.inference_mode():
        assert network(some_input((5, 11, 13))).shape == (1, CLASSES, 5, 11, 13)


def test_kernels_of_one_never_mix_slices() -> None:
    config = UNet(3, (2, 2), ((1, 3, 3),) * 2, ((1, 1, 1), (1, 2, 2)))
    network = built(config).eval()
    for module in network.modules():
        if isinstance(module, torch.nn.Conv3d | torch.nn.ConvTranspose3d):
            assert module.kernel_size[0] == 1


@pytest.mark.parametrize("depth", [3, 4, 5])
def test_deep_supervision_gives_all_but_the_two_coarsest_in_training(depth: int) -> None:
    network = built(UNet(3, (2,) * depth, deep_supervision=True))
    outputs = network.train()(some_input((13, 16, 32)))
    levels = [outputs] if isinstance(outputs, Tensor) else outputs
    assert levels[0].shape == (1, CLASSES, 13, 16, 32)
    assert [level.shape[-1] for level in levels] == [32, 16, 8][: depth - 2]


def test_deep_supervision_gives_the_finest_alone_in_evaluation() -> None:
    network = built(UNet(3, (2, 2, 2, 2), deep_supervision=True))
    images = some_input((8, 8, 8))
    finest = network.train()(images)[0]
    torch.testing.assert_close(network.eval()(images), finest)


def test_what_a_small_unet_weighs() -> None:
    network = UNet(2, (4, 8)).build(1, 2)
    first = (1 * 4 + 4 * 4) * 9 + 2 * 2 * 4
    second = (4 * 8 + 8 * 8) * 9 + 2 * 2 * 8
    up, across = 8 * 4 * 4 + 4, (8 * 4 + 4 * 4) * 9 + 2 * 2 * 4
    head = 4 * 2 + 2
    total = sum(p.numel() for p in network.parameters())
    assert total == first + second + up + across + head


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"ndim": 4}, "2 or 3 axes, got ndim=4"),
        ({"features": ()}, "at least one level"),
        ({"features": (4, 0)}, "at least one level, feature and convolution"),
        ({"convolutions": 0}, "at least one level, feature and convolution"),
        ({"features": (4, 8), "kernels": (3,)}, "2 levels need as many kernels"),
        ({"features": (4, 8), "strides": ((1, 1), (2, 2))}, "strides have 3 positive numbers"),
        ({"features": (4,), "kernels": ((0, 3, 3),)}, "kernels have 3 positive numbers"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_a_unet_that_makes_no_sense_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        UNet(**fields)


# Normalisation and rectifier in one


def obvious(x: Tensor, layer: InstanceNormReLU) -> Tensor:
    """The same by torch's own functions."""
    normed = functional.instance_norm(x, weight=layer.weight, bias=layer.bias, eps=1e-5)
    return functional.leaky_relu(normed, 0.01)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("layout", ["first", "last"])
@pytest.mark.parametrize(
    "shape",
    [(2, 3, 5, 7), (1, 4, 160, 120), (2, 5, 3, 4, 6), (2, 8, 16, 20, 24), (1, 1, 2, 1, 1)],
    ids=str,
)
def test_norm_and_rectifier_equal_torch_forward_and_backward(
    shape: tuple[int, ...], layout: str, threads: int
) -> None:
    torch.set_num_threads(threads)
    generator = torch.manual_seed(0)
    values, slopes = (torch.randn(shape, generator=generator) for _ in range(2))
    values = 3 * values + 2
    if layout == "last":
        last = torch.channels_last if len(shape) == 4 else torch.channels_last_3d
        values = values.to(memory_format=last)
    layer = InstanceNormReLU(shape[1])
    with torch.no_grad():
        layer.weight.copy_(torch.randn(shape[1], generator=generator))
        layer.bias.copy_(torch.randn(shape[1], generator=generator))
    results = []
    for function in (layer, lambda x: obvious(x, layer)):
        x = values.clone().requires_grad_()
        layer.zero_grad()
        y = function(x)
        y.backward(slopes)
        results.append((y.detach(), x.grad, layer.weight.grad.clone(), layer.bias.grad.clone()))
    for found, wanted in zip(*results, strict=True):
        scale = float(wanted.abs().max())
        torch.testing.assert_close(found, wanted, atol=1e-4 * max(scale, 1), rtol=1e-3)


@pytest.mark.parametrize("shape", [(2, 8, 16, 20, 24), (2, 3, 5, 7)], ids=str)
def test_bfloat16_is_float32_rounded_at_both_ends(shape: tuple[int, ...]) -> None:
    generator = torch.manual_seed(0)
    values, slopes = (torch.randn(shape, generator=generator).bfloat16() for _ in range(2))
    layer = InstanceNormReLU(shape[1])
    with torch.no_grad():
        layer.weight.copy_(torch.randn(shape[1], generator=generator))
        layer.bias.copy_(torch.randn(shape[1], generator=generator))
    results = []
    for dtype in (torch.bfloat16, torch.float32):
        x = values.to(dtype, copy=True).requires_grad_()
        layer.zero_grad()
        y = layer(x)
        y.backward(slopes.to(dtype))
        results.append((y.detach(), x.grad, layer.weight.grad.clone(), layer.bias.grad.clone()))
    (y, dx, *of_parameters), (wanted_y, wanted_dx, *wanted) = results
    assert torch.equal(y, wanted_y.bfloat16())
    assert torch.equal(dx, wanted_dx.bfloat16())
    torch.testing.assert_close(of_parameters, wanted)


def test_the_slope_below_zero_is_a_hundredth() -> None:
    x = torch.tensor([[[[-1.0, 1.0]]]])
    y = InstanceNormReLU(1)(x).flatten().tolist()
    assert y == pytest.approx([-0.01, 1.0], abs=1e-4)


def test_a_large_offset_does_not_spoil_the_variance() -> None:
    noise = torch.randn(1, 2, 12, 12, 12, generator=torch.manual_seed(0))
    layer = InstanceNormReLU(2)
    torch.testing.assert_close(layer(noise + 30), layer(noise), atol=1e-3, rtol=1e-3)


def test_a_constant_channel_stays_finite() -> None:
    x = torch.full((1, 2, 4, 4, 4), 3.0, requires_grad=True)
    y = InstanceNormReLU(2)(x)
    y.sum().backward()
    assert y.isfinite().all()
    assert x.grad.isfinite().all()


def test_the_input_is_left_alone() -> None:
    x = torch.randn(1, 2, 4, 4, generator=torch.manual_seed(0))
    before = x.clone()
    InstanceNormReLU(2)(x)
    assert torch.equal(x, before)


def test_threads_do_not_change_what_is_learnt() -> None:
    x = torch.randn(1, 4, 32, 32, 32, generator=torch.manual_seed(0))
    results = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        results.append(InstanceNormReLU(4)(x))
    torch.testing.assert_close(*results, atol=1e-5, rtol=1e-5)


# Topology; the expected values are those of nnU-Net 2.8.1 run on the same fingerprints


def test_topology_of_hippocampus() -> None:
    found = topology((1, 1, 1), (40, 56, 40), width=32, levels=99)
    assert found.features == (32, 64, 128, 256)
    assert found.strides == ((1, 1, 1), (2, 2, 2), (2, 2, 2), (2, 2, 2))
    assert found.kernels == ((3, 3, 3),) * 4
    assert found.multiple == (8, 8, 8)


def test_topology_of_brain_tumours() -> None:
    found = topology((1, 1, 1), (128, 128, 128), width=32, levels=99)
    assert found.features == (32, 64, 128, 256, 320, 320)
    assert found.multiple == (32, 32, 32)


def test_topology_of_a_stack_of_thick_slices() -> None:
    found = topology((50, 4, 4), (16, 320, 320), width=32, levels=99)
    assert found.kernels == ((1, 3, 3),) * 3 + ((3, 3, 3),) * 4
    assert found.strides == (
        *((1, 1, 1), (1, 2, 2), (1, 2, 2), (1, 2, 2)),
        *((2, 2, 2), (2, 2, 2), (1, 2, 2)),
    )


def test_topology_of_hippocampus_in_slices() -> None:
    found = topology((1, 1), (56, 40), width=32, levels=99)
    assert found == Topology(((3, 3),) * 4, ((1, 1), *((2, 2),) * 3), (32, 64, 128, 256))


def test_levels_are_a_limit() -> None:
    found = topology((1, 1, 1), (128, 128, 128), width=8, levels=3)
    assert found.features == (8, 16, 32)


def test_a_patch_too_small_to_halve_has_one_level() -> None:
    found = topology((1, 1), (7, 5), width=8, levels=5)
    assert (found.features, found.multiple) == ((8,), (1, 1))


def test_a_short_axis_is_left_alone_while_others_are_halved() -> None:
    found = topology((1, 1, 1), (4, 32, 32), width=8, levels=99)
    assert found.multiple == (1, 8, 8)
