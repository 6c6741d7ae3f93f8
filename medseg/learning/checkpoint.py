"""All that training needs to go on after it was stopped, in one file.

Batches are made from the seed and the number of the step alone, so that number is all the
random state there is.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from medseg.learning.optimizers import state_names
from medseg.learning.weights import load_tensors, put_weights, require_like, save_tensors
from medseg.registry import build

_NETWORK, _OPTIMIZER = "network.", "optimizer."
# Of a parameter's state, all but this has the shape of the parameter.
_COUNT = "step"


@dataclass
class Checkpoint:
    """How far training is.

    Parameters
    ----------
    step : int
        Updates done.
    seconds : float
        Wall time spent.
    precision : str
        Of the arithmetic; chosen at the beginning.
    validated : int
        Validations done.
    best : float
        Highest mean Dice of a validation so far.
    latest : float
        Mean Dice of the latest validation.
    waited : int
        Validations since the best one.
    parts : int
        In how many a batch goes through the network; 0 before the first step.
    """

    step: int = 0
    seconds: float = 0.0
    precision: str = ""
    validated: int = 0
    best: float = -1.0
    latest: float = -1.0
    waited: int = 0
    parts: int = 0

    def __post_init__(self) -> None:
        counts = self.step, self.seconds, self.validated, self.waited, self.parts
        if min(counts) < 0:
            raise ValueError(f"counts and times are 0 or more, got {self}")
        if self.precision not in ("", "float32", "bfloat16"):
            raise ValueError(f"precision is float32 or bfloat16, got {self.precision!r}")

    def judge(self, dice: float) -> bool:
        """Take in the mean Dice of a validation, and say whether it is the best so far."""
        self.latest, self.waited = dice, self.waited + 1
        if dice > self.best:
            self.best, self.waited = dice, 0
        return self.waited == 0

    def patience_is_over(self, patience: int) -> bool:
        """Whether as many validations have brought nothing; a patience of 0 has no end."""
        return 0 < patience <= self.waited

    def save(self, path: Path, network: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Write it together with weights and the state of the optimiser."""
        tensors = {_NETWORK + name: tensor for name, tensor in network.state_dict().items()}
        for number, state in optimizer.state_dict()["state"].items():
            for key, value in state.items():
                tensors[f"{_OPTIMIZER}{number}.{key}"] = torch.as_tensor(value)
        save_tensors(tensors, path, asdict(self))

    @classmethod
    def load(cls, path: Path, network: nn.Module, optimizer: torch.optim.Optimizer) -> Checkpoint:
        """Read it, and put network and optimiser in their state.

        Raises
        ------
        ValueError
            If the file is damaged or belongs to another network.
        """
        tensors, facts = load_tensors(path)
        weights = {
            name.removeprefix(_NETWORK): tensor
            for name, tensor in tensors.items()
            if name.startswith(_NETWORK)
        }
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        states: dict[int, dict[str, Tensor]] = {}
        groups = optimizer.state_dict()["param_groups"]
        try:
            for name, tensor in tensors.items():
                if not name.startswith(_NETWORK):
                    number, _, key = name.removeprefix(_OPTIMIZER).partition(".")
                    if not number.isdecimal():
                        raise ValueError(f"it has {name}, which is no state of the optimiser")
                    state = states.setdefault(int(number), {})
                    state[key] = _state(name, tensor, key, parameters[int(number)])
            if any(state.keys() != state_names(optimizer) for state in states.values()):
                raise ValueError("the state of the optimiser is not whole")
            put_weights(weights, network)
            optimizer.load_state_dict({"state": states, "param_groups": groups})
            return build(cls, facts, "a checkpoint")
        except (RuntimeError, ValueError, TypeError, LookupError) as error:
            raise ValueError(f"{path} does not fit the plan beside it: {error}") from error


def _state(name: str, tensor: Tensor, key: str, parameter: Tensor) -> Tensor:
    """Part of a parameter's state, checked; with the strides that a fused optimiser relies on."""
    if key == _COUNT:
        require_like(name, tensor, torch.zeros(()))
        return tensor
    require_like(name, tensor, parameter)
    return torch.empty_like(parameter, dtype=tensor.dtype).copy_(tensor)
