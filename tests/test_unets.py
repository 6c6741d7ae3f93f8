"""The first U-Nets: sizes, parameters and receptive fields are those of the papers."""

from collections import Counter
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from medseg.networks.config import NetworkConfig
from medseg.networks.cropping import CroppingConfig
from medseg.networks.unet_3d import UNet3D
from medseg.networks.unet_2015 import UNet2015
from medseg.networks.vnet import VNet
from medseg.tiling import sweep

pytestmark = pytest.mark.usefixtures("one_thread")
NARROW = {
    2: UNet2015(features=(2, 2, 2, 2, 2), padding="same", dropout=0.0),
    3: UNet3D(features=(2, 2, 2, 2), padding="same"),
}


def on_meta(config: NetworkConfig, channels: int, classes: int) -> nn.Module:
    """The network without its numbers, however many these are."""
    with torch.device("meta"):
        return config.build(channels, classes)


def built(config: NetworkConfig, channels: int = 1, classes: int = 2) -> nn.Module:
    torch.manual_seed(0)
    return config.build(channels, classes).eval()


def weighed(module: nn.Module, *without: type[nn.Module]) -> int:
    """Number of parameters."""
    kept = (part for part in module.modules() if not isinstance(part, without))
    return sum(p.numel() for part in kept for p in part.parameters(recurse=False))


# Parameters


@pytest.mark.parametrize(
    ("config", "channels", "classes", "parameters"),
    [
        (UNet2015(), 1, 2, 31_030_658),
        (UNet2015(padding="same"), 1, 2, 31_030_658),
        (UNet2015(), 1, 1, 31_030_593),
        (UNet2015(), 3, 2, 31_031_810),
        (UNet2015(features=(32, 64, 128, 256, 512)), 1, 2, 7_759_554),
        (UNet3D(), 3, 3, 19_074_627),
        (UNet3D(padding="same"), 1, 2, 19_072_834),
    ],
    ids=str,
)
def test_parameters_are_as_many_as_published(
    config: NetworkConfig, channels: int, classes: int, parameters: int
) -> None:
    assert weighed(on_meta(config, channels, classes)) == parameters


def test_the_3d_unet_weighs_what_its_paper_says_which_leaves_out_the_normalisations() -> None:
    assert weighed(on_meta(UNet3D(), 3, 3), nn.BatchNorm3d) == 19_069_955


def test_what_each_level_of_the_unet_weighs() -> None:
    network = on_meta(UNet2015(), 1, 2)
    encoder = [640 + 36_928, 73_856 + 147_584, 295_168 + 590_080, 1_180_160 + 2_359_808]
    assert [weighed(level) for level in network.encoder] == [*encoder, 4_719_616 + 9_438_208]
    assert [weighed(up) for up in network.up] == [2_097_664, 524_544, 131_200, 32_832]
    decoder = [4_719_104 + 2_359_808, 1_179_904 + 590_080, 295_040 + 147_584, 73_792 + 36_928]
    assert [weighed(level) for level in network.decoder] == decoder
    assert weighed(network.head) == 130


# Sizes


@pytest.mark.parametrize(
    ("seen", "given"),
    [(572, 388), (188, 4), (204, 20), (508, 324), (540, 356), (556, 372), (588, 404)],
)
def test_the_unet_gives_logits_for_the_middle(seen: int, given: int) -> None:
    network = on_meta(UNet2015(), 1, 2)
    logits = network(torch.empty(1, 1, seen, 188, device="meta"))
    assert logits.shape == (1, 2, given, 4)
    assert UNet2015().fitted((given, 4)) == (given, 4), "a legal size, which needs no padding"


def test_the_3d_unet_gives_logits_for_the_middle() -> None:
    network = on_meta(UNet3D(), 3, 3)
    assert network(torch.empty(1, 3, 132, 132, 116, device="meta")).shape == (1, 3, 44, 44, 28)
    assert UNet3D().fitted((44, 44, 28)) == (44, 44, 28)


@pytest.mark.parametrize(
    ("config", "margin"), [(UNet2015(), 92), (UNet3D(), 44), (UNet2015(features=(2, 2)), 8)]
)
def test_margins_are_what_valid_convolutions_lose(config: CroppingConfig, margin: int) -> None:
    assert config.margin == (margin,) * config.ndim


@pytest.mark.parametrize("levels", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("padding", ["valid", "same"])
def test_a_unet_of_any_depth_takes_any_size(levels: int, padding: Any) -> None:
    config = UNet2015(features=(2,) * levels, padding=padding)
    network = on_meta(config, 1, 2)
    for size in ((1, 2), (5, 16), (33, 4)):
        seen = [n + 2 * m for n, m in zip(size, config.margin, strict=True)]
        assert network(torch.empty(1, 1, *seen, device="meta")).shape == (1, 2, *size)


def test_an_image_that_is_all_margin_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no logits for \(92, 92\) voxels at each end, got an im"):
        on_meta(UNet2015(), 1, 2)(torch.empty(1, 1, 184, 572, device="meta"))


# Receptive fields


def seen_by(network: nn.Module, size: tuple[int, ...], places: range) -> list[tuple[int, int]]:
    """First and last voxel, along the first axis, on which the logits at each place depend."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(1.0)  # so that nothing cancels out
    image = torch.ones(1, 1, *size, requires_grad=True)
    logits = network.double().eval()(image.double())
    ends = []
    for place in places:
        (slopes,) = torch.autograd.grad(logits[0, 0, place].sum(), image, retain_graph=True)
        along = slopes[0, 0].flatten(1).any(1).nonzero()
        ends.append((int(along[0]), int(along[-1])))
    return ends


def with_means(network: nn.Module) -> nn.Module:
    """A network that hands on all of what it halves, and not the maxima alone."""
    network.pool = {nn.MaxPool2d: nn.AvgPool2d, nn.MaxPool3d: nn.AvgPool3d}[type(network.pool)](2)
    return network


@pytest.mark.parametrize(
    ("ndim", "fields"), [(2, {188: 4, 204: 12}), (3, {92: 4, 100: 4})], ids=["2d", "3d"]
)
def test_the_receptive_field_depends_on_the_phase(ndim: int, fields: dict[int, int]) -> None:
    config = NARROW[ndim]
    (period, *others), middle = config.multiple, 256
    network = with_means(built(config))
    ends = seen_by(network, (2 * middle, *others), range(middle, middle + period))
    assert Counter(last - first + 1 for first, last in ends) == fields


def test_valid_convolutions_see_what_padded_ones_see() -> None:
    config = UNet2015(features=(2,) * 5, dropout=0.0)
    network = with_means(built(config))
    ends = seen_by(network, (188 + 16, 188), range(20))
    assert {last - first + 1 for first, last in ends} == {188, 204}
    reach = max(max(92 + k - first, last - 92 - k) for k, (first, last) in enumerate(ends))
    assert reach == 107


# Tiles


def tiled(network: nn.Module, image: Tensor, tile: int, step: int) -> Tensor:
    """Logits put together from those of square tiles."""
    size = image.shape[-1] - 184
    logits = torch.full((1, 2, size, size), torch.nan)
    for i in range(0, size - tile + 1, step):
        for j in range(0, size - tile + 1, step):
            seen = image[..., i : i + tile + 184, j : j + tile + 184]
            logits[..., i : i + tile, j : j + tile] = network(seen)
    return logits


@pytest.mark.parametrize(("tile", "step", "agrees"), [(36, 32, True), (36, 28, False)])
def test_tiles_give_what_one_pass_gives_if_they_start_on_multiples_of_16(
    tile: int, step: int, *, agrees: bool
) -> None:
    network = built(UNet2015(features=(4, 4, 8, 8, 16)))
    assert UNet2015().period == (16, 16)
    side = tile + 2 * step
    image = torch.randn(1, 1, side + 184, side + 184, generator=torch.manual_seed(1))
    with torch.inference_mode():
        once, stitched = network(image), tiled(network, image, tile, step)
    assert once.std() > 0.01
    assert torch.allclose(stitched, once[..., :side, :side], atol=1e-5) == agrees


def test_the_tiler_gives_what_one_pass_over_the_mirrored_image_gives() -> None:
    config = UNet2015(features=(4, 4, 8, 8, 16))
    network = built(config)
    image = torch.randn(1, 116, 132, generator=torch.manual_seed(1))
    tiles = {"margin": config.margin, "period": config.period, "overlap": 0.0}
    with torch.inference_mode():
        slabs = [slab.logits() for slab in sweep(network, image, (52, 36), 2, **tiles)]
        once = network(functional.pad(image[None], (92,) * 4, mode="reflect"))
    torch.testing.assert_close(torch.cat(slabs, dim=1)[None], once, atol=1e-5, rtol=0)


# Parts


def test_dropout_is_at_the_end_of_the_two_coarsest_levels() -> None:
    network = on_meta(UNet2015(dropout=0.25), 1, 2)
    found = {name: part for name, part in network.named_modules() if isinstance(part, nn.Dropout)}
    assert list(found) == ["encoder.3.4", "encoder.4.4"]
    assert {part.p for part in found.values()} == {0.25}


def test_weights_of_the_unet_have_the_variance_of_its_paper() -> None:
    network = built(UNet2015(features=(16, 32, 64)))
    for part in network.modules():
        if isinstance(part, nn.Conv2d | nn.ConvTranspose2d):
            incoming = part.in_channels * (9 if part.kernel_size == (3, 3) else 1)
            if part.weight.numel() > 1000:
                assert float(part.weight.detach().std()) == pytest.approx(
                    (2 / incoming) ** 0.5, rel=0.08
                )
            assert not part.bias.any()


# Learning


def ball(ndim: int, side: int) -> tuple[Tensor, Tensor]:
    """A noisy image of a ball beside the middle, and the ball."""
    along = [torch.arange(side) - 0.4 * side] * ndim
    away = sum(axis.square() for axis in torch.meshgrid(*along, indexing="ij")).sqrt()
    target = (away < 0.3 * side).long()
    noise = torch.randn(target.shape, generator=torch.manual_seed(0))
    return (target + 0.1 * noise)[None, None], target[None]


@pytest.mark.parametrize(
    ("config", "side", "steps"),
    [
        (UNet2015(**UNet2015.small(), padding="same"), 32, 80),
        (UNet3D(features=(8, 16, 32, 64), padding="same"), 16, 60),
        (VNet(**VNet.small()), 16, 40),
    ],
    ids=["unet-2015", "unet-3d", "vnet"],
)
def test_a_case_is_learnt_by_heart(config: NetworkConfig, side: int, steps: int) -> None:
    image, target = ball(config.ndim, side)
    network = built(config)
    optimizer = torch.optim.Adam(network.parameters(), 2e-3)
    for _ in range(steps):
        optimizer.zero_grad()
        functional.cross_entropy(network.train()(image), target).backward()
        optimizer.step()
    with torch.inference_mode():
        found = network.eval()(image).argmax(1)
    assert 2 * float((found & target).sum() / (found + target).sum()) > 0.95


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: UNet2015(features=()), "1 to 10 levels of at least 2 features"),
        (lambda: UNet3D(features=(8, 1)), "1 to 10 levels of at least 2 features"),
        (lambda: UNet2015(padding="full"), "padding is 'valid' or 'same', got 'full'"),
        (lambda: UNet2015(dropout=1.0), r"dropout is a share in \[0, 1\), got 1.0"),
    ],
)
def test_what_makes_no_sense_is_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
