"""What is said of a network is true: by hand, and where nothing may be said."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from balls import ball_plan, draw_ball, write_balls
from commands import command, complaint
from drawn import oblique_affine
from torch import Tensor, nn

import medseg
import medseg.intensity
from medseg import Case, Grid, Image, Labels, Model, Plan
from medseg.explaining import PARTS, Questions, explain
from medseg.explaining.exciting import exciting
from medseg.explaining.gradients import grad_cam, integrated_gradients
from medseg.explaining.layers import first_convolutions, layers_of, telling_layers
from medseg.explaining.maximising import maximised
from medseg.explaining.modalities import importances
from medseg.explaining.occlusion import occlusion
from medseg.explaining.place import Place
from medseg.explaining.scene import Scene, look_at
from medseg.explaining.score import RegionScore
from medseg.explaining.still import still
from medseg.explaining.window import Window, windows_over
from medseg.intensity import ZScore
from medseg.learning.passes import Passes
from medseg.learning.run import Run
from medseg.learning.weights import save_tensors
from medseg.networks import NETWORKS, NetworkConfig
from medseg.networks.layer_field import layer_field
from medseg.networks.unet import UNet
from medseg.networks.unet_2015 import UNet2015

pytestmark = pytest.mark.usefixtures("one_thread")

QUICK = {"blocks": 8, "steps": 2, "features": 2, "patches": 2, "ascent": 2}
TINY = NETWORKS["deepmedic-tiny"](features=(2, 2), side=13)
REGIONS: dict[str, Any] = {"regions": {"all": (1, 2), "core": (2,)}, "written": (1, 2)}
CROPPING = UNet2015(features=(2, 2))


def some_model(plan: Plan, seed: int = 0) -> Model:
    """A model of random weights that finds all of its labels in noise."""
    torch.manual_seed(seed)
    model = Model(plan.network.build(len(plan.channels), plan.outputs), plan, precision="float32")
    for weights in model.network.parameters():
        if weights.ndim > 1:
            nn.init.normal_(weights, std=0.5)
    return model


def two_channels(network: NetworkConfig = TINY, **changes: Any) -> Plan:
    return ball_plan(
        network=network,
        channels=("flair", "t1"),
        normalisations=(ZScore(), ZScore()),
        **{"patch": (8, 8, 8), **changes},
    )


def noise(shape: tuple[int, ...] = (12, 11, 10), affine: Any = None, channels: int = 2) -> Image:
    values = np.random.default_rng(0).normal(size=(channels, *shape))
    return Image(values, Grid(shape, np.eye(len(shape) + 1) if affine is None else affine))


def scene(plan: Plan | None = None, image: Image | None = None, **given: Any) -> Scene:
    return look_at(some_model(plan or two_channels()), image or noise(), **given)


def linear(weights: Tensor) -> Any:
    return lambda volumes: (volumes * weights).flatten(1).sum(1) + 3


WEIGHTS = torch.randn(2, 4, 5, generator=torch.manual_seed(1))
VOLUME = torch.randn(2, 4, 5, generator=torch.manual_seed(2))
BASELINE = torch.tensor([0.5, -1.0])
WAY = VOLUME - BASELINE.reshape(2, 1, 1)

# By hand


@pytest.mark.parametrize(("steps", "batch"), [(1, 1), (5, 2)])
def test_on_a_linear_model_a_voxel_adds_its_weight_times_its_way(steps: int, batch: int) -> None:
    found = integrated_gradients(linear(WEIGHTS), VOLUME, BASELINE, steps=steps, batch=batch)
    torch.testing.assert_close(found, WEIGHTS * WAY)


def test_what_voxels_add_is_the_difference_of_the_scores() -> None:
    def score(volumes: Tensor) -> Tensor:
        return (volumes * WEIGHTS).flatten(1).sum(1).sigmoid() + volumes[:, 0, 0, 0] ** 3

    found = integrated_gradients(score, VOLUME, BASELINE, steps=24)
    ends = torch.stack([VOLUME, VOLUME - WAY])
    torch.testing.assert_close(found.sum(), score(ends)[0] - score(ends)[1], atol=1e-5, rtol=1e-5)


def test_on_a_linear_model_a_hidden_block_takes_its_weights_along() -> None:
    found = occlusion(linear(WEIGHTS), VOLUME, BASELINE, (2, 3), batch=3)
    each = (WEIGHTS * WAY).sum(0)
    expected = torch.empty(4, 5)
    for rows in (slice(0, 2), slice(2, 4)):
        for columns in (slice(0, 3), slice(3, 5)):
            expected[rows, columns] = each[rows, columns].sum()
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_hiding_a_channel_that_does_not_count_changes_nothing() -> None:
    weights = WEIGHTS * torch.tensor([1.0, 0.0]).reshape(2, 1, 1)
    assert occlusion(linear(weights), VOLUME, BASELINE, (2, 2), channels=[1]).abs().max() == 0
    assert occlusion(linear(weights), VOLUME, BASELINE, (2, 2), channels=[0]).abs().max() > 0


def test_grad_cam_of_a_network_made_by_hand() -> None:
    features, head = nn.Conv2d(1, 2, 1, bias=False), nn.Conv2d(2, 1, 1, bias=False)
    features.weight.data = torch.tensor([1.0, -2.0]).reshape(2, 1, 1, 1)
    head.weight.data = torch.tensor([3.0, 0.5]).reshape(1, 2, 1, 1)
    # In place, what follows overwrites what the convolution gave.
    network = nn.Sequential(features, nn.ReLU(inplace=True), head)
    image = torch.tensor([[[1.0, -1.0], [2.0, 0.0]]])
    found = grad_cam(lambda x: network(x)[:, 0, 0].sum(1), image, network, "1")
    # The features are relu(x) and relu(-2 x); the score is the sum of 3 and 0.5 times these, over
    # the first row of two: its mean gradient is half of them.
    torch.testing.assert_close(found.weights, torch.tensor([1.5, 0.25]))
    torch.testing.assert_close(found.map, torch.tensor([[1.5, 0.5], [3.0, 0.0]]))
    raw = grad_cam(lambda x: network(x)[:, 0, 0].sum(1), image, network, "0")
    torch.testing.assert_close(raw.activations[1], -2 * image[0])


def test_a_channel_that_is_not_used_is_not_missed() -> None:
    region = torch.zeros(4, 5, dtype=torch.bool)
    region[:2] = True
    score = RegionScore(lambda x: torch.stack([-x[:, 0], 5 * x[:, 0]], 1), region, 1)
    rows = importances(score, VOLUME, ("used", "not used"))
    assert [(row.channel, row.how) for row in rows] == [
        (name, how) for name in ("used", "not used") for how in ("mean", "permuted")
    ]
    assert all(row.change != 0 and row.dice < 1 for row in rows[:2])
    assert all((row.change, row.dice) == (0, 1) for row in rows[2:])


def test_a_score_is_the_mean_probability_over_the_region() -> None:
    region = torch.tensor([[True, False], [False, True]])
    logits = torch.zeros(1, 2, 2, 2)
    logits[0, 1, 1, 1] = np.log(3)
    assert float(RegionScore(lambda _: logits, region, 1)(logits)) == pytest.approx(0.625)
    assert float(RegionScore(lambda _: logits, region, 1, overlapping=True)(logits)) == (
        pytest.approx(0.625)
    )
    with pytest.raises(ValueError, match="at least one voxel"):
        RegionScore(lambda _: logits, ~(region | ~region), 1)


@pytest.mark.parametrize("ndim", [2, 3])
def test_activation_maximisation_raises_the_activation(ndim: int) -> None:
    torch.manual_seed(0)
    network = (nn.Conv2d, nn.Conv3d)[ndim - 2](2, 3, 3)

    def excitement(images: Tensor) -> Tensor:
        return network(images)[:, 1].flatten(1).mean(1)

    start = torch.randn(2, 2, *(8,) * ndim, generator=torch.manual_seed(3)) / 10
    bounds = torch.tensor([-1.0, -2.0]), torch.tensor([1.0, 0.5])
    found = maximised(excitement, start, bounds, steps=8)
    assert (excitement(found) > excitement(start) + 0.1).all()
    for k in range(2):
        assert bounds[0][k] <= found[:, k].min() <= found[:, k].max() <= bounds[1][k]
    torch.testing.assert_close(maximised(excitement, start, bounds, steps=8), found, rtol=0, atol=0)


# Where nothing may be said


@pytest.mark.parametrize(
    ("plan", "shape", "last"),
    [
        (two_channels(), (24, 22, 20), "bias"),
        (two_channels(CROPPING, spacing=(1.0, 1.0), patch=(60, 60)), (60, 56), "head"),
    ],
    ids=["deepmedic", "unet-2015"],
)
def test_what_lies_outside_the_receptive_field_changes_nothing(
    plan: Plan, shape: tuple[int, ...], last: str
) -> None:
    one = scene(plan, noise(shape))
    region = torch.zeros(one.window.tile, dtype=torch.bool)
    middle = tuple(n // 2 for n in one.window.tile)
    region[middle] = True
    score = RegionScore(one.score.logits, region, 1)
    sees = torch.zeros(shape, dtype=torch.bool)
    ends = zip(layer_field(plan.network, last).ends(middle), one.window.first, strict=True)
    sees[tuple(slice(max(a + k, 0), b + k + 1) for (a, b), k in ends)] = True
    with still(one.model.network):
        adds = integrated_gradients(score, one.volume, one.baseline, steps=2)
        falls = occlusion(score, one.volume, one.baseline, (5, *shape[1:]), batch=2)
    assert adds[:, ~sees].abs().max() == 0
    assert adds[:, sees].abs().max() > 0
    assert not sees[:5].any()
    assert falls[:5].abs().max() == 0
    assert falls.abs().max() > 0


def test_other_weights_give_other_maps() -> None:
    maps = []
    for seed in (0, 1):
        one = look_at(some_model(two_channels(), seed), noise(), label="1")
        with still(one.model.network):
            adds = integrated_gradients(one.score, one.volume, one.baseline, steps=2)
            cam = grad_cam(one.score.logit, one.volume, one.model.network, "paths.0")
        maps.append((adds.flatten(), cam.map.flatten()))
    for first, second in zip(*maps, strict=True):
        assert torch.corrcoef(torch.stack([first, second]))[0, 1] < 0.9


def test_a_network_is_left_as_it_was() -> None:
    network = some_model(two_channels()).network.train()
    network.paths[0].eval()
    network.bias.requires_grad_(requires_grad=False)
    modes = [module.training for module in network.modules()]
    wanted = [weight.requires_grad for weight in network.parameters()]
    with still(network):
        assert not any(module.training for module in network.modules())
        assert not any(weight.requires_grad for weight in network.parameters())
    assert [module.training for module in network.modules()] == modes
    assert [weight.requires_grad for weight in network.parameters()] == wanted


# The window and its place


@pytest.mark.parametrize(
    "plan",
    [
        two_channels(),
        two_channels(UNet(3, (2, 4)), patch=(16, 8, 12)),
        two_channels(UNet(2, (2, 4)), patch=(12, 12, 1)),
        two_channels(UNet(2, (2, 4)), patch=(1, 16, 8)),
        two_channels(UNet(2, (2, 4)), **REGIONS, patch=(12, 12, 1)),
    ],
    ids=["margin", "3d", "slices", "sagittal", "regions"],
)
def test_a_window_says_what_the_model_says_there(plan: Plan) -> None:
    one = scene(plan, noise(affine=np.diag([-1.0, 1, 1, 1])))
    probabilities = one.model.probabilities(one.image).array
    with still(one.model.network):
        logits = one.score.logits(one.volume[None])[0]
    soft = logits.sigmoid() if plan.regions else logits.softmax(0)
    there = one.window.of_tile(np.ones(one.window.shape, bool))
    for found, expected in zip(soft.numpy(), probabilities, strict=True):
        inside = one.window.of_tile(expected[::-1])
        np.testing.assert_allclose(found[there], inside[there], atol=1e-5)
    region = one.window.of_tile(one.region.array[::-1] != 0)
    assert np.array_equal(one.score.region.numpy(), region)


def test_windows_cover_a_volume() -> None:
    for network, patch in ((TINY, (4, 4, 4)), (UNet(3, (2, 2)), (6, 6, 30))):
        model = some_model(two_channels(network, patch=patch))
        seen = np.zeros((19, 14, 9), int)
        for window in windows_over(seen.shape, Passes(model.network, model.plan, 0.5, ())):
            at = [
                slice(max(start, 0), start + side)
                for start, side in zip(window.start, window.tile, strict=True)
            ]
            seen[tuple(at)] += 1
        assert seen.min() >= 1


def test_what_is_beyond_the_border_is_mirrored_or_zero() -> None:
    volume = torch.arange(6.0)[None, None, :, None].expand(1, 1, 6, 3)
    mirrored = Window((4, 0), (3, 3), (2, 2), (6, 3))
    corner, size = mirrored.box
    assert (corner, size) == ((2, 0), (4, 3))
    found = mirrored.seen(volume[:, :, 2:])
    assert found[0, 0, :, 2].tolist() == [2, 3, 4, 5, 4, 3, 2]
    padded = Window((-1, 0), (8, 3), (0, 0), (6, 3))
    assert padded.seen(volume)[0, 0, :, 0].tolist() == [0, 0, 1, 2, 3, 4, 5, 0]


def test_a_map_lies_where_its_voxels_are() -> None:
    """Seen at twice the spacing, turned, in an oblique image."""
    image = Grid((8, 6, 4), oblique_affine((1, 1, 2)))
    turned = medseg.reorient(Labels(np.zeros(image.shape, np.uint8), image), "PIR").grid
    seen = medseg.with_spacing(turned, (2, 2, 2))
    box = medseg.resampling.part_of(seen, (1, 0, 1), (2, 3, 2))
    place = Place(box, image)
    centres = np.stack(np.meshgrid(*map(np.arange, box.shape), indexing="ij"), -1)
    world = centres @ box.affine[:3, :3].T + box.affine[:3, 3]
    found = place.whole(place.on_part(np.moveaxis(world, -1, 0)))
    at = np.argwhere(np.isclose(found.array, 0).all(0).__invert__())
    own = at @ image.affine[:3, :3].T + image.affine[:3, 3]
    to_box = (own - box.affine[:3, 3]) @ np.linalg.inv(box.affine[:3, :3]).T
    assert (to_box > -0.51).all()
    assert (to_box < np.array(box.shape) - 0.49).all()
    assert len(at) == 2 * 3 * 2 * 4
    clipped = to_box.clip(0, np.array(box.shape) - 1)
    expected = clipped @ box.affine[:3, :3].T + box.affine[:3, 3]
    np.testing.assert_allclose(found.array[:, *at.T].T, expected, atol=1e-4)


# Layers


@pytest.mark.parametrize(
    ("network", "layer", "stride", "offset", "first", "last"),
    [
        (UNet(2, (2, 4)), "encoder.0", 1, 0, (-2, -1), (2, 3)),
        (UNet(2, (2, 4)), "encoder.1", 2, 0.5, (-5,), (5,)),
        (TINY, "paths.0", 1, 6, (4, 5, 6), (8, 9, 10)),
        (TINY, "paths.1", 3, 6, (0,), (12,)),
        (CROPPING, "encoder.1", 2, 6.5, (0,), (13,)),
    ],
)
def test_what_layers_see(
    network: NetworkConfig, layer: str, stride: float, offset: float, first: Any, last: Any
) -> None:
    found = layer_field(network, layer)
    assert (found.stride[0], found.offset[0]) == (stride, offset)
    assert (found.first[0], found.last[0]) == (first, last)
    far = found.ends((7,) * network.ndim)[0]
    assert far == (first[0] + 7 * stride, last[0] + 7 * stride)


def test_an_exciting_patch_excites_alone_as_it_did_in_its_image(tmp_path: Path) -> None:
    plan = ball_plan(network=CROPPING, spacing=(1.0, 1.0, 1.0), patch=(20, 20, 1))
    one = scene(plan, noise((30, 26, 2), channels=1))
    cases = medseg.Dataset.read(write_balls(tmp_path, 2, shape=(30, 26, 2))).cases
    with still(one.model.network):
        found = exciting(one, "encoder.1", [1, 0], cases, most=3)
        assert [len(row) for row in found] == [3, 3]
        for feature, row in zip([1, 0], found, strict=True):
            assert [p.activation for p in row] == sorted((p.activation for p in row), reverse=True)
            for patch in row:
                assert patch.array.shape == (1, 14, 14, 1)
                network = one.model.network
                inside = network.encoder[0](torch.from_numpy(patch.array[None, ..., 0]))
                alone = network.encoder[1](network.pool(inside))[0, feature]
                assert alone.shape == (1, 1)
                assert float(alone) == pytest.approx(patch.activation, abs=1e-4)


def test_only_what_is_in_the_mask_excites(tmp_path: Path) -> None:
    image, _ = draw_ball(0, (24, 24, 24))
    values = image.array.copy()
    values[:, :16] += 1000 * np.random.default_rng(1).random((16, 24, 24))
    mask = np.zeros(image.grid.shape, np.uint8)
    mask[18:] = 1
    medseg.write(Image(values, image.grid), tmp_path / "image.nii.gz")
    medseg.write(Labels(mask, image.grid), tmp_path / "mask.nii.gz")
    plain = Case("plain", (tmp_path / "image.nii.gz",))
    masked = Case("masked", plain.channels, mask_file=tmp_path / "mask.nii.gz")
    fixed = medseg.intensity.Window(-1e4, 1e4, 0, 100)
    one = scene(ball_plan(network=TINY, patch=(8, 8, 8), normalisations=(fixed,)), image)
    with still(one.model.network):
        ((found,),) = exciting(one, "paths.0", [0], [masked], 1)
        ((anywhere,),) = exciting(one, "paths.0", [0], [plain], 1)
    assert found.array.shape == anywhere.array.shape == (1, 5, 5, 5)
    # A voxel in the mask sees two more around it, none of which is as bright as the others.
    assert found.array.max() <= values[0, 16:].max() / 100 < anywhere.array.max()


def test_layers_are_those_that_the_network_runs_once() -> None:
    one = scene(ball_plan(network=CROPPING, patch=(20, 20, 1)), noise((30, 26, 2), channels=1))
    network = one.model.network
    layers = layers_of(network, lambda: one.score.logits(one.volume[None]), 2)
    names = [layer.name for layer in layers]
    assert names.index("encoder.0") < names.index("encoder.1") < names.index("decoder.0")
    assert "encoder" not in names
    assert telling_layers(layers) == ("encoder.1", "decoder.0")
    assert telling_layers(()) == ()


def test_first_convolutions_are_those_of_the_image() -> None:
    one = scene()
    seen = one.volume[None].clone().requires_grad_()
    found = first_convolutions(one.model.network, lambda: one.score.logits(seen))
    assert list(found) == ["paths.0.layers.0.1", "paths.1.layers.0.1"]
    assert found["paths.0.layers.0.1"].shape == (2, 2, 3, 3, 3)


# All of it


@pytest.fixture
def run(tmp_path: Path) -> Path:
    model, folder = some_model(two_channels()), Run(tmp_path / "run")
    folder.folder.mkdir()
    model.plan.save(folder.plan)
    save_tensors(model.network.state_dict(), folder.last, {})
    return folder.folder


@pytest.fixture
def image(tmp_path: Path) -> Path:
    medseg.write(noise(affine=oblique_affine()), tmp_path / "image.nii.gz")
    return tmp_path / "image.nii.gz"


def quickly(*arguments: object) -> list[object]:
    return ["explain", *arguments, *(f"--set={key}={value}" for key, value in QUICK.items())]


def test_the_command_shows_it_all(
    run: Path, image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    given = quickly(run, image, "-o", out, "--data", image, "--device", "cpu", "-q")
    code, printed, err = command(capsys, *given)
    assert (code, err) == (0, "")
    assert f"look at {out / 'index.html'}" in printed
    page = (out / "index.html").read_text()
    pictures = sorted(path.name for path in out.glob("*.png"))
    assert len(pictures) == 12
    assert all(f'src="{name}"' in page for name in pictures)
    assert "Left out" not in page
    grid = medseg.read_image(image).grid
    for name, channels in (("occlusion", 1), ("integrated_gradients", 2), ("grad_cam_paths-1", 1)):
        found = medseg.read_image(out / f"{name}.nii.gz")
        assert found.grid.matches(grid)
        assert found.channels == channels
        assert np.isfinite(found.array).all()
    again = quickly(run, image, "-o", out, "--only", "filters")
    assert "exists already; replace what is in it with --overwrite" in complaint(capsys, *again)
    assert command(capsys, *again, "--overwrite")[0] == 0


@pytest.mark.parametrize(
    ("plan", "parts"),
    [
        (two_channels(UNet(2, (2, 4)), patch=(8, 8, 1)), PARTS),
        (two_channels(UNet(3, (2, 4)), **REGIONS), ("grad-cam", "maximised")),
        (
            two_channels(UNet(2, (2, 4)), patch=(8, 8), spacing=(1.0, 1.0)),
            ("filters", "occlusion", "maximised"),
        ),
    ],
    ids=["slices", "regions", "2d"],
)
def test_networks_of_any_kind_are_explained(
    plan: Plan, parts: tuple[str, ...], tmp_path: Path
) -> None:
    image = noise((12, 11, 10)[: len(plan.patch)])
    found = explain(some_model(plan), image, tmp_path, Questions(parts=tuple(parts), **QUICK))
    assert [finding.part for finding in found.findings] == list(parts)
    assert {one.part for one in found.findings if one.left_out} == {"patches"} & set(parts)
    assert 0 < found.score <= 1
    for finding in found.findings:
        assert all(path.stat().st_size > 0 for path in finding.pictures)
        for path in finding.volumes:
            assert np.isfinite(medseg.read_image(path).array).all()


def test_what_can_not_be_had_is_left_out_and_said(tmp_path: Path) -> None:
    network = NETWORKS["pixel-classifier"](width=2, hidden=2)
    plan = two_channels(network, patch=(9, 9), spacing=(1.0, 1.0))
    asked = Questions(parts=("activations", "modalities"), **QUICK)
    found = explain(some_model(plan), noise((12, 11)), tmp_path, asked)
    assert [bool(one.left_out) for one in found.findings] == [True, False]
    page = found.index.read_text()
    assert "Left out: the network runs none of its layers as a whole." in page


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("--layer", "nowhere"), "runs no layer 'nowhere' of its own, once; layers are paths.0"),
        (("--label", "7"), "the model knows 1, shell, 2, core; got label '7'"),
        (("--only", "dreams"), "medseg explains filters, activations"),
        (("--set", "steps=0"), "steps is at least 1, got 0"),
        (("--set", "colour=1"), "colour"),
        (("--case", "b"), "has no case b; there are image"),
        (("--mask", "missing.nii.gz"), "missing.nii.gz does not exist"),
        (("--data", "missing"), "missing does not exist"),
    ],
)
def test_bad_questions_give_one_line(
    given: tuple[str, str],
    message: str,
    run: Path,
    image: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert message in complaint(capsys, "explain", run, image, "-o", tmp_path / "out", *given)
    assert not (tmp_path / "out").exists()


def test_bad_inputs_give_one_line(
    run: Path, image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refusal(*given: object) -> str:
        return complaint(capsys, "explain", *given, "-o", tmp_path / "out")

    medseg.write(noise(channels=1), tmp_path / "one.nii.gz")
    assert "expected 2 channels, got 1" in refusal(run, tmp_path / "one.nii.gz")
    assert "does not exist" in refusal(tmp_path / "nowhere", image)
    write_balls(tmp_path / "data", 2)
    assert "has 2 cases, expected one; choose it with --case" in refusal(run, tmp_path / "data")
    (tmp_path / "both").mkdir()
    (tmp_path / "both" / "ensemble.json").write_text("{}")
    assert "is an ensemble; explain one of its members" in refusal(tmp_path / "both", image)


def test_a_label_that_is_not_found_is_refused() -> None:
    plan = two_channels()
    model = some_model(plan)
    with torch.no_grad():
        model.network.bias.bias[2] = -1e4
    with pytest.raises(ValueError, match=r"label core is not found .* there is 1 \(shell\)"):
        look_at(model, noise(), label="core")
    with torch.no_grad():
        model.network.bias.bias[1] = -1e4
    with pytest.raises(ValueError, match="nothing but background"):
        look_at(model, noise())


@pytest.mark.cuda
def test_on_a_gpu_it_is_the_same() -> None:
    one = scene()
    model = Model(some_model(two_channels()).network.cuda(), one.model.plan, precision="float32")
    other = look_at(model, noise(), label=str(one.label))
    with still(model.network), still(one.model.network):
        for each in (integrated_gradients, lambda *a: occlusion(*a, (4, 4, 4))):
            torch.testing.assert_close(
                each(other.score, other.volume, other.baseline).cpu(),
                each(one.score, one.volume, one.baseline),
                atol=1e-4,
                rtol=1e-3,
            )


def test_a_ball_is_explained_inside_its_mask() -> None:
    image, ball = draw_ball(0)
    mask = Labels((ball.array > 0).astype(np.uint8), image.grid)
    one = look_at(some_model(ball_plan()), image, mask)
    assert not one.region.array[mask.array == 0].any()
