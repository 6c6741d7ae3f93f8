"""The training loop."""

from __future__ import annotations

import copy
import json
import logging
import math
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from medseg import device as devices
from medseg.io import replace_file
from medseg.learning.batches import Batch, Batches
from medseg.learning.budget import Budget
from medseg.learning.checkpoint import Checkpoint
from medseg.learning.freezing import freeze
from medseg.learning.losses import Loss, supervised
from medseg.learning.model import Model
from medseg.learning.optimizers import add_penalties
from medseg.learning.run import Run
from medseg.learning.schedules import rate
from medseg.learning.validation import Validation
from medseg.learning.weights import save_tensors
from medseg.progress import progress

if TYPE_CHECKING:
    from medseg.learning.settings import Training

log = logging.getLogger("medseg")
_SECONDS_BETWEEN_CHECKPOINTS = 60
_REPORTS = 100


@dataclass(frozen=True, eq=False)
class Session:
    """What a training works with; `state` and the network are what it changes."""

    run: Run
    model: Model
    optimizer: torch.optim.Optimizer
    loss: Loss
    batches: Batches
    validation: Validation
    budget: Budget
    state: Checkpoint


def run_to_end(
    session: Session, training: Training, after_validation: Callable[[Run], object]
) -> None:
    """Update the network until the budget is spent; validate and save on the way."""
    run, state, budget = session.run, session.state, session.budget
    share = budget.share(state.step)
    if share >= 1 and state.validated == training.validations and run.last.is_file():
        return  # it is finished
    _begin_log(run, state)
    state.precision = state.precision or _precision(session, training.precision)
    # A finished training that was given a larger budget has validations before it again.
    state.validated = min(state.validated, int(share * training.validations))
    saved, reported, losses = time.monotonic(), share, list[Tensor]()
    with progress(f"training {run.folder.name}") as bar, _Batches(session) as batches:
        while (share := budget.share(state.step)) < 1:
            for group in session.optimizer.param_groups:
                group["lr"] = training.learning_rate * rate(training, share)
            still = training.frozen if share < training.frozen_until else ()
            freeze(session.model.network, still)
            losses.append(_step(session, batches, training))
            if share - reported >= 1 / _REPORTS:
                loss, losses, reported = _mean(losses, state.step), [], share
                _log(run, step=state.step, seconds=budget.seconds, share=share, loss=loss)
                bar.update(share, f"loss {loss:.3f}  {_told(state)}")
            if share >= (state.validated + 1) / training.validations:
                _validate(session)
                after_validation(run)
            if time.monotonic() - saved >= _SECONDS_BETWEEN_CHECKPOINTS:
                _save(session)
                saved = time.monotonic()
    _save(session)
    state.validated = training.validations - 1  # the last one is due, whichever were missed
    _validate(session)
    save_tensors(session.model.network.state_dict(), run.last, {"step": state.step})
    after_validation(run)
    _save(session)  # last of all, as it says that all the rest is done
    log.info("%d steps in %.0f s  %s", state.step, budget.seconds, _told(state))


class _Batches:
    """The batch of each step, the next one being made while this one is used."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._pool = ThreadPoolExecutor(1, "medseg-batches")
        self._coming: dict[int, Future[Batch]] = {}

    def __enter__(self) -> _Batches:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def take(self, step: int) -> Batch:
        """Return the batch of a step."""
        coming = self._coming.pop(step, None) or self._ask(step)
        self._coming[step + 1] = self._ask(step + 1)
        return coming.result()

    def _ask(self, step: int) -> Future[Batch]:
        return self._pool.submit(self._session.batches.at, step, self._session.model.device)


def _step(session: Session, batches: _Batches, training: Training) -> Tensor:
    """Update once. Interrupted, it saves a checkpoint, if the weights are those of a step."""
    state, whole = session.state, True
    try:
        batch = batches.take(state.step)
        # For dropout; a training that goes on draws the same.
        torch.manual_seed(training.seed * 1_000_003 + state.step)
        loss = _gradients(session, batch, training)
        whole = False
        session.optimizer.step()
        state.step += 1
        whole = True
    except KeyboardInterrupt:
        if whole:
            _save(session)
        log.warning("stopped at step %d; the same command goes on from there", state.step)
        raise
    return loss


def _gradients(session: Session, batch: Batch, training: Training) -> Tensor:
    """Loss, whose gradients are left at the weights; it stays on the device, so nothing waits."""
    network = session.model.network
    session.optimizer.zero_grad(set_to_none=True)
    precision = getattr(torch, session.state.precision)
    loss = _forward(network, session.loss, batch, precision)
    loss.backward()
    add_penalties(network, l1=training.l1, l2=training.l2)
    if training.longest_gradient:
        nn.utils.clip_grad_norm_(network.parameters(), training.longest_gradient)
    return loss.detach()


def _forward(network: nn.Module, loss: Loss, batch: Batch, precision: torch.dtype) -> Tensor:
    lower = precision != torch.float32
    with torch.autocast(batch.images.device.type, precision if lower else None, enabled=lower):
        outputs = network(batch.images)
    return supervised(loss, outputs, batch.targets, batch.weights)


def _validate(session: Session) -> None:
    """Measure the Dice of the held-out cases, and keep the weights if they are the best."""
    state, run = session.state, session.run
    began = time.monotonic()
    dice = session.validation.dice(session.model)
    state.validated += 1
    if not dice:
        return
    # So long will the last validation take, with some room to write the files.
    session.budget.reserve(1.1 * (time.monotonic() - began) + 5)
    state.latest = dice["mean"]
    _log(run, step=state.step, seconds=session.budget.seconds, dice=dice)
    if state.latest > state.best:
        state.best = state.latest
        save_tensors(session.model.network.state_dict(), run.best, {"step": state.step, **dice})


def _save(session: Session) -> None:
    weights = session.model.network.parameters()
    if not all(bool(weight.isfinite().all()) for weight in weights):
        raise _diverged(session.state.step)
    session.state.seconds = session.budget.seconds
    session.state.save(session.run.checkpoint, session.model.network, session.optimizer)


def _mean(losses: list[Tensor], step: int) -> float:
    loss = float(torch.stack(losses).mean())
    if not math.isfinite(loss):
        raise _diverged(step)
    return loss


def _diverged(step: int) -> ValueError:
    return ValueError(
        f"the training diverged before step {step}: its loss or weights are no longer finite; "
        "begin anew with a lower learning_rate, or in float32 (--set precision=float32)"
    )


def _told(state: Checkpoint) -> str:
    return f"Dice {state.latest:.3f}, best {state.best:.3f}" if state.best >= 0 else ""


def _log(run: Run, **facts: object) -> None:
    rounded = {k: round(v, 5) if isinstance(v, float) else v for k, v in facts.items()}
    with run.log.open("a", encoding="utf-8") as file:
        file.write(json.dumps(rounded) + "\n")


def _begin_log(run: Run, state: Checkpoint) -> None:
    """Forget what was logged after the step, and the validation, from which training goes on."""
    text = run.log.read_text(encoding="utf-8") if run.log.is_file() and state.step else ""
    kept, validated = [], 0
    # The last line may be half there, where the power went.
    for line in text[: text.rfind("\n") + 1].splitlines():
        facts = _logged(line, run)
        validated += "dice" in facts
        if facts["step"] <= state.step and ("dice" not in facts or validated <= state.validated):
            kept.append(line)
    replace_file(run.log, "".join(f"{line}\n" for line in kept))


def _logged(line: str, run: Run) -> dict[str, Any]:
    """Facts of a line of the log; ValueError if it is none that training wrote."""
    try:
        facts: dict[str, Any] = json.loads(line)
        numbers = [facts["step"], facts["seconds"], *facts.get("dice", {}).values()]
        numbers.append(facts.get("loss", 0.0))
        if not all(math.isfinite(number) for number in numbers):
            raise ValueError("a number is not finite")
    except (ValueError, TypeError, AttributeError, LookupError, OverflowError) as error:
        raise ValueError(f"{run.log} is damaged; move it away and go on: {error}") from error
    return facts


def _precision(session: Session, wanted: str) -> str:
    """Name of the dtype to train in; "auto" takes bfloat16 where a step is faster in it.

    That CPUs support it does not say so: on some, convolutions in bfloat16 take twice as long.
    """
    device = session.model.device
    native = devices.fast_precision(device)
    if wanted != "auto":
        return wanted
    if device.type == "cuda" or native == torch.float32:
        return str(native).removeprefix("torch.")
    network = copy.deepcopy(session.model.network).train()
    batch = session.batches.at(0, device)
    seconds = {}
    for name in ("float32", "bfloat16"):
        times = []
        for _ in range(3):
            began = time.perf_counter()
            _forward(network, session.loss, batch, getattr(torch, name)).backward()
            times.append(time.perf_counter() - began)
        seconds[name] = min(times)
    return "bfloat16" if seconds["bfloat16"] < 0.9 * seconds["float32"] else "float32"
