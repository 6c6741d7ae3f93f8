"""The residual-encoder U-Net: nnU-Net's parameters, and how a block begins."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from medseg.networks.normalisation import InstanceNormReLU
from medseg.networks.residual_unet import ResidualUNet

pytestmark = pytest.mark.usefixtures("one_thread")

THICK = {
    "kernels": ((1, 3, 3),) * 2 + ((3, 3, 3),) * 3,
    "strides": ((1, 1, 1), (1, 2, 2), (2, 2, 2), (2, 2, 2), (1, 2, 2)),
}


# Parameters that ResidualEncoderUNet of dynamic_network_architectures 0.4.4 has at these settings.
@pytest.mark.parametrize(
    ("fields", "channels", "classes", "published"),
    [
        ({"features": (32, 64, 128, 256, 320, 320)}, 1, 2, 102_349_770),
        ({"features": (32, 64, 128, 256)}, 1, 3, 25_895_593),
        ({"ndim": 2, "features": (32, 64, 128, 256, 512, 512, 512)}, 3, 4, 105_920_408),
        ({"features": (32, 64, 128, 256, 320), **THICK}, 2, 5, 61_848_532),
    ],
    ids=["3d", "hippocampus", "2d", "thick slices"],
)
def test_parameters_are_those_of_nnunet_but_for_what_it_never_uses(
    fields: dict[str, Any], channels: int, classes: int, published: int
) -> None:
    config = ResidualUNet(**fields, deep_supervision=True)
    with torch.device("meta"):
        network = config.build(channels, classes)
    # A bias before a normalisation, and a head of the coarsest level, whose loss weighs 0.
    normalised = [
        layers[0].out_channels
        for layers in network.modules()
        if isinstance(layers, nn.Sequential)
        and len(layers) == 2
        and isinstance(layers[1], InstanceNormReLU)
        and max(layers[0].kernel_size) > 1
    ]
    blocks, levels = sum(config.blocks), len(config.features)
    assert len(normalised) == 1 + 2 * blocks + levels - 1
    coarsest_head = (config.features[-2] + 1) * classes
    counted = sum(p.numel() for p in network.parameters())
    assert counted + sum(normalised) + coarsest_head == published


def test_levels_have_one_three_four_and_then_six_blocks() -> None:
    assert ResidualUNet(features=(2,) * 6).blocks == (1, 3, 4, 6, 6, 6)
    assert ResidualUNet(features=(2, 4)).blocks == (1, 3)


@pytest.mark.parametrize("ndim", [2, 3])
def test_a_new_block_passes_on_what_it_gets_rectified(ndim: int) -> None:
    network = ResidualUNet(ndim, (4,), blocks=(3,)).build(1, 2)
    stem, blocks = network.encoder[0]
    x = stem(torch.randn(1, 1, *(6,) * ndim, generator=torch.manual_seed(0)))
    expected = x
    for _ in range(3):
        expected = functional.leaky_relu(expected, 0.01)
    torch.testing.assert_close(blocks(x), expected)


def test_past_a_block_goes_the_mean_over_its_stride() -> None:
    network = ResidualUNet(2, (4, 4), blocks=(1, 1)).build(1, 2)
    x = torch.randn(1, 4, 6, 6, generator=torch.manual_seed(0))
    pooled = x.reshape(1, 4, 3, 2, 3, 2).mean((3, 5))
    torch.testing.assert_close(network.encoder[1](x), functional.leaky_relu(pooled, 0.01))


def test_a_block_adds_two_convolutions_to_what_goes_past() -> None:
    torch.manual_seed(0)
    network = ResidualUNet(2, (3, 5), strides=(1, (2, 1)), blocks=(1, 1)).build(1, 2)
    block = network.encoder[1][0]
    for values in block.parameters():
        nn.init.normal_(values)
    (first, a), (second, b), (_, change, c) = block.first, block.second, block.past
    x = torch.randn(1, 3, 8, 6)

    def normed(y: Tensor, layer: InstanceNormReLU) -> Tensor:
        return functional.instance_norm(y, weight=layer.weight, bias=layer.bias)

    y = functional.conv2d(x, first.weight, stride=(2, 1), padding=1)
    y = functional.conv2d(functional.leaky_relu(normed(y, a), 0.01), second.weight, padding=1)
    past = functional.conv2d((x[:, :, ::2] + x[:, :, 1::2]) / 2, change.weight)
    expected = functional.leaky_relu(normed(y, b) + normed(past, c), 0.01)
    torch.testing.assert_close(block(x), expected, atol=1e-4, rtol=1e-4)


def test_normalisation_without_a_rectifier_is_torchs_forward_and_backward() -> None:
    generator = torch.manual_seed(0)
    values, slopes = (torch.randn(2, 3, 5, 7, generator=generator) for _ in range(2))
    layer = InstanceNormReLU(3, slope=1)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([-2.0, 0.5, 3.0]))
        layer.bias.copy_(torch.tensor([1.0, -1.0, 0.0]))
    results = []
    for function in (
        layer,
        lambda x: functional.instance_norm(x, weight=layer.weight, bias=layer.bias),
    ):
        x = values.clone().requires_grad_()
        layer.zero_grad()
        function(x).backward(slopes)
        results.append((function(x), x.grad, layer.weight.grad.clone(), layer.bias.grad.clone()))
    torch.testing.assert_close(results[0], results[1], atol=1e-4, rtol=1e-4)


def test_deep_supervision_gives_all_but_the_two_coarsest_in_training() -> None:
    network = ResidualUNet(2, (2,) * 4, deep_supervision=True).build(1, 3)
    outputs = network.train()(torch.zeros(1, 1, 16, 16))
    assert [level.shape[-1] for level in outputs] == [16, 8]
    assert network.eval()(torch.zeros(1, 1, 16, 16)).shape == (1, 3, 16, 16)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"features": (4, 8), "blocks": (1,)}, "2 levels need as many numbers of blocks"),
        ({"features": (4, 8), "blocks": (1, 0)}, "numbers of blocks, 1 to 64"),
        ({"features": (4, 8), "kernels": (3,)}, "2 levels need as many kernels"),
        ({"ndim": 4}, "2 or 3 axes, got ndim=4"),
    ],
    ids=["few", "none", "kernels", "axes"],
)
def test_what_makes_no_sense_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ResidualUNet(**fields)
