"""Train a network: one loop, no trainer to inherit from."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict
from math import ceil
from pathlib import Path

import torch

from medseg import device as devices
from medseg import strict_json
from medseg.dataset import Dataset
from medseg.io import replace_file
from medseg.learning import OPTIMIZERS, VOXEL_WEIGHTS
from medseg.learning.batch_size import batch_size
from medseg.learning.batches import Batches, TrainingCase, Weighing, read_cases
from medseg.learning.budget import Budget
from medseg.learning.checkpoint import Checkpoint
from medseg.learning.configurations import Configuration, planned_after, seen_after
from medseg.learning.distributed import Processes
from medseg.learning.earlier import keep_earlier
from medseg.learning.freezing import freeze
from medseg.learning.loop import Session, run_to_end
from medseg.learning.losses.targets import planned
from medseg.learning.memory import memory_errors, require_room_for_patches
from medseg.learning.model import Model
from medseg.learning.partial import Unsure
from medseg.learning.plan import Plan
from medseg.learning.run import Run
from medseg.learning.settings import Training
from medseg.learning.transfer import Transfer, start_from
from medseg.learning.validation import Validation
from medseg.registry import build
from medseg.sampling import SAMPLERS

log = logging.getLogger("medseg")
# A training that goes on may have these changed.
_CHANGEABLE = {"minutes", "steps", "device", "patience", "tensorboard"}


def train(
    dataset: Dataset,
    plan: Plan,
    training: Training,
    folder: str | Path,
    *,
    validation: Dataset | None = None,
    after_validation: Callable[[Run], object] = lambda run: None,
) -> Model:
    """Train the network of `plan` and leave the model in `folder`.

    Where `folder` holds the same training, stopped at whatever moment, it goes on from its
    last checkpoint; where that is finished, it may be given a larger budget.

    Parameters
    ----------
    dataset : Dataset
    plan : Plan
    training : Training
    folder : path
        Of the run; see `Run` for the files in it.
    validation : Dataset, optional
        Cases that measure how good the model is; the best weights so far are kept beside the
        last ones.
    after_validation : function of a Run
        Called after each validation, for instance to draw a curve.

    Raises
    ------
    FileNotFoundError
        If there is no run to begin with.
    ValueError
        If `folder` holds another training, or a case can't be used.
    SystemExit
        With code 75, if SIGTERM or SIGUSR1 has come; what is done is saved.
    """
    if not dataset.cases:
        raise ValueError("training needs at least one case, got an empty data set")
    processes, run = Processes.of_environment(), Run(Path(folder))
    place = processes.place(training.device)
    _require_compiler(training)
    devices.keep_freed_memory()
    with processes.together(place):
        plan, first = _after(_of_leader(plan, processes), training)
        if processes.leads:
            _require_free(run, plan, training)
            if first is not None:
                seen_after(dataset, first, place)
        processes.wait()
        if first is not None:  # all of it is there by now
            dataset = seen_after(dataset, first, place)
            validation = validation and seen_after(validation, first, place)
        device = devices.resolve(place)
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(training.seed)
            session = _begun(dataset, validation, plan, training, run, processes)
            with memory_errors():
                run_to_end(session, training, after_validation)
        return Model.load(run.folder, place)


def _of_leader(plan: Plan, processes: Processes) -> Plan:
    """Plan of the first process; others, with other memory, may have planned other patches."""
    if processes.count == 1:
        return plan
    return Plan.from_json(strict_json.parse(processes.agreed(json.dumps(plan.to_json()))))


def _after(plan: Plan, training: Training) -> tuple[Plan, Configuration | None]:
    """Return the plan of the second network of a cascade, and the first, where there is one."""
    if not training.after:
        if plan.earlier:
            raise ValueError(
                "the plan is of the second network of a cascade; say with --after which runs come "
                "before it"
            )
        return plan, None
    first = Configuration.named(training.after)
    return planned_after(plan, first), first


def _begun(
    dataset: Dataset,
    validation: Dataset | None,
    plan: Plan,
    training: Training,
    run: Run,
    processes: Processes,
) -> Session:
    """All that is trained with: new, or as it was left in the folder."""
    budget, place = Budget(training.minutes, training.steps), processes.place(training.device)
    batch = training.batch or _patches(plan, processes.count)
    share = processes.share(batch * training.accumulate, training.accumulate)
    require_room_for_patches(plan, len(share) // training.accumulate, devices.resolve(place))
    model = Model.untrained(plan, place)
    freeze(model.network, training.frozen)
    optimizer = OPTIMIZERS[training.optimizer](model.network.parameters(), training)
    state, transfer = Checkpoint(), None
    if run.checkpoint.is_file():
        state = Checkpoint.load(run.checkpoint, model.network, optimizer)
        budget = Budget(training.minutes, training.steps, spent=state.seconds)
        log.info("going on at step %d of %s", state.step, run.folder)
    elif training.start:
        transfer = start_from(Path(training.start), model.network, plan)
    if processes.leads:
        _write_down(run, plan, training, transfer)
        if training.after:
            keep_earlier(run, Configuration.named(training.after).runs)
        _list_held_out(run, validation)
    batches = Batches(
        _cases(dataset, plan, training, run, processes),
        plan,
        batch * training.accumulate,
        SAMPLERS[training.sampler],
        training.augmentations,
        training.seed,
        share,
    )
    held_out = Validation(validation.cases if validation and processes.leads else (), plan)
    loss = planned(training.loss, plan, Unsure.of(dataset.cases, plan))
    return Session(run, model, optimizer, loss, batches, held_out, budget, state, processes)


def _cases(
    dataset: Dataset, plan: Plan, training: Training, run: Run, processes: Processes
) -> list[TrainingCase]:
    # Each process has files of its own, as machines may not share a disk that is fast.
    return read_cases(
        dataset.cases,
        plan,
        devices.resolve(processes.place(training.device)),
        run.cache / str(processes.rank) if processes.count > 1 else run.cache,
        training.seed,
        weighing=_weighing(training),
    )


def _require_free(run: Run, plan: Plan, training: Training) -> None:
    """Raise ValueError if the folder holds anything but the same training."""
    wanted = asdict(training)
    run.tidy()
    if run.plan.is_file() and run.training.is_file():
        begun = _load(run.training)
        differing = [
            key
            for key, value in asdict(begun).items()
            if key not in _CHANGEABLE and value != wanted[key]
        ]
        if not plan.agrees(Plan.load(run.plan)):
            differing.append("plan")
        if differing:
            raise ValueError(
                f"{run.folder} holds a training with another {', '.join(differing)}; go on with "
                "the same settings, choose another folder, or overwrite it"
            )
    elif run.folder.exists() and set(run.folder.iterdir()) - {run.plan, run.training}:
        raise ValueError(f"{run.folder} is not empty and holds no training; choose another folder")


def _write_down(run: Run, plan: Plan, training: Training, transfer: Transfer | None) -> None:
    """Leave in the folder what is trained, how, and with what it began."""
    plan.save(run.plan)
    replace_file(run.training, json.dumps(asdict(training), indent=2) + "\n")
    if transfer is not None:
        transfer.save(run.transfer)


def _list_held_out(run: Run, validation: Dataset | None) -> None:
    """Leave in the folder which cases validate, for whoever compares runs on them.

    A training that goes on holds out the same ones, or it would be judged by cases that it saw.
    """
    cases = validation.cases if validation else ()
    if run.checkpoint.is_file() and run.held_out.is_file():
        before = {case.name for case in Dataset.read(run.held_out).cases}
        if odd := sorted(before ^ {case.name for case in cases}):
            raise ValueError(
                f"{run.folder} holds a training with other cases held out "
                f"({', '.join(odd[:3])}); go on with the same fold, choose another folder, or "
                "overwrite it"
            )
    if validation is not None and cases:
        validation.save(run.held_out)
    else:
        run.held_out.unlink(missing_ok=True)


def _load(path: Path) -> Training:
    content = strict_json.read(path)
    if not isinstance(content, Mapping):
        raise ValueError(f"{path} holds no training")
    return build(Training, content, f"{path}: a training")


def _weighing(training: Training) -> Weighing | None:
    return VOXEL_WEIGHTS[training.voxel_weights] if training.voxel_weights else None


def _require_compiler(training: Training) -> None:
    """Raise ValueError if a network is to be compiled and there is nothing to do so with."""
    compilers = os.environ.get("CXX", ""), "g++", "clang++", "cl"
    if training.compile and not any(map(shutil.which, compilers)):
        raise ValueError(
            "compile=True needs a C++ compiler, and there is none; install g++, name one in the "
            "environment variable CXX, or leave compile out"
        )


def _patches(plan: Plan, processes: int) -> int:
    """Patches of a batch, the same number in each process."""
    return processes * ceil(batch_size(plan) / processes)
