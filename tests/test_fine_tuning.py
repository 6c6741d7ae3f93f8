"""Trainings that begin with another one, or keep parts still: what they leave, and going on."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from balls import (
    assert_same_weights,
    ball_plan,
    ball_training,
    balls,
    interrupted_at,
    last_weights,
    write_balls,
)
from commands import command, complaint
from test_pipelines import pipeline

from medseg import Dataset, Training, train
from medseg.learning.run import Run
from medseg.networks.from_monai import MonaiNetwork
from medseg.phantom import draw_cohort

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return balls(tmp_path_factory.mktemp("balls"))


@pytest.fixture(scope="module")
def other(data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of another seed."""
    folder = tmp_path_factory.mktemp("runs") / "other"
    train(data, ball_plan(), ball_training(steps=2, seed=1), folder)
    return folder


# Begun with another


def test_it_begins_with_the_weights_of_the_other(
    data: Dataset, other: Path, tmp_path: Path
) -> None:
    training = ball_training(steps=1, start=str(other), learning_rate=1e-9, weight_decay=0.0)
    train(data, ball_plan(), training, tmp_path / "run")
    torch.testing.assert_close(last_weights(tmp_path / "run"), last_weights(other))


def test_what_was_taken_stands_in_the_folder(data: Dataset, other: Path, tmp_path: Path) -> None:
    plan = ball_plan(labels=(0, 1, 2, 5), names={})
    train(data, plan, ball_training(steps=1, start=str(other)), tmp_path / "run")
    content = json.loads(Run(tmp_path / "run").transfer.read_text())
    assert content["start"] == str(other)
    assert content["new"] == content["unused"] == ["heads.0.weight", "heads.0.bias"]
    assert len(content["taken"]) == len(last_weights(other)) - 2


def test_stopped_it_goes_on_though_the_other_is_gone(
    data: Dataset, other: Path, tmp_path: Path
) -> None:
    shutil.copytree(other, tmp_path / "start")
    training = ball_training(start=str(tmp_path / "start"))
    train(data, ball_plan(), training, tmp_path / "whole")
    with interrupted_at(3), pytest.raises(KeyboardInterrupt):
        train(data, ball_plan(), training, tmp_path / "stopped")
    shutil.rmtree(tmp_path / "start")
    train(data, ball_plan(), training, tmp_path / "stopped")
    assert_same_weights(tmp_path / "whole", tmp_path / "stopped")


def test_another_start_is_refused(data: Dataset, other: Path, tmp_path: Path) -> None:
    train(data, ball_plan(), ball_training(steps=1), tmp_path / "run")
    with pytest.raises(ValueError, match="holds a training with another start"):
        train(data, ball_plan(), ball_training(steps=1, start=str(other)), tmp_path / "run")


# Parts that stay


def stopped_and_whole(data: Dataset, folder: Path, **settings: Any) -> None:
    training = ball_training(steps=6, **settings)
    train(data, ball_plan(), training, folder / "whole")
    with interrupted_at(2), pytest.raises(KeyboardInterrupt):
        train(data, ball_plan(), training, folder / "stopped")
    train(data, ball_plan(), training, folder / "stopped")


def test_a_frozen_part_has_the_weights_it_began_with(
    data: Dataset, other: Path, tmp_path: Path
) -> None:
    training = ball_training(start=str(other), frozen=("encoder", "up.0.bias"))
    train(data, ball_plan(), training, tmp_path / "run", validation=data)
    before, after = last_weights(other), last_weights(tmp_path / "run")
    same = {name for name, tensor in before.items() if torch.equal(tensor, after[name])}
    assert same == {name for name in before if name.startswith(("encoder.", "up.0.bias"))}


def test_statistics_of_a_frozen_part_stay_after_a_validation_too(
    data: Dataset, tmp_path: Path
) -> None:
    network = MonaiNetwork("BasicUNet", 3, (16,) * 3, {"features": (4,) * 6, "norm": "batch"})
    training = ball_training(frozen=("network.conv_0",))
    train(data, ball_plan(network=network), training, tmp_path / "run", validation=data)
    means = {k: v for k, v in last_weights(tmp_path / "run").items() if "running_mean" in k}
    moved = {name for name, mean in means.items() if mean.any()}
    assert moved == {name for name in means if not name.startswith("network.conv_0.")}


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "rmsprop"])
def test_a_part_learns_once_its_share_is_over(
    data: Dataset, tmp_path: Path, optimizer: str
) -> None:
    settings = {"frozen": ("encoder",), "optimizer": optimizer}
    stopped_and_whole(data, tmp_path, frozen_until=0.5, **settings)
    assert_same_weights(tmp_path / "whole", tmp_path / "stopped")
    train(data, ball_plan(), ball_training(**settings), tmp_path / "frozen")
    still, moved = (
        last_weights(tmp_path / name)["encoder.0.0.weight"] for name in ("frozen", "whole")
    )
    assert not torch.equal(still, moved)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"frozen": ("encodr",)}, "the network has no part 'encodr' to freeze"),
        ({"start": "nowhere"}, "nowhere does not exist"),
    ],
    ids=["part", "start"],
)
def test_what_is_not_there_is_refused_before_it_begins(
    data: Dataset, tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        train(data, ball_plan(), ball_training(**settings), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("share", [0, -0.1, 1.5])
def test_shares_that_make_no_sense_are_refused(share: float) -> None:
    with pytest.raises(ValueError, match=r"frozen_until is a share in \(0, 1\], got"):
        Training(frozen=("encoder",), frozen_until=share)


def test_one_part_needs_no_list() -> None:
    assert Training(frozen="encoder").frozen == ("encoder",)  # type: ignore[arg-type]


# The command and the study


TINY = ("--set", "network.features=[4,8]", "--set", "batch=2", "--set", "precision=float32")


def test_the_command_begins_with_another_run(
    other: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_balls(tmp_path / "data", 5)
    arguments = ("train", tmp_path / "data", tmp_path / "run", "--steps", 1, *TINY)
    settings = ("--set", "frozen=['encoder.0']", "--set", "frozen_until=0.3")
    code, _, err = command(capsys, *arguments, "--from", other, *settings)
    assert code == 0
    assert "tensors are those of" in err
    assert Run(tmp_path / "run").transfer.is_file()
    assert "another frozen, frozen_until" in complaint(capsys, *arguments, "--from", other)
    code, _, _ = command(capsys, *arguments, "--overwrite")
    assert code == 0
    assert not Run(tmp_path / "run").transfer.exists()


def test_fine_tuning(tmp_path: Path, capsys: pytest.CaptureFixture[str], float32: None) -> None:
    data = draw_cohort(tmp_path / "data", cases=5, shape=(8, 8, 8))
    other = draw_cohort(tmp_path / "other", cases=2, seed=5, shape=(8, 8, 8))
    pipeline("fine_tuning.py").main(data, other, tmp_path / "runs", cases=2, steps=2)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["scratch", "fine-tuned", "encoder-still"]
    assert all("Dice" in line for line in lines)
