"""Training that stops: by Ctrl-C, by a kill, by the clock; and goes on as if nothing had been."""

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from balls import (
    EVERYTHING,
    assert_same_weights,
    ball_plan,
    ball_training,
    balls,
    interrupted_at,
    log_of,
    validations_of,
)

from medseg import Dataset, Training, train
from medseg.learning import budget, loop
from medseg.learning.batches import Batches
from medseg.learning.run import Run
from medseg.learning.scaling import Scaling
from medseg.learning.validation import Validation
from medseg.learning.weights import load_tensors
from medseg.networks.from_monai import MonaiNetwork
from medseg.networks.unet import UNet

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return balls(tmp_path_factory.mktemp("balls"))


# Stopped


def test_interrupted_and_resumed_gives_the_same_weights(data: Dataset, tmp_path: Path) -> None:
    training = ball_training(augmentations=EVERYTHING)
    train(data, ball_plan(), training, tmp_path / "whole", validation=data)
    for step in (0, 1, 4):
        with interrupted_at(step), pytest.raises(KeyboardInterrupt):
            train(data, ball_plan(), training, tmp_path / "stopped", validation=data)
    train(data, ball_plan(), training, tmp_path / "stopped", validation=data)
    assert_same_weights(tmp_path / "whole", tmp_path / "stopped")
    assert Run(tmp_path / "whole").best.read_bytes() == Run(tmp_path / "stopped").best.read_bytes()


def test_dropout_goes_on_where_it_stopped(data: Dataset, tmp_path: Path) -> None:
    parameters = {"features": (4,) * 6, "dropout": 0.3}
    plan = ball_plan(network=MonaiNetwork("BasicUNet", 3, (16,) * 3, parameters))
    train(data, plan, ball_training(steps=3), tmp_path / "whole")
    with interrupted_at(2), pytest.raises(KeyboardInterrupt):
        train(data, plan, ball_training(steps=3), tmp_path / "stopped")
    train(data, plan, ball_training(steps=3), tmp_path / "stopped")
    assert_same_weights(tmp_path / "whole", tmp_path / "stopped")


DYING = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
import torch
from balls import EVERYTHING, ball_plan, ball_training
from medseg import Dataset, train
from medseg.learning import loop
from medseg.learning.batches import Batches
from medseg.learning.checkpoint import Checkpoint

loop._SECONDS_BETWEEN_CHECKPOINTS = 0
save, at = Checkpoint.save, Batches.at
def save_at_3(self, *arguments):
    if self.step == 3:
        save(self, *arguments)
def die_at_5(self, step, device):
    if step == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return at(self, step, device)
Checkpoint.save, Batches.at = save_at_3, die_at_5
torch.set_num_threads(1)
data = Dataset.read(sys.argv[2])
train(data, ball_plan(), ball_training(augmentations=EVERYTHING), sys.argv[3], validation=data)
"""


def test_killed_and_resumed_gives_the_same_weights_and_log(tmp_path: Path) -> None:
    data = balls(tmp_path / "data", 3)
    arguments = (str(Path(__file__).parent), str(tmp_path / "data"), str(tmp_path / "killed"))
    killed = subprocess.run([sys.executable, "-c", DYING, *arguments], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert log_of(tmp_path / "killed")[-1]["step"] in (4, 5)  # beyond the checkpoint
    training = ball_training(augmentations=EVERYTHING)
    for name in ("killed", "whole"):
        train(data, ball_plan(), training, tmp_path / name, validation=data)
    assert_same_weights(tmp_path / "whole", tmp_path / "killed")
    assert_each_thing_once(tmp_path / "killed")
    assert validations_of(tmp_path / "killed") == validations_of(tmp_path / "whole")


def assert_each_thing_once(folder: Path) -> None:
    steps = [line["step"] for line in log_of(folder)]
    losses = [line["step"] for line in log_of(folder) if "loss" in line]
    assert steps == sorted(steps)
    assert len(losses) == len(set(losses))


def test_the_log_says_each_thing_once_after_going_on(data: Dataset, tmp_path: Path) -> None:
    with interrupted_at(4), pytest.raises(KeyboardInterrupt):
        train(data, ball_plan(), ball_training(), tmp_path, validation=data)
    train(data, ball_plan(), ball_training(), tmp_path, validation=data)
    assert_each_thing_once(tmp_path)
    assert list(validations_of(tmp_path)) == [4, 6]


def test_minutes_spent_before_a_stop_count(data: Dataset, tmp_path: Path) -> None:
    with interrupted_at(3), pytest.raises(KeyboardInterrupt):
        train(data, ball_plan(), ball_training(), tmp_path)
    spent = load_tensors(Run(tmp_path).checkpoint)[1]["seconds"]
    train(data, ball_plan(), ball_training(), tmp_path)
    assert log_of(tmp_path)[-1]["seconds"] >= round(spent, 5)


def test_a_finished_training_is_left_as_it_is(data: Dataset, tmp_path: Path) -> None:
    train(data, ball_plan(), ball_training(), tmp_path / "run", validation=data)
    run = Run(tmp_path / "run")
    before = [path.read_bytes() for path in (run.best, run.last, run.log)]
    train(data, ball_plan(), ball_training(), tmp_path / "run", validation=data)
    assert [path.read_bytes() for path in (run.best, run.last, run.log)] == before


def test_a_finished_training_takes_more_steps(data: Dataset, tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    train(data, ball_plan(), ball_training(steps=2), run.folder)
    Scaling((0.5,) * 3, (0,) * 3, "last.safetensors of step 2").save(run.scaling)
    train(data, ball_plan(), ball_training(steps=5), run.folder)
    assert load_tensors(run.last)[1]["step"] == 5
    assert not run.scaling.exists(), "it was fitted to other weights"


@pytest.mark.parametrize(
    "changes",
    [{"seed": 1}, {"batch": 3}, {"loss": "dice"}, {"learning_rate": 0.1, "sampler": "uniform"}],
    ids=str,
)
def test_other_settings_are_refused_by_name(
    data: Dataset, tmp_path: Path, changes: dict[str, Any]
) -> None:
    train(data, ball_plan(), ball_training(steps=1), tmp_path / "run")
    named = ", ".join(changes)
    with pytest.raises(ValueError, match=f"holds a training with another {named}; go on with"):
        train(data, ball_plan(), ball_training(steps=1, **changes), tmp_path / "run")


def test_another_plan_is_refused(data: Dataset, tmp_path: Path) -> None:
    train(data, ball_plan(), ball_training(steps=1), tmp_path / "run")
    with pytest.raises(ValueError, match="holds a training with another plan"):
        train(data, ball_plan(patch=(8, 8, 8)), ball_training(steps=1), tmp_path / "run")


def test_the_folder_says_which_cases_were_held_out(data: Dataset, tmp_path: Path) -> None:
    fitting, held_out = data.fold(0, 5)
    train(fitting, ball_plan(), ball_training(steps=1), tmp_path / "run", validation=held_out)
    found = Dataset.read(Run(tmp_path / "run").held_out)
    assert [case.name for case in found.cases] == [case.name for case in held_out.cases]
    assert found.cases[0].labels().values() == (1, 2)


def test_going_on_with_other_cases_held_out_is_refused(data: Dataset, tmp_path: Path) -> None:
    (fitting, held_out), (others, elsewhere) = data.folds(5)[:2]
    train(fitting, ball_plan(), ball_training(steps=1), tmp_path / "run", validation=held_out)
    for wrong in (elsewhere, None):
        with pytest.raises(ValueError, match="a training with other cases held out"):
            train(others, ball_plan(), ball_training(steps=2), tmp_path / "run", validation=wrong)


def test_a_folder_of_something_else_is_refused(data: Dataset, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("all of it")
    with pytest.raises(ValueError, match="is not empty and holds no training"):
        train(data, ball_plan(), ball_training(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("share", [0, 0.3, 0.95])
def test_a_truncated_checkpoint_is_refused(data: Dataset, tmp_path: Path, share: float) -> None:
    train(data, ball_plan(), ball_training(steps=1), tmp_path / "run")
    checkpoint = Run(tmp_path / "run").checkpoint
    content = checkpoint.read_bytes()
    checkpoint.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=r"checkpoint\.safetensors is damaged"):
        train(data, ball_plan(), ball_training(steps=2), tmp_path / "run")


def test_the_checkpoint_of_another_network_is_refused(data: Dataset, tmp_path: Path) -> None:
    train(data, ball_plan(), ball_training(steps=1), tmp_path / "a")
    train(data, ball_plan(network=UNet(3, (4, 4, 4))), ball_training(steps=1), tmp_path / "b")
    Run(tmp_path / "b").checkpoint.replace(Run(tmp_path / "a").checkpoint)
    with pytest.raises(ValueError, match="does not fit the plan beside it"):
        train(data, ball_plan(), ball_training(steps=2), tmp_path / "a")


# By the clock


class Clock:
    """A clock that stands still unless told to go on."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        """Seconds."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A step takes 1 s and a validation 5 s."""
    clock = Clock()
    for module in (budget, loop):
        monkeypatch.setattr(module, "time", clock)
    for owner, name, seconds in ((Batches, "at", 1), (Validation, "dice", 5)):
        _slow_down(monkeypatch, clock, getattr(owner, name), (owner, name, seconds))
    return clock


def _slow_down(
    monkeypatch: pytest.MonkeyPatch, clock: Clock, plain: Any, place: tuple[Any, str, int]
) -> None:
    owner, name, seconds = place

    def slow(*arguments: Any) -> Any:
        clock.now += seconds
        return plain(*arguments)

    monkeypatch.setattr(owner, name, slow)


def in_minutes(minutes: float) -> Training:
    return ball_training(steps=None, minutes=minutes, validations=3)


def test_it_ends_in_time_and_uses_it(data: Dataset, tmp_path: Path, clock: Clock) -> None:
    began = clock.now
    train(data, ball_plan(), in_minutes(1), tmp_path / "run", validation=data)
    assert 45 < clock.now - began <= 60


def test_the_last_validation_comes_after_the_last_step(
    data: Dataset, tmp_path: Path, clock: Clock
) -> None:
    train(data, ball_plan(), in_minutes(1), tmp_path / "run", validation=data)
    validated = list(validations_of(tmp_path / "run"))
    assert len(validated) == 3
    assert validated[-1] == load_tensors(Run(tmp_path / "run").last)[1]["step"]


def test_validations_longer_than_the_budget_still_leave_a_model(
    data: Dataset, tmp_path: Path, clock: Clock
) -> None:
    train(data, ball_plan(), in_minutes(0.1), tmp_path / "run", validation=data)
    assert Run(tmp_path / "run").best.is_file()


def test_going_on_takes_the_minutes_that_were_left(
    data: Dataset, tmp_path: Path, clock: Clock
) -> None:
    began = clock.now
    with interrupted_at(20), pytest.raises(KeyboardInterrupt):
        train(data, ball_plan(), in_minutes(1), tmp_path / "run", validation=data)
    stopped = clock.now
    clock.now += 10_000  # a night
    train(data, ball_plan(), in_minutes(1), tmp_path / "run", validation=data)
    assert 45 < clock.now - began - 10_000 <= 60
    assert stopped < clock.now - 10_000
