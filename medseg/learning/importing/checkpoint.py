"""Read a checkpoint of nnU-Net without running what may be hidden in it."""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

# nnU-Net logs its losses as NumPy's numbers; these are all the types that may be made besides
# torch's own tensors. NumPy 2 has moved the first; files name it as the NumPy that wrote them.
_SCALAR = np._core.multiarray.scalar  # type: ignore[attr-defined]
_NUMBERS = [type(np.dtype(kind)) for kind in "?bBhHiIlLqQefd"]
_ALLOWED: list[Any] = [
    (_SCALAR, "numpy.core.multiarray.scalar"),
    (_SCALAR, "numpy._core.multiarray.scalar"),
    np.dtype,
    *_NUMBERS,
]


@dataclass(frozen=True)
class Checkpoint:
    """What of a checkpoint is needed to predict.

    Parameters
    ----------
    weights : mapping of str to Tensor
    configuration : str
        Name of that of the plans which was trained.
    mirroring : tuple of int
        Axes of the network along which tiles are mirrored in prediction.
    """

    weights: Mapping[str, Tensor]
    configuration: str
    mirroring: tuple[int, ...]


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a file that nnU-Net's trainer wrote; only tensors and plain values are unpickled.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is damaged, no such checkpoint, or holds objects of any other kind.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; nnU-Net leaves one when it has trained")
    try:
        with torch.serialization.safe_globals(_ALLOWED):
            content = torch.load(path, map_location="cpu", weights_only=True)
        axes = content["inference_allowed_mirroring_axes"] or ()
        weights = {str(name): tensor for name, tensor in content["network_weights"].items()}
        if not all(isinstance(tensor, Tensor) for tensor in weights.values()):
            raise ValueError("its weights are not all tensors")
        return Checkpoint(
            weights, str(content["init_args"]["configuration"]), tuple(int(axis) for axis in axes)
        )
    except (
        *(pickle.UnpicklingError, RuntimeError, EOFError, OSError),
        *(ValueError, TypeError, LookupError, AttributeError),
    ) as error:
        raise ValueError(
            f"{path} is damaged, or no checkpoint of nnU-Net that can be read safely: "
            f"{_reason(error)}"
        ) from error


def _reason(error: Exception) -> str:
    """What was wrong, without torch's advice to load the file all the same."""
    if isinstance(error, pickle.UnpicklingError):
        found = re.search(r"GLOBAL ([\w.]+)", str(error))
        return f"it holds {found[1]}, no number" if found else "it is no file of torch.save"
    return str(error).partition("\n")[0] or type(error).__name__
