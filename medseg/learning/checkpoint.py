"""All that training needs to go on after it was stopped, in one file.

Batches are made from the seed and the number of the step alone, so that number is all the
random state there is.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from medseg.learning.weights import load_tensors, save_tensors

_NETWORK, _OPTIMIZER = "network.", "optimizer."


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
    """

    step: int = 0
    seconds: float = 0.0
    precision: str = ""
    validated: int = 0
    best: float = -1.0
    latest: float = -1.0

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
                if name.startswith(_OPTIMIZER):
                    number, _, key = name.removeprefix(_OPTIMIZER).partition(".")
                    state = states.setdefault(int(number), {})
                    state[key] = _laid_out_as(parameters[int(number)], tensor)
            network.load_state_dict(weights)
            optimizer.load_state_dict({"state": states, "param_groups": groups})
            return cls(**facts)
        except (RuntimeError, ValueError, TypeError, LookupError) as error:
            raise ValueError(f"{path} does not fit the plan beside it: {error}") from error


def _laid_out_as(parameter: Tensor, tensor: Tensor) -> Tensor:
    """Copy of a state with the strides of its parameter, which a fused optimiser relies on."""
    if tensor.shape != parameter.shape:
        return tensor
    return torch.empty_like(parameter, dtype=tensor.dtype).copy_(tensor)
