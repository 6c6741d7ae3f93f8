"""The training loop."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from medseg.learning.batches import Ahead, Batches
from medseg.learning.budget import Budget
from medseg.learning.checkpoint import Checkpoint
from medseg.learning.distributed import Processes
from medseg.learning.logbook import Logbook
from medseg.learning.losses import Loss
from medseg.learning.model import Model
from medseg.learning.run import Run
from medseg.learning.schedules import rate
from medseg.learning.stopping import TRY_AGAIN, listening
from medseg.learning.update import Update, faster_precision
from medseg.learning.validation import Validation
from medseg.learning.weights import save_tensors
from medseg.progress import Progress, progress

if TYPE_CHECKING:
    from medseg.learning.settings import Training

log = logging.getLogger("medseg")
_SECONDS_BETWEEN_CHECKPOINTS = 60
_REPORTS = 100
_PRECISIONS = "float32", "bfloat16"


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
    processes: Processes


def run_to_end(
    session: Session, training: Training, after_validation: Callable[[Run], object]
) -> None:
    """Update the network until the budget is spent; validate and save on the way.

    Raises
    ------
    SystemExit
        With `TRY_AGAIN`, if SIGTERM or SIGUSR1 has come; what is done is saved.
    """
    run, state = session.run, session.state
    share = session.budget.share(state.step)
    spent = share >= 1 or state.patience_is_over(training.patience)
    if spent and state.validated == training.validations and run.last.is_file():
        return  # it is finished
    session.processes.wait()  # now all have seen what was there
    book = None
    if session.processes.leads:
        run.scaling.unlink(missing_ok=True)  # fitted to weights that will be others
        book = Logbook(run, state.step, state.validated, tensorboard=training.tensorboard)
    if not state.precision:
        state.precision = _precision(session, training.precision)
    # A finished training that was given a larger budget has validations before it again.
    state.validated = min(state.validated, int(share * training.validations))
    loop = _Loop(session, training, book, after_validation)
    try:
        with progress(f"training {run.folder.name}") as bar, listening() as asked:
            loop.run(bar, asked)
        loop.finish()
    finally:
        if book is not None:
            book.close()


class _Loop:
    """Steps, and what comes between them; of several processes, only the leading one has a book."""

    def __init__(
        self,
        session: Session,
        training: Training,
        book: Logbook | None,
        after_validation: Callable[[Run], object],
    ) -> None:
        self._session, self._training = session, training
        self._book, self._after_validation = book, after_validation
        state = session.state
        self._update = Update(
            session.model.network,
            session.loss,
            training,
            session.processes,
            parts=state.parts or training.accumulate,
        )
        self._reported, self._losses = session.budget.share(state.step), list[Tensor]()

    def run(self, bar: Progress, asked: Callable[[], bool]) -> None:
        """Update until the budget or the patience is spent; `asked` says whether to leave."""
        session, training = self._session, self._training
        state, saved = session.state, time.monotonic()
        with Ahead(session.batches, session.model.device) as batches:
            while (share := self._share(asked)) < 1:
                self._losses.append(self._step(batches, share))
                self._report(share, bar)
                if share >= (state.validated + 1) / training.validations:
                    self._validate()
                if time.monotonic() - saved >= _SECONDS_BETWEEN_CHECKPOINTS:
                    self._save()
                    saved = time.monotonic()

    def finish(self) -> None:
        """Validate the last weights, and keep them."""
        session, state = self._session, self._session.state
        self._save()
        if not state.patience_is_over(self._training.patience):
            state.validated = self._training.validations - 1  # the last is due, whichever missed
            self._validate()
        state.validated = self._training.validations
        if session.processes.leads:
            network = session.model.network
            save_tensors(network.state_dict(), session.run.last, {"step": state.step})
        self._save()  # last of all, as it says that all the rest is done
        session.processes.wait()
        log.info("%d steps in %.0f s  %s", state.step, session.budget.seconds, _told(state))

    def _share(self, asked: Callable[[], bool]) -> float:
        """Share of the budget that is spent, which all processes agree on; 1 is the end."""
        session, state = self._session, self._session.state
        over = state.patience_is_over(self._training.patience)
        share, leaving = session.processes.highest(
            1.0 if over else session.budget.share(state.step), float(asked())
        )
        if leaving:
            self._save()
            session.processes.wait()
            log.warning("told to stop at step %d; the same command goes on from there", state.step)
            raise SystemExit(TRY_AGAIN)
        return share

    def _step(self, batches: Ahead, share: float) -> Tensor:
        """Update once. Interrupted, it saves a checkpoint, if the weights are those of a step."""
        training, optimizer = self._training, self._session.optimizer
        state, whole = self._session.state, True
        for group in optimizer.param_groups:
            group["lr"] = training.learning_rate * rate(training, share)
        try:
            loss = self._update.gradients(
                batches.take(state.step),
                frozen=training.frozen if share < training.frozen_until else (),
                precision=getattr(torch, state.precision),
                # For dropout; a training that goes on draws the same.
                seed=training.seed * 1_000_003 + state.step,
            )
            whole = False
            optimizer.step()
            state.step += 1
            whole = True
        except KeyboardInterrupt:
            if whole:
                self._save()
            log.warning("stopped at step %d; the same command goes on from there", state.step)
            raise
        state.parts = self._update.parts
        return loss

    def _report(self, share: float, bar: Progress) -> None:
        if share - self._reported < 1 / _REPORTS:
            return
        state = self._session.state
        loss = _mean(self._losses, state.step)
        self._losses, self._reported = [], share
        if self._book is not None:
            self._book.loss(state.step, self._session.budget.seconds, share, loss)
        bar.update(share, f"loss {loss:.3f}  {_told(state)}")

    def _validate(self) -> None:
        """Measure the Dice of the held-out cases, and keep the weights if they are the best."""
        session, state, run = self._session, self._session.state, self._session.run
        began = time.monotonic()
        dice = session.validation.dice(session.model)
        state.validated += 1
        if self._book is None:
            return
        if dice:
            # So long will the last validation take, with some room to write the files.
            session.budget.reserve(1.1 * (time.monotonic() - began) + 5)
            self._book.scores(state.step, session.budget.seconds, dice)
            if state.judge(dice["mean"]):
                facts = {"step": state.step, **dice}
                save_tensors(session.model.network.state_dict(), run.best, facts)
        self._after_validation(run)

    def _save(self) -> None:
        session = self._session
        if not session.processes.leads:
            return
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


def _precision(session: Session, wanted: str) -> str:
    """Name of the dtype to train in, the same in all processes."""
    if wanted != "auto":
        return wanted
    device = session.model.device
    batch = session.batches.at(0, device)
    own = faster_precision(session.model.network, session.loss, batch)
    (highest,) = session.processes.highest(_PRECISIONS.index(own))
    return _PRECISIONS[int(highest)]
