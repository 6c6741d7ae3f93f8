"""Train a network: one loop, no trainer to inherit from."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from math import inf, prod
from pathlib import Path

import torch

from medseg import device as devices
from medseg import strict_json
from medseg.dataset import Dataset
from medseg.io import replace_file
from medseg.learning import AUGMENTATIONS, LOSSES
from medseg.learning.batches import Batches, read_cases
from medseg.learning.budget import Budget
from medseg.learning.checkpoint import Checkpoint
from medseg.learning.loop import Session, run_to_end
from medseg.learning.memory import memory_errors, require_room_for_patches
from medseg.learning.model import Model
from medseg.learning.plan import Plan
from medseg.learning.run import Run
from medseg.learning.validation import Validation
from medseg.registry import build
from medseg.sampling import SAMPLERS

log = logging.getLogger("medseg")
_BATCH_VOXELS = 200_000
_MOST_SAMPLES = 64
_HIGHEST_SEED = 2**32 - 1
# A training that goes on may have these changed.
_CHANGEABLE = {"minutes", "steps", "device"}


@dataclass(frozen=True)
class Training:
    """How to train; a model once trained no longer needs it.

    Parameters
    ----------
    minutes : float, optional
        Wall time of the whole training, validation included; 10 where `steps` is not given.
    steps : int, optional
        Updates, in place of minutes; then the same seed gives the same model.
    batch : int
        Patches of an update; 0 takes as many as make some 200,000 voxels, 2 to 64.
    learning_rate, weight_decay : float
        Of AdamW. The rate rises over the share `warm_up` of the budget and then falls to 0
        as (1 - share) ** 0.9.
    warm_up : float in [0, 1)
    loss, sampler : str
        Names in `LOSSES` and `SAMPLERS`.
    augmentations : tuple of str
        Names in `AUGMENTATIONS`.
    validations : int
        How often the validation cases are segmented, the last time at the end.
    precision : str
        "float32", "bfloat16", or "auto": whichever makes the faster step on this machine.
    seed : int
    device : str
    """

    minutes: float | None = None
    steps: int | None = None
    batch: int = 0
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    warm_up: float = 0.02
    loss: str = "dice+cross-entropy"
    sampler: str = "third-foreground"
    augmentations: tuple[str, ...] = (
        "rotation",
        "scaling",
        "mirroring",
        "brightness",
        "contrast",
        "gamma",
        "noise",
        "blur",
        "low-resolution",
    )
    validations: int = 5
    precision: str = "auto"
    seed: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        if self.minutes is None and self.steps is None:
            object.__setattr__(self, "minutes", 10.0)
        if self.minutes is not None and self.steps is not None:
            raise ValueError("a training has a budget in minutes or in steps, got both")
        if not 0 < (self.minutes or self.steps or 0) < inf or not 0 <= self.warm_up < 1:
            raise ValueError(
                "a training has a positive budget and a warm-up in [0, 1), got "
                f"minutes={self.minutes}, steps={self.steps}, warm_up={self.warm_up}"
            )
        if self.batch < 0 or not 0 < self.learning_rate < inf or self.validations < 1:
            raise ValueError(
                "batch is 0 or more, learning_rate over 0 and validations at least 1, got "
                f"{self.batch}, {self.learning_rate}, {self.validations}"
            )
        if not (0 <= self.seed <= _HIGHEST_SEED and 0 <= self.weight_decay < inf):
            raise ValueError(
                f"seed is 0 to {_HIGHEST_SEED} and weight_decay 0 or more, got "
                f"{self.seed}, {self.weight_decay}"
            )
        if self.precision not in ("auto", "float32", "bfloat16"):
            raise ValueError(f"precision is auto, float32 or bfloat16, got {self.precision!r}")
        SAMPLERS.pick(self.sampler)
        LOSSES.pick(self.loss)
        names = (self.augmentations,) if isinstance(self.augmentations, str) else self.augmentations
        object.__setattr__(self, "augmentations", tuple(names))
        for name in self.augmentations:
            AUGMENTATIONS.pick(name)


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
    ValueError
        If `folder` holds another training, or a case can't be used.
    """
    if not dataset.cases:
        raise ValueError("training needs at least one case, got an empty data set")
    run, device = Run(Path(folder)), devices.resolve(training.device)
    budget = Budget(training.minutes, training.steps)
    batch = training.batch or _batch_size(plan)
    require_room_for_patches(plan, batch, device)
    devices.keep_freed_memory()
    _claim(run, plan, training)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(training.seed)
        model = Model.untrained(plan, training.device)
        optimizer = torch.optim.AdamW(
            model.network.parameters(),
            training.learning_rate,
            weight_decay=training.weight_decay,
            fused=True,
        )
        state = Checkpoint()
        if run.checkpoint.is_file():
            state = Checkpoint.load(run.checkpoint, model.network, optimizer)
            budget = Budget(training.minutes, training.steps, spent=state.seconds)
            log.info("going on at step %d of %s", state.step, run.folder)
        batches = Batches(
            read_cases(dataset.cases, plan, device, run.cache, training.seed),
            plan,
            batch,
            SAMPLERS[training.sampler],
            training.augmentations,
            training.seed,
        )
        held_out = Validation(validation.cases if validation else (), plan)
        loss = LOSSES[training.loss]
        session = Session(run, model, optimizer, loss, batches, held_out, budget, state)
        with memory_errors():
            run_to_end(session, training, after_validation)
    return Model.load(run.folder, training.device)


def _claim(run: Run, plan: Plan, training: Training) -> None:
    """Write down what is trained and how, or make sure that it is what stands there."""
    wanted = asdict(training)
    run.tidy()
    if run.plan.is_file() and run.training.is_file():
        begun = _load(run.training)
        differing = [
            key
            for key, value in asdict(begun).items()
            if key not in _CHANGEABLE and value != wanted[key]
        ]
        if Plan.load(run.plan).to_json() != json.loads(json.dumps(plan.to_json())):
            differing.append("plan")
        if differing:
            raise ValueError(
                f"{run.folder} holds a training with another {', '.join(differing)}; go on with "
                "the same settings, choose another folder, or overwrite it"
            )
    elif run.folder.exists() and set(run.folder.iterdir()) - {run.plan, run.training}:
        raise ValueError(f"{run.folder} is not empty and holds no training; choose another folder")
    plan.save(run.plan)
    replace_file(run.training, json.dumps(wanted, indent=2) + "\n")


def _load(path: Path) -> Training:
    content = strict_json.read(path)
    if not isinstance(content, Mapping):
        raise ValueError(f"{path} holds no training")
    return build(Training, content, f"{path}: a training")


def _batch_size(plan: Plan) -> int:
    return min(max(_BATCH_VOXELS // prod(plan.patch), 2), _MOST_SAMPLES)
