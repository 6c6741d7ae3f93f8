"""Begin with the weights of another run: what is taken, adapted and new."""

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from balls import ball_plan
from torch import Tensor, nn

from medseg import Model, Plan
from medseg.intensity import Window
from medseg.learning.run import Run
from medseg.learning.transfer import Transfer, start_from
from medseg.learning.weights import save_tensors
from medseg.networks import NETWORKS, plan_network
from medseg.networks.segnet import SegNet
from medseg.networks.topology import topology
from medseg.networks.unet import UNet

pytestmark = pytest.mark.usefixtures("one_thread")

FLAT = {"network": UNet(2, (4, 8)), "patch": (16, 14, 1)}


def built(plan: Plan, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return Model.untrained(plan, "cpu").network


def write_run(folder: Path, plan: Plan) -> dict[str, Tensor]:
    """Leave an untrained network as a run."""
    tensors = built(plan, 1).state_dict()
    folder.mkdir()
    plan.save(Run(folder).plan)
    save_tensors(tensors, Run(folder).last, {})
    return tensors


def started(folder: Path, there: Plan, here: Plan) -> tuple[Transfer, dict[str, Any]]:
    """Tensors of the run, and those of the network before and after."""
    old = write_run(folder / "run", there)
    network = built(here, 2)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    transfer = start_from(folder / "run", network, here)
    return transfer, {"old": old, "before": before, "after": network.state_dict()}


# What is taken


def test_the_same_network_takes_everything(tmp_path: Path) -> None:
    transfer, tensors = started(tmp_path, ball_plan(), ball_plan())
    torch.testing.assert_close(tensors["after"], tensors["old"], rtol=0, atol=0)
    assert set(transfer.taken) == tensors["old"].keys()
    assert (transfer.adapted, transfer.new, transfer.unused) == ({}, (), ())


def test_a_head_for_other_classes_is_new(tmp_path: Path) -> None:
    here = ball_plan(labels=(0, 1, 2, 3), names={1: "a", 2: "b", 3: "c"})
    transfer, tensors = started(tmp_path, ball_plan(), here)
    assert transfer.new == transfer.unused == ("heads.0.weight", "heads.0.bias")
    for name, tensor in tensors["after"].items():
        wanted = tensors["before" if name in transfer.new else "old"][name]
        assert torch.equal(tensor, wanted)


def test_a_deeper_network_takes_what_is_alike(tmp_path: Path) -> None:
    transfer, tensors = started(tmp_path, ball_plan(), ball_plan(network=UNet(3, (4, 8, 16))))
    assert "encoder.1.0.weight" in transfer.taken
    assert "encoder.2.0.weight" in transfer.new
    taken = {name: tensors["after"][name] for name in transfer.taken}
    torch.testing.assert_close(taken, {name: tensors["old"][name] for name in taken})


def test_it_is_written_down(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    here = ball_plan(channels=("a", "b"), normalisations=ball_plan().normalisations * 2)
    with caplog.at_level(logging.INFO, "medseg"):
        transfer, _ = started(tmp_path, ball_plan(), replace(here, labels=(0, 1)))
    assert caplog.messages == [str(transfer)]
    assert str(transfer) == (
        f"19 tensors are those of {tmp_path / 'run'}, adapted: encoder.0.0.weight "
        "(for 2 channels from 1), new: heads.0.weight, heads.0.bias"
    )
    transfer.save(tmp_path / "transfer.json")
    content = json.loads((tmp_path / "transfer.json").read_text())
    assert content["start"] == str(tmp_path / "run")
    assert content["new"] == ["heads.0.weight", "heads.0.bias"]


def test_other_spacing_and_normalisation_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    here = ball_plan(spacing=(1.0, 1.0, 3.0), normalisations=(Window(0, 1, 0, 1),))
    started(tmp_path, ball_plan(), here)
    warnings = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == 2
    assert "at a spacing of (1.0, 1.0, 1.0) mm, this is at (1.0, 1.0, 3.0)" in warnings[0]
    assert "was trained with other normalisations: (ZScore" in warnings[1]


def test_nothing_in_common_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no tensor of .*run fits this network"):
        started(tmp_path, ball_plan(), ball_plan(network=UNet(3, (3, 5)), labels=(0, 1, 2, 5)))


def test_a_run_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere does not exist"):
        start_from(tmp_path / "nowhere", built(ball_plan(), 0), ball_plan())


# Channels


def with_channels(*names: str) -> Plan:
    return ball_plan(channels=names, normalisations=ball_plan().normalisations * len(names))


FIRST = "encoder.0.0.weight"


def test_alike_channels_give_what_one_gave(tmp_path: Path) -> None:
    transfer, tensors = started(tmp_path, with_channels("MR"), with_channels("a", "b", "c"))
    assert transfer.adapted == {FIRST: "for 3 channels from 1"}
    one = torch.randn(1, 1, 6, 6, 6, generator=torch.manual_seed(0))
    wanted = nn.functional.conv3d(one, tensors["old"][FIRST])
    found = nn.functional.conv3d(one.expand(1, 3, 6, 6, 6), tensors["after"][FIRST])
    torch.testing.assert_close(found, wanted)


def test_fewer_channels_have_the_mean_of_all(tmp_path: Path) -> None:
    transfer, tensors = started(tmp_path, with_channels("a", "b"), with_channels("MR"))
    assert transfer.adapted == {FIRST: "for 1 channels from 2"}
    torch.testing.assert_close(tensors["after"][FIRST], tensors["old"][FIRST].sum(1, keepdim=True))


@pytest.mark.parametrize("names", [("b", "a"), ("b",), ("c", "a")])
def test_channels_are_found_by_name(tmp_path: Path, names: tuple[str, ...]) -> None:
    transfer, tensors = started(tmp_path, with_channels("a", "b", "c"), with_channels(*names))
    assert transfer.adapted == {FIRST: f"for {', '.join(names)} of a, b, c"}
    picked = tensors["old"][FIRST][:, ["abc".index(name) for name in names]]
    assert torch.equal(tensors["after"][FIRST], picked)


def test_as_many_channels_by_other_names_are_taken_in_order(tmp_path: Path) -> None:
    transfer, tensors = started(tmp_path, with_channels("a", "b"), with_channels("b", "x"))
    assert FIRST in transfer.taken
    assert torch.equal(tensors["after"][FIRST], tensors["old"][FIRST])


def test_a_width_like_the_number_of_channels_is_no_input(tmp_path: Path) -> None:
    there, here = with_channels(*"abcd"), with_channels(*"dcba")
    transfer, _ = started(tmp_path, there, here)
    assert list(transfer.adapted) == [FIRST]


# From 2D to 3D


def test_an_inflated_network_sees_in_a_prism_what_it_saw_in_a_slice(tmp_path: Path) -> None:
    """All but the normalisation, which sees the edges too, where the prism ends."""
    flat = UNet(2, (4, 8))
    _, tensors = started(
        tmp_path, ball_plan(network=flat, patch=(16, 1, 14)), ball_plan(network=UNet(3, (4, 8)))
    )
    old, new = tensors["old"], tensors["after"]
    x = torch.randn(1, 1, 10, 12, generator=torch.manual_seed(0))
    thick = x.unsqueeze(3).expand(1, 1, 10, 8, 12)
    wanted = nn.functional.conv2d(x, old[FIRST], padding=1)
    found = nn.functional.conv3d(thick, new[FIRST], padding=1)
    torch.testing.assert_close(found[..., 3, :], wanted)
    up = nn.functional.conv_transpose2d(wanted.repeat(1, 2, 1, 1), old["up.0.weight"], stride=2)
    thick = found[..., 3:5, :].repeat(1, 2, 1, 1, 1)
    found = nn.functional.conv_transpose3d(thick, new["up.0.weight"], stride=2)
    for k in range(4):
        torch.testing.assert_close(found[..., k, :], up)


def test_what_is_inflated_is_listed(tmp_path: Path) -> None:
    here = ball_plan(network=UNet(3, (4, 8), kernels=((3, 3, 1), (3, 3, 3))))
    transfer, tensors = started(tmp_path, ball_plan(**FLAT), here)
    assert transfer.adapted[FIRST] == "1 times along axis 2"
    assert transfer.adapted["encoder.1.0.weight"] == "3 times along axis 2"
    assert not transfer.new
    assert set(transfer.taken) == {name for name, t in tensors["old"].items() if t.ndim == 1}


def test_channels_and_axes_change_together(tmp_path: Path) -> None:
    flat = replace(with_channels("a", "b"), **FLAT)
    transfer, tensors = started(tmp_path, flat, with_channels("b"))
    assert transfer.adapted[FIRST] == "for b of a, b, 3 times along axis 2"
    wanted = tensors["old"][FIRST][:, 1:, ..., None].expand(4, 1, 3, 3, 3) / 3
    torch.testing.assert_close(tensors["after"][FIRST], wanted)


def test_a_network_of_pictures_becomes_one_of_volumes(tmp_path: Path) -> None:
    pictures = ball_plan(network=UNet(2, (4, 8)), patch=(16, 14), spacing=(1.0, 1.0))
    transfer, _ = started(tmp_path, pictures, ball_plan())
    assert transfer.adapted[FIRST] == "3 times along axis 2"


# All networks


NAMES = (*(name for name in NETWORKS if name != "monai"), "monai:DynUNet")


@pytest.mark.parametrize("name", NAMES)
def test_every_network_begins_with_other_channels_and_classes(tmp_path: Path, name: str) -> None:
    kind = NETWORKS.pick(name.partition(":")[0])
    ndim = kind.ndims[-1]
    shape = topology((1.0,) * ndim, (16,) * ndim, width=2, levels=3)
    network = plan_network(name, shape, kind.small())
    patch = (16,) * ndim + (1,) * (3 - ndim)
    there = ball_plan(network=network, patch=patch)
    two = {"channels": ("a", "b"), "normalisations": there.normalisations * 2}
    here = replace(there, labels=(0, 1), names={1: "all"}, **two)
    transfer, _ = started(tmp_path, there, here)
    assert transfer.adapted
    assert len(transfer.taken) > len(transfer.new)
    assert set(transfer.new) == set(transfer.unused)


# From VGG16


def vgg16(width: int = 8) -> dict[str, Tensor]:
    """Convolutions as torchvision names them, of another width."""
    rng, before, weights = torch.manual_seed(3), 3, {}
    layers = [1, 1, 0, 2, 2, 0, 4, 4, 4, 0, 8, 8, 8, 0, 8, 8, 8, 0]  # 0 is a pooling
    place = 0
    for times in layers:
        if times:
            shape = (times * width, before, 3, 3)
            weights[f"features.{place}.weight"] = torch.randn(shape, generator=rng)
            weights[f"features.{place}.bias"] = torch.randn(shape[0], generator=rng)
            before = shape[0]
        place += 2 if times else 1
    return weights


def of_segnet(*channels: str) -> Plan:
    return replace(with_channels(*channels), network=SegNet(8), patch=(32, 32, 1))


def test_a_file_of_vgg16_is_a_start(tmp_path: Path) -> None:
    file, weights = tmp_path / "vgg16.pth", vgg16()
    torch.save(weights, file)
    network = built(of_segnet("r", "g", "b"), 0)
    transfer = start_from(file, network, of_segnet("r", "g", "b"))
    first = network.state_dict()["stages.0.0.weight"]
    assert torch.equal(first, weights["features.0.weight"])
    assert len(transfer.taken) == 26
    assert set(transfer.new) == network.state_dict().keys() - set(transfer.taken)


def test_vgg16_for_one_channel_is_told(tmp_path: Path) -> None:
    save_tensors(vgg16(), tmp_path / "vgg16.safetensors", {})
    plan = of_segnet("MR")
    transfer = start_from(tmp_path / "vgg16.safetensors", built(plan, 0), plan)
    assert transfer.adapted == {"stages.0.0.weight": "for 1 channels from 3"}
    assert len(transfer.taken) == 25


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    save_tensors({"conv.weight": torch.zeros(1)}, tmp_path / "weights.safetensors", {})
    with pytest.raises(ValueError, match=r"does not fit: .* named as torchvision's"):
        start_from(tmp_path / "weights.safetensors", built(of_segnet("MR"), 0), of_segnet("MR"))
