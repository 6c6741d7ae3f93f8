"""The V-Net: sizes, parameters and receptive fields are those of the paper."""

import pytest
import torch
from test_unets import built, on_meta, weighed
from torch import nn

from medseg.networks.vnet import VNet

pytestmark = pytest.mark.usefixtures("one_thread")


def test_a_vnet_weighs_what_its_stages_do() -> None:
    assert weighed(on_meta(VNet(), 1, 2)) == 65_175_314


def test_a_vnet_takes_the_volumes_of_its_paper() -> None:
    network = on_meta(VNet(), 1, 2)
    assert network(torch.empty(1, 1, 128, 128, 64, device="meta")).shape == (1, 2, 128, 128, 64)
    stages = [stage.convolutions[-1].out_channels for stage in network.decoder]
    assert stages == [256, 128, 64, 32]
    depths = [
        sum(isinstance(layer, nn.Conv3d) for layer in stage.convolutions)
        for stage in (*network.encoder, *network.decoder)
    ]
    assert depths == [1, 2, 3, 3, 3, 3, 3, 2, 1]


def test_the_stages_of_the_vnet_see_what_the_table_of_its_paper_says() -> None:
    network = on_meta(VNet(), 1, 2)
    field, step, fields = 1, 1.0, []
    parts = [network.encoder[0]]
    for down, stage in zip(network.down, network.encoder[1:], strict=True):
        parts += [down, stage]
    for up, stage in zip(network.up, network.decoder, strict=True):
        parts += [up, stage]
    for part in parts:
        for layer in part.modules():
            if isinstance(layer, nn.ConvTranspose3d):
                step /= layer.stride[0]
            if isinstance(layer, nn.Conv3d | nn.ConvTranspose3d):
                field += int((layer.kernel_size[0] - 1) * step)
            if isinstance(layer, nn.Conv3d):
                step *= layer.stride[0]
        if part not in network.down and part not in network.up:
            fields.append(field)
    assert fields == [5, 22, 72, 172, 372, 476, 528, 546, 551]


def test_a_stage_of_the_vnet_adds_what_went_in_before_it_rectifies() -> None:
    network = built(VNet(features=(5, 4), convolutions=(2, 1)), channels=2)
    stage = network.encoder[0]
    with torch.no_grad():
        for layer in stage.convolutions.parameters():
            layer.zero_()
    x = torch.randn(1, 2, 3, 4, 5, generator=torch.manual_seed(0))
    found = stage(x)
    assert found.shape == (1, 5, 3, 4, 5)
    wanted = torch.where(x > 0, x, 0.25 * x)
    torch.testing.assert_close(found, wanted[:, [0, 1, 0, 1, 0]])


def test_a_vnet_takes_more_channels_than_its_first_stage_is_wide() -> None:
    network = built(VNet(features=(2, 4), convolutions=(1, 1)), channels=3)
    assert network(torch.zeros(1, 3, 4, 4, 4)).shape == (1, 2, 4, 4, 4)


@pytest.mark.parametrize(
    ("features", "convolutions", "message"),
    [
        ((4, 8), (1,), "each with a width and a number of convolutions"),
        ((), (), "1 to 10 stages"),
        ((4,), (0,), "1 to 64 convolutions"),
        ((0,), (1,), "at least one feature"),
    ],
)
def test_what_makes_no_sense_is_refused(
    features: tuple[int, ...], convolutions: tuple[int, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        VNet(features, convolutions)
