"""Probabilities made milder or bolder, so that they come true as often as they say."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from math import isfinite
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medseg import strict_json
from medseg.io import replace_file
from medseg.learning.run import SCALING_FILE

Use = Literal["stored", "none"]
_AT_ONCE = 2**20  # voxels
_TINY = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True)
class Scaling:
    """A factor and an offset for each class: log p becomes factor log p + offset.

    Of the logarithms of probabilities, as these mean the same whatever is added to all logits.
    With one factor 1/T for all and no offsets it is temperature scaling, which keeps the
    likeliest class; else vector scaling.

    Parameters
    ----------
    factors, offsets : tuple of float
        One a class, background first.
    fitted_to : str
        What it was fitted to, as the file of the weights and their step; it is for nothing else.
    notes : mapping
        For people: how and on what it was fitted.

    References
    ----------
    C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger, "On calibration of modern neural networks",
    ICML 2017, PMLR 70:1321-1330
    """

    factors: tuple[float, ...]
    offsets: tuple[float, ...]
    fitted_to: str = ""
    notes: Mapping[str, Any] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        for name in ("factors", "offsets"):
            object.__setattr__(self, name, tuple(map(float, getattr(self, name))))
        numbers = (*self.factors, *self.offsets)
        if not self.factors or len(self.factors) != len(self.offsets):
            raise ValueError(
                f"a scaling has a factor and an offset for each class, got {len(self.factors)} "
                f"and {len(self.offsets)}"
            )
        if not all(map(isfinite, numbers)) or max(map(abs, numbers)) > 1e6:
            raise ValueError(f"factors and offsets are numbers up to a million, got {numbers}")

    @property
    def keeps_order(self) -> bool:
        """Whether the likeliest class stays so: it is temperature scaling."""
        return len(set(self.factors)) == 1 and self.factors[0] > 0 and len(set(self.offsets)) == 1

    @property
    def temperature(self) -> float:
        """By how much logits are divided, on the geometric average of the classes."""
        return float(np.exp(-np.log(np.abs(self.factors)).mean()))

    def require_classes(self, count: int) -> None:
        """Raise ValueError unless it is of so many classes."""
        if len(self.factors) != count:
            raise ValueError(f"a scaling of {len(self.factors)} classes is not of {count}")

    def of_logits(self, logits: Tensor) -> Tensor:
        """(classes, ...) scaled logarithms of the probabilities of logits."""
        along = (-1, *[1] * (logits.ndim - 1))
        numbers = (
            torch.tensor(some, device=logits.device) for some in (self.factors, self.offsets)
        )
        factors, offsets = (some.reshape(along) for some in numbers)
        return torch.addcmul(offsets, logits.float().log_softmax(0), factors)

    def of_probabilities(self, probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
        """(classes, voxels) scaled probabilities, of logits that are their logarithms."""
        found = np.empty_like(probabilities)
        for start in range(0, probabilities.shape[1], _AT_ONCE):
            some = torch.tensor(probabilities[:, start : start + _AT_ONCE])
            soft = self.of_logits(some.clamp_min_(_TINY).log_()).softmax(0)
            found[:, start : start + _AT_ONCE] = soft.numpy()
        return found

    def save(self, path: Path) -> None:
        """Write as JSON."""
        content = {each.name: getattr(self, each.name) for each in fields(self)}
        replace_file(path, json.dumps(content, indent=2, allow_nan=False) + "\n")

    @classmethod
    def load(cls, path: Path) -> Scaling:
        """Read what `save` wrote; ValueError if the file holds something else."""
        content = strict_json.read(path)
        if not isinstance(content, Mapping) or set(content) != {each.name for each in fields(cls)}:
            raise ValueError(
                f'{path} holds no scaling; expected {{"factors": [...], "offsets": [...], '
                '"fitted_to": "...", "notes": {}}'
            )
        numbers = [content["factors"], content["offsets"]]
        lists = all(isinstance(some, list) for some in numbers)
        if not lists or not all(type(x) in (int, float) for some in numbers for x in some):
            raise ValueError(f"{path}: factors and offsets are lists of numbers, got {numbers}")
        if not isinstance(content["fitted_to"], str) or not isinstance(content["notes"], Mapping):
            raise ValueError(f"{path}: fitted_to is text and notes are an object")
        try:
            return cls(**content)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error


def stored_scaling(folder: Path, use: Use, fitted_to: str) -> Scaling | None:
    """Scaling that belongs to the model in a folder, if there is one and it is to be used.

    Raises
    ------
    ValueError
        If it was fitted to something else than the model.
    """
    if use not in ("stored", "none"):
        raise ValueError(f"scaling is stored or none, got {use!r}")
    file = folder / SCALING_FILE
    if use == "none" or not file.is_file():
        return None
    found = Scaling.load(file)
    if found.fitted_to != fitted_to:
        raise ValueError(
            f"{file} was fitted to {found.fitted_to or 'nothing'}, not to {fitted_to}; run medseg "
            "calibrate again, or load the model with scaling=none"
        )
    return found
