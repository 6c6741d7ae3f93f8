"""Steps in parts and compiled, and trainings that lose patience, are told to stop, are drawn."""

import logging
import os
import shutil
import signal
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from balls import (
    assert_same_weights,
    ball_plan,
    ball_training,
    balls,
    last_weights,
    log_of,
    validations_of,
    write_balls,
)
from commands import command
from torch import Tensor

from medseg import Dataset, train
from medseg.learning import LOSSES, update
from medseg.learning.batches import Batch, Batches
from medseg.learning.run import Run
from medseg.learning.validation import Validation
from medseg.learning.weights import load_tensors
from medseg.networks.unet import UNet

pytestmark = pytest.mark.usefixtures("one_thread")
TINY = ("--set", "network.features=[4,8]", "--set", "batch=2", "--set", "precision=float32")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return balls(tmp_path_factory.mktemp("balls"), 3)


# In parts


@pytest.mark.parametrize("weighted", [True, False])
def test_a_batch_falls_into_parts_that_make_it_up(*, weighted: bool) -> None:
    images, targets = torch.rand(5, 1, 2, 2), torch.ones(5, 2, 2)
    batch = Batch(images, targets, images[:, 0] if weighted else None)
    parts = batch.split(3)
    assert [len(part.images) for part in parts] == [2, 2, 1]
    assert torch.equal(torch.cat([part.images for part in parts]), images)
    assert [part.weights is None for part in parts] == [not weighted] * 3
    assert len(batch.split(9)) == 5


def test_two_batches_of_two_make_the_update_of_one_of_four(data: Dataset, tmp_path: Path) -> None:
    fixed = {"loss": "cross-entropy", "steps": 3, "longest_gradient": 0.1}
    for name, sizes in (("one", (4, 1)), ("two", (2, 2))):
        training = ball_training(batch=sizes[0], accumulate=sizes[1], **fixed)
        train(data, ball_plan(), training, tmp_path / name)
    one, two = (last_weights(tmp_path / name) for name in ("one", "two"))
    torch.testing.assert_close(two, one, atol=1e-4, rtol=1e-3)
    losses = [[line["loss"] for line in log_of(tmp_path / name)] for name in ("one", "two")]
    assert losses[0] == pytest.approx(losses[1], abs=1e-4)


def short_of_memory(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """Let the network fail as torch does, if more than so many patches go through it."""
    plain = update.forward

    def forward(network: Any, images: Tensor, precision: torch.dtype) -> Any:
        if len(images) > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nMore")
        return plain(network, images, precision)

    monkeypatch.setattr(update, "forward", forward)


def test_out_of_memory_the_same_step_is_made_in_smaller_parts(
    data: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    train(data, ball_plan(), ball_training(batch=1, accumulate=4), tmp_path / "parts")
    short_of_memory(monkeypatch, 1)
    with caplog.at_level(logging.WARNING, "medseg"):
        train(data, ball_plan(), ball_training(batch=4), tmp_path / "short")
    assert_same_weights(tmp_path / "parts", tmp_path / "short")
    told = [record.message for record in caplog.records if "memory ran out" in record.message]
    assert [" 2 parts" in told[0], " 4 parts" in told[1], len(told)] == [True, True, 2]
    assert load_tensors(Run(tmp_path / "short").checkpoint)[1]["parts"] == 4


def test_where_not_even_a_patch_fits_it_says_so(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short_of_memory(monkeypatch, 0)
    with pytest.raises(MemoryError, match=r"CUDA out of memory.*; take a smaller batch"):
        train(data, ball_plan(), ball_training(), tmp_path / "run")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, of torch.jit
@pytest.mark.skipif(not shutil.which("g++"), reason="there is no compiler")
def test_a_compiled_network_learns_the_same(data: Dataset, tmp_path: Path) -> None:
    plan = ball_plan(network=UNet(2, (4, 4)), patch=(16, 14, 1))
    for compiled in (False, True):
        training = ball_training(steps=2, compile=compiled)
        train(data, plan, training, tmp_path / str(compiled))
    plain, compiled = (last_weights(tmp_path / name) for name in ("False", "True"))
    torch.testing.assert_close(compiled, plain, atol=1e-3, rtol=1e-2)


def test_without_a_compiler_compiling_is_refused(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(ValueError, match=r"compile=True needs a C\+\+ compiler"):
        train(data, ball_plan(), ball_training(compile=True), tmp_path / "run")


# Until patience is over


def dice_of(monkeypatch: pytest.MonkeyPatch, *values: float) -> None:
    means = iter(values)
    monkeypatch.setattr(Validation, "dice", lambda self, model: {"mean": next(means)})


def test_it_ends_after_two_validations_that_are_not_the_best(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dice_of(monkeypatch, 0.2, 0.1, 0.3, 0.3, 0.25)
    training = ball_training(steps=24, validations=12, patience=2)
    train(data, ball_plan(), training, tmp_path / "run", validation=data)
    found = validations_of(tmp_path / "run")
    assert [dice["mean"] for dice in found.values()] == [0.2, 0.1, 0.3, 0.3, 0.25]
    run = Run(tmp_path / "run")
    assert load_tensors(run.best)[1]["step"] == list(found)[2]
    assert load_tensors(run.last)[1]["step"] == list(found)[-1] < 24
    before = [path.read_bytes() for path in (run.best, run.last, run.log)]
    train(data, ball_plan(), training, tmp_path / "run", validation=data)
    assert [path.read_bytes() for path in (run.best, run.last, run.log)] == before


def test_with_more_patience_it_goes_on(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dice_of(monkeypatch, 0.2, 0.1, 0.3)
    for patience in (1, 2):
        training = ball_training(steps=4, validations=4, patience=patience)
        train(data, ball_plan(), training, tmp_path / "run", validation=data)
    assert validations_of(tmp_path / "run")[4] == {"mean": 0.3}
    assert load_tensors(Run(tmp_path / "run").last)[1]["step"] == 4


# Until it is told to stop


def signalled_at(monkeypatch: pytest.MonkeyPatch, step: int, number: int) -> None:
    """Let the signal come while the batch of `step` is made."""
    at = Batches.at

    def signalling(self: Batches, asked: int, device: torch.device) -> Batch:
        if asked == step:
            os.kill(os.getpid(), number)
        return at(self, asked, device)

    monkeypatch.setattr(Batches, "at", signalling)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1], ids=str)
def test_a_signal_stops_it_after_a_whole_step_and_it_goes_on(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    train(data, ball_plan(), ball_training(), tmp_path / "whole")
    handler = signal.getsignal(number)
    with monkeypatch.context() as patch:
        signalled_at(patch, 3, number)
        with pytest.raises(SystemExit) as left:
            train(data, ball_plan(), ball_training(), tmp_path / "stopped")
    assert left.value.code == 75
    assert signal.getsignal(number) == handler
    assert load_tensors(Run(tmp_path / "stopped").checkpoint)[1]["step"] in (2, 3, 4)
    assert not Run(tmp_path / "stopped").last.exists()
    train(data, ball_plan(), ball_training(), tmp_path / "stopped")
    assert_same_weights(tmp_path / "whole", tmp_path / "stopped")


def test_the_command_leaves_with_a_code_that_means_try_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_balls(tmp_path / "data", 3)
    signalled_at(monkeypatch, 2, signal.SIGTERM)
    arguments = ("train", tmp_path / "data", tmp_path / "run", "--steps", 9, *TINY)
    code, _, err = command(capsys, *arguments)
    assert code == 75
    assert "told to stop at step" in err


# Drawn


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_shows_what_the_log_says(data: Dataset, tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    training = ball_training(steps=4, tensorboard=True)
    train(data, ball_plan(), training, tmp_path / "run", validation=data)
    drawn = accumulator.EventAccumulator(str(Run(tmp_path / "run").tensorboard)).Reload()
    losses = [(line["step"], line["loss"]) for line in log_of(tmp_path / "run") if "loss" in line]
    assert [step for step, _ in losses] == [one.step for one in drawn.Scalars("loss")]
    assert [one.value for one in drawn.Scalars("loss")] == pytest.approx(
        [loss for _, loss in losses], abs=1e-4
    )
    validated = validations_of(tmp_path / "run")
    assert {one.step: one.value for one in drawn.Scalars("dice/shell")} == pytest.approx(
        {step: dice["shell"] for step, dice in validated.items()}, abs=1e-4
    )


def test_without_tensorboard_it_says_what_to_install(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ValueError, match=r"install medseg\[tensorboard\]"):
        train(data, ball_plan(), ball_training(tensorboard=True), tmp_path / "run")


@pytest.mark.parametrize("slow", [torch.float32, torch.bfloat16])
def test_the_faster_precision_is_taken_and_nothing_learnt_meanwhile(
    slow: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, plain = 0.0, update.forward

    def forward(network: Any, images: Tensor, precision: torch.dtype) -> Any:
        nonlocal now
        now += 2.0 if precision == slow else 1.0
        return plain(network, images, precision)

    monkeypatch.setattr(update, "forward", forward)
    monkeypatch.setattr(update, "time", SimpleNamespace(perf_counter=lambda: now))
    monkeypatch.setattr(update.devices, "fast_precision", lambda _: torch.bfloat16)
    network = UNet(3, (4, 8)).build(1, 3)
    before = [weight.clone() for weight in network.parameters()]
    batch = Batch(torch.randn(1, 1, 8, 8, 8), torch.zeros(1, 8, 8, 8, dtype=torch.long), None)
    found = update.faster_precision(network, LOSSES["dice"], batch)
    assert found == ("bfloat16" if slow == torch.float32 else "float32")
    assert all(torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))
    assert all(weight.grad is None for weight in network.parameters())
