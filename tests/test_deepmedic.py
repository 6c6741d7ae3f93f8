"""DeepMedic: its sizes and counts, its parts by hand, and the original's own probabilities."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from balls import ball_plan
from test_pipelines import draw_brats, pipeline
from torch import Tensor, nn

import medseg
from medseg.learning.passes import Passes
from medseg.networks import NETWORKS
from medseg.networks.deepmedic import DeepMedic, DeepMedicOriginal, DeepMedicTiny
from medseg.networks.multi_resolution import DeepMedicConfig, DeepMedicNetwork, part
from medseg.networks.pathway import Layers, Pathway, add_middle
from medseg.networks.rolling_norm import RollingBatchNorm

pytestmark = pytest.mark.usefixtures("one_thread")
# Of each preset: weights for (channels, classes), and those of convolutions for the first pair.
COUNTS = {
    "deepmedic": ({(2, 5): 2_008_901, (4, 5): 2_013_767, (5, 2): 2_015_447}, 2_004_510),
    "deepmedic-original": ({(2, 5): 659_919, (4, 5): 663_163, (5, 2): 664_332}, 657_090),
    "deepmedic-residual": ({(2, 5): 1_049_919, (4, 5): 1_053_163, (5, 2): 1_054_332}, 1_047_090),
    "deepmedic-wide": ({(2, 5): 5_141_051, (4, 5): 5_145_917, (5, 2): 5_147_447}, 5_134_560),
    "deepmedic-tiny": ({(2, 5): 3_291, (4, 5): 3_727, (5, 2): 3_906}, 3_192),
}


def built(config: DeepMedicConfig, channels: int = 2, classes: int = 3) -> DeepMedicNetwork:
    torch.manual_seed(0)
    network = config.build(channels, classes)
    assert isinstance(network, DeepMedicNetwork)
    return network


def narrow(**changes: Any) -> DeepMedic:
    """The default, an eighth as wide."""
    return DeepMedic(**{**DeepMedic.small(), **changes})


# As published


@pytest.mark.parametrize("name", COUNTS)
def test_it_has_as_many_weights_as_the_original(name: str) -> None:
    totals, of_convolutions = COUNTS[name]
    for shape, wanted in totals.items():
        with torch.device("meta"):
            sizes = [(p.ndim, p.numel()) for p in NETWORKS[name]().build(*shape).parameters()]
        assert sum(size for _, size in sizes) == wanted
        if shape == (2, 5):
            assert sum(size for ndim, size in sizes if ndim > 1) == of_convolutions


@pytest.mark.parametrize(
    ("name", "side", "logits", "low"),
    [
        ("deepmedic", 37, 21, (23, 21)),
        ("deepmedic-wide", 37, 21, (23, 21)),
        ("deepmedic", 45, 29, (26, 22)),
        ("deepmedic", 17, 1, (17, 17)),
        ("deepmedic-original", 25, 9, (19,)),
        ("deepmedic-residual", 25, 9, (19,)),
        ("deepmedic-original", 45, 29, (26,)),
        ("deepmedic-tiny", 25, 19, (13,)),
        ("deepmedic-tiny", 45, 39, (19,)),
    ],
)
def test_paths_see_as_many_voxels_as_in_the_original(
    name: str, side: int, logits: int, low: tuple[int, ...]
) -> None:
    config = NETWORKS[name]()
    x = torch.zeros(1, 1, *(logits + 2 * margin for margin in config.margin))
    seen = [part(x, config, factor).shape[2:] for factor in (1, *config.factors)]
    assert seen == [(n,) * 3 for n in (side, *low)]
    if config.side == side:
        assert config.segment == (logits,) * 3


@pytest.mark.parametrize("file", ["default", "paper"])
def test_it_gives_the_probabilities_of_the_original(file: str, data: Path) -> None:
    path = data.parent / "reference" / f"deepmedic_golden_{file}.npz"
    if not path.is_file():
        pytest.skip(f"no forward passes of the original in {path}")
    with np.load(path) as golden:
        known = json.loads(str(golden["config"]))
        config = (DeepMedicOriginal if file == "paper" else DeepMedic)()
        config = replace(config, hidden=known["fc"], factors=known["subs"])
        network = built(config, known["cin"], known["ncls"]).eval()
        take_over(golden, network)
        names = ["high", *(f"low{factor}" for factor in config.factors)]
        inputs = [torch.from_numpy(golden[f"input.{name}"]) for name in names]
        with torch.inference_mode():
            found = network.put_together(inputs).softmax(1)
        wanted = torch.from_numpy(golden["probabilities"])
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)


def take_over(golden: Mapping[str, Any], network: DeepMedicNetwork) -> None:
    """Put the weights of the original into a network."""
    names = ["high", *(f"low{factor}" for factor in network.config.factors), "fc"]
    for name, path in zip(names, [*network.paths, network.connected], strict=True):
        assert isinstance(path, Pathway)
        for k, layer in enumerate(path.layers):
            # At inference, the original multiplies by the share that it does not drop.
            kept = 1 - network.config.dropout[k] if name == "fc" else 1.0
            values = {
                "conv.weight": layer[-1].weight,
                "bias": getattr(layer[0], "bias", None),
                "bn.gamma": getattr(layer[0], "weight", None),
                "bn.beta": getattr(layer[0], "bias", None),
                "bn.batch_means": getattr(layer[0], "means", None),
                "bn.batch_variances": getattr(layer[0], "variances", None),
                "prelu.alpha": getattr(layer[1], "weight", None),
            }
            for key, place in values.items():
                if f"{name}.{k}.{key}" in golden:
                    factor = kept if key == "conv.weight" else 1.0
                    given = torch.from_numpy(golden[f"{name}.{k}.{key}"])
                    assert place is not None
                    assert place.shape == given.shape
                    place.data = given * factor
    network.bias.bias.data = torch.from_numpy(golden["final_bias"])


# Its parts, by hand


def test_normalisation_of_a_batch_is_remembered_with_its_biased_variance() -> None:
    norm = RollingBatchNorm(1, batches=3).train()
    y = norm(torch.tensor([1.0, 3.0]).reshape(2, 1, 1, 1, 1))
    assert norm.means.flatten().tolist() == [2, 0, 0]
    assert norm.variances.flatten().tolist() == pytest.approx([1, 1, 1])
    assert y.flatten().tolist() == pytest.approx([-1, 1], abs=1e-4)


def test_inference_takes_the_plain_mean_of_the_last_batches() -> None:
    norm = RollingBatchNorm(1, batches=2).train()
    for values in ([100.0, 500.0], [1.0, 3.0], [4.0, 10.0]):  # the first is forgotten
        norm(torch.tensor(values).reshape(2, 1, 1))
    mean, variance = (2 + 7) / 2, (1 + 9) / 2
    found = norm.eval()(torch.tensor([[[2.0]]]))
    assert found.item() == pytest.approx((2 - mean) / variance**0.5, rel=1e-4)
    assert norm.position.item() == 1


def test_inference_remembers_nothing() -> None:
    norm = RollingBatchNorm(2).eval()
    norm(torch.randn(3, 2, 4, generator=torch.manual_seed(0)))
    assert not norm.means.any()


def test_rectifiers_begin_at_a_hundredth() -> None:
    slopes = [m.weight for m in built(narrow()).modules() if isinstance(m, nn.PReLU)]
    assert slopes
    assert all(bool((slope == 0.01).all()) for slope in slopes)


def test_weights_begin_with_the_variance_of_he() -> None:
    network = built(DeepMedicOriginal())
    weight = network.connected.layers[1][-1].weight
    assert weight.std().item() == pytest.approx((2 / 150) ** 0.5, rel=0.05)


def test_paths_begin_with_a_bias_and_no_normalisation() -> None:
    network = built(narrow())
    for path in network.paths:
        kinds = [[type(module).__name__ for module in layer] for layer in path.layers]
        assert kinds == [["InputBias", "Conv3d"]] + [["RollingBatchNorm", "PReLU", "Conv3d"]] * 7
    kinds = [[type(module).__name__ for module in layer] for layer in network.connected.layers]
    dropping = ["RollingBatchNorm", "PReLU", "Dropout", "Conv3d"]
    assert kinds == [["RollingBatchNorm", "PReLU", "Conv3d"], dropping, dropping]


def test_what_a_shortcut_adds_is_cropped_in_the_middle_and_filled_with_zeros() -> None:
    x, larger = torch.zeros(1, 3, 2, 3, 1), torch.rand(1, 2, 6, 7, 4)
    found = add_middle(x, larger)
    assert torch.equal(found[:, :2], larger[:, :, 2:4, 2:5, 1:2])
    assert not found[:, 2].any()


def test_a_shortcut_from_more_channels_is_cut() -> None:
    x, wider = torch.ones(1, 1, 2, 2, 2), torch.rand(1, 3, 2, 2, 2)
    assert torch.equal(add_middle(x, wider), 1 + wider[:, :1])


def test_a_shortcut_skips_two_layers() -> None:
    layers = Layers((1, 1, 1, 1), (3, 3, 3), (0.0,) * 3, (3,), padded=False, raw=True)
    path = Pathway(layers).eval()
    for layer in path.layers[1:]:
        nn.init.zeros_(layer[-1].weight)
    x = torch.randn(1, 1, 9, 9, 9, generator=torch.manual_seed(0))
    with torch.inference_mode():
        assert torch.equal(path(x), path.layers[0](x)[..., 2:-2, 2:-2, 2:-2])


def test_a_border_is_continued_as_numpy_does_symmetrically() -> None:
    layers = Layers((1, 1), (3,), (0.0,), (), padded=True, raw=False)
    path = Pathway(layers).eval()
    convolution = path.layers[0][-1]
    nn.init.ones_(convolution.weight)
    x = np.random.default_rng(0).uniform(size=(4, 3, 5)).astype(np.float32)
    padded = np.pad(x, 1, mode="symmetric")
    sums = np.lib.stride_tricks.sliding_window_view(padded, (3, 3, 3)).sum((3, 4, 5))
    with torch.inference_mode():
        found = convolution(torch.from_numpy(x)[None, None])[0, 0]
    np.testing.assert_allclose(found.numpy(), sums, rtol=1e-5)


@pytest.mark.parametrize("lr_align", ["original", "centred"])
@pytest.mark.parametrize("factor", [3, 5])
def test_a_coarse_voxel_is_the_first_or_the_middle_of_those_it_stands_for(
    factor: int, lr_align: str
) -> None:
    config = narrow(lr_align=lr_align)
    margin, lost = config.margin[0], len(config.features)
    voxels = torch.arange(2 * margin + 21.0).reshape(1, 1, -1, 1, 1)
    seen = part(voxels.expand(-1, -1, -1, 2 * margin + 1, 2 * margin + 1), config, factor)
    along = seen[0, 0, :, 0, 0].tolist()
    begin = margin - lost  # of what the path of full resolution sees
    low = begin + factor // 2 - (factor - 1) // 2 * (2 * lost + 1)
    first = low if lr_align == "original" else low + factor // 2
    assert along == [first + factor * j for j in range(len(along))]
    # Without its own margin, the path begins with the logits.
    assert along[lost] == margin + (factor // 2 if lr_align == "centred" else 0)


# Over volumes

SMALL = {"features": (4, 4), "residual": (2,), "hidden": (4,), "hidden_residual": ()}


def two_layers(**changes: Any) -> DeepMedic:
    """All that the default has, in two layers a path; factors 3 and 5 repeat after 15 voxels."""
    return DeepMedic(**SMALL | {"kernels": (3, 1), "dropout": (0, 0), "side": 9} | changes)


def logits_of(config: DeepMedicConfig, volume: Tensor, tile: int) -> Tensor:
    """Of a (1, ...) volume, tile by tile."""
    with mock.patch("medseg.networks.multi_resolution._INFERENCE_SIDE", tile + 4):
        plan = ball_plan(network=config, patch=(tile,) * 3)
        passes = Passes(built(config, 1, 3).eval(), plan, overlap=0.5, mirrored=())
        with torch.inference_mode():
            return torch.cat([slab.logits() for slab in passes.over(volume, None)], dim=1)


def some_volume(*shape: int) -> Tensor:
    return torch.randn(1, *shape, generator=torch.manual_seed(0))


@pytest.mark.parametrize("tile", [15, 30])
def test_tiles_of_any_size_give_the_same(tile: int) -> None:
    volume = some_volume(40, 17, 31)
    whole = logits_of(two_layers(), volume, 45)
    torch.testing.assert_close(logits_of(two_layers(), volume, tile), whole, atol=1e-5, rtol=0)


def test_a_volume_that_begins_15_voxels_later_gives_the_same_and_1_later_does_not() -> None:
    # The last voxel of a block of 5 sees 4 voxels more before it than the first.
    volume, margin = some_volume(60, 20, 20), two_layers().margin[0] + 4 + 1
    whole = logits_of(two_layers(), volume, 15)
    for first, agrees in ((15, True), (1, False)):
        found = logits_of(two_layers(), volume[:, first:], 15)[:, margin:]
        wanted = whole[:, first + margin :]
        assert torch.allclose(found, wanted, atol=1e-5, rtol=0) == agrees


def test_a_single_pass_over_the_volume_mirrored_gives_the_same() -> None:
    config, volume = two_layers(), some_volume(18, 17, 16)
    margin = config.margin[0] + 1
    mirrored = np.pad(volume[0].numpy(), margin, mode="reflect")
    with torch.inference_mode():
        wanted = built(config, 1, 3).eval()(torch.from_numpy(mirrored)[None, None])[0]
    found = logits_of(config, volume, 15)
    torch.testing.assert_close(found, wanted[:, 1:-1, 1:-1, 1:-1], atol=1e-5, rtol=0)


def test_centred_paths_see_a_mirrored_volume_mirrored() -> None:
    config = two_layers(lr_align="centred")
    network = built(config, 1, 3).eval().double()
    for module in network.modules():
        if isinstance(module, nn.Conv3d):  # the same seen from both ends
            module.weight.data += module.weight.data.flip(2)
    x = some_volume(*(n + 2 * config.margin[0] for n in (15, 1, 1)))[None].double()
    with torch.inference_mode():
        torch.testing.assert_close(network(x.flip(2)), network(x).flip(2), atol=1e-10, rtol=0)


def test_the_study_of_brain_tumours(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], float32: None
) -> None:
    data = draw_brats(tmp_path, (24, 24, 12))

    pipeline("brats_deepmedic.py").main(data, tmp_path / "run", steps=1)

    printed = capsys.readouterr().out
    assert [line.split()[0] for line in printed.splitlines()] == [*"1234", "whole", "training"]
    plan = medseg.Plan.load(tmp_path / "run" / "plan.json")
    assert (plan.patch, plan.mirror) == ((19, 19, 19), (0,))
    assert medseg.read_labels(tmp_path / "run" / "predictions" / "patient2.nii.gz")


# What is refused


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"features": ()}, "paths have 1 to 64 layers"),
        ({"low_features": (30,)}, "all as many"),
        ({"factors": (2,)}, "every 3rd, 5th, ... voxel"),
        ({"residual": (1,)}, "residual names layers from 2 to 8"),
        ({"residual": (9,)}, "residual names layers from 2 to 8"),
        ({"side": 16}, "need a side over 16, got 16"),
        ({"lr_align": "middle"}, "'original' or 'centred', got 'middle'"),
        ({"kernels": (3, 1)}, "need 3 kernels of 1 or 3"),
        ({"kernels": (5, 1, 1)}, "need 3 kernels of 1 or 3"),
        ({"hidden": (0, 1)}, "at least 1 feature"),
        ({"dropout": (0, 0, 1)}, r"dropout is 3 shares in \[0, 1\)"),
        ({"hidden_residual": (3,)}, "hidden_residual names layers from 2 to 2"),
    ],
    ids=str,
)
def test_fields_that_make_no_sense_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DeepMedic(**fields)


def test_an_image_smaller_than_the_margins_is_refused() -> None:
    with pytest.raises(ValueError, match="gives no logits for"):
        built(DeepMedicTiny())(torch.zeros(1, 2, 18, 30, 30))
