"""How a network is trained: all that is needed then, and never after."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from medseg.learning import AUGMENTATIONS, LOSSES, OPTIMIZERS, SCHEDULES, VOXEL_WEIGHTS
from medseg.sampling import SAMPLERS

_HIGHEST_SEED = 2**32 - 1


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
        Patches that go through the network together, in all processes; 0 takes as many as make
        some 200,000 voxels, 2 to 64.
    accumulate : int
        Batches of an update: their gradients are added up, which takes the memory of one.
    optimizer : str
        A name in `OPTIMIZERS`.
    learning_rate : float
        Its highest value; `warm_up` and `schedule` say how it changes.
    weight_decay : float
        Of adamw alone; the others have `l1` and `l2`.
    momentum : float in [0, 1)
        Of sgd, heavy-ball and rmsprop.
    l1, l2 : float
        Added to the loss, times the sum of absolute and of squared weights of convolutions.
    longest_gradient : float
        Longer ones are shortened to this norm; 0 leaves them.
    warm_up : float in [0, 1)
        Share of the budget over which the rate rises.
    schedule : str
        A name in `SCHEDULES`: how the rate falls after that.
    halvings : tuple of float in (0, 1)
        Shares of the budget at which the schedule "halving" halves the rate.
    loss, sampler : str
        Names in `LOSSES` and `SAMPLERS`.
    voxel_weights : str
        A name in `VOXEL_WEIGHTS`, of a map that says how much each voxel weighs in the loss;
        empty, where all weigh the same.
    augmentations : tuple of str
        Names in `AUGMENTATIONS`.
    start : str
        A run with whose weights it begins, or a file with those of VGG16; `start_from` says
        what is taken. Empty, they are random.
    after : str
        The network at a lower resolution whose labels this one also sees: a folder of runs, one
        a fold, or runs with commas between them. Each case comes with what the run says of it
        that held it out; while learning, these labels are `damaged` if anything is augmented.
    frozen : tuple of str
        Parts of the network that keep their weights and statistics, by name: encoder.0, heads.
    frozen_until : float in (0, 1]
        Share of the budget for which they do; then they learn too.
    validations : int
        How often the validation cases are segmented, the last time at the end.
    patience : int
        After so many validations that are no better than the best, training ends; 0 never does.
    precision : str
        "float32", "bfloat16", or "auto": whichever makes the faster step on this machine.
    compile : bool
        Whether torch.compile makes one program of the network, which takes a minute at first.
    tensorboard : bool
        Whether to write files for TensorBoard beside the log.
    seed : int
    device : str
    """

    minutes: float | None = None
    steps: int | None = None
    batch: int = 0
    accumulate: int = 1
    optimizer: str = "adamw"
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    momentum: float = 0.9
    l1: float = 0.0
    l2: float = 0.0
    longest_gradient: float = 12.0
    warm_up: float = 0.02
    schedule: str = "poly"
    halvings: tuple[float, ...] = ()
    loss: str = "dice+cross-entropy"
    sampler: str = "third-foreground"
    voxel_weights: str = ""
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
    start: str = ""
    after: str = ""
    frozen: tuple[str, ...] = ()
    frozen_until: float = 1.0
    validations: int = 5
    patience: int = 0
    precision: str = "auto"
    compile: bool = False
    tensorboard: bool = False
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
        if self.accumulate < 1 or self.patience < 0:
            raise ValueError(
                "accumulate is at least 1 and patience 0 or more, got "
                f"{self.accumulate}, {self.patience}"
            )
        if not 0 <= self.seed <= _HIGHEST_SEED:
            raise ValueError(f"seed is 0 to {_HIGHEST_SEED}, got {self.seed}")
        if self.precision not in ("auto", "float32", "bfloat16"):
            raise ValueError(f"precision is auto, float32 or bfloat16, got {self.precision!r}")
        if not 0 < self.frozen_until <= 1:
            raise ValueError(f"frozen_until is a share in (0, 1], got {self.frozen_until}")
        frozen = (self.frozen,) if isinstance(self.frozen, str) else self.frozen
        object.__setattr__(self, "frozen", tuple(frozen))
        self._check_optimizer()
        self._check_names()

    def _check_optimizer(self) -> None:
        for name in ("weight_decay", "l1", "l2", "longest_gradient"):
            if not 0 <= getattr(self, name) < inf:
                raise ValueError(f"{name} is 0 or more, got {getattr(self, name)}")
        if not 0 <= self.momentum < 1:
            raise ValueError(f"momentum is in [0, 1), got {self.momentum}")
        halvings = tuple(self.halvings)
        if any(not 0 < share < 1 for share in halvings) or list(halvings) != sorted(halvings):
            raise ValueError(f"halvings are rising shares in (0, 1), got {halvings}")
        if bool(halvings) != (self.schedule == "halving"):
            raise ValueError(
                f"halvings belong to the schedule 'halving', got {halvings} and {self.schedule!r}"
            )
        object.__setattr__(self, "halvings", halvings)

    def _check_names(self) -> None:
        OPTIMIZERS.pick(self.optimizer)
        SCHEDULES.pick(self.schedule)
        SAMPLERS.pick(self.sampler)
        LOSSES.pick(self.loss)
        if self.voxel_weights:
            VOXEL_WEIGHTS.pick(self.voxel_weights)
        names = (self.augmentations,) if isinstance(self.augmentations, str) else self.augmentations
        object.__setattr__(self, "augmentations", tuple(names))
        for name in self.augmentations:
            AUGMENTATIONS.pick(name)
