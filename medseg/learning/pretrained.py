"""Weights that were learnt elsewhere, from a file that the user has."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError

import torch
from torch import Tensor, nn

from medseg.learning.weights import load_tensors
from medseg.networks.vgg_weights import put_vgg16

_SAFETENSORS = ".safetensors"
_PICKLED = (".pt", ".pth")


def load_vgg16(path: Path, network: nn.Module) -> tuple[str, ...]:
    """Give FCN, SegNet or DeconvNet the weights of a VGG16 that was trained on photographs.

    Parameters
    ----------
    path : Path
        State dictionary of torchvision's vgg16 or vgg16_bn, as safetensors or as .pt, .pth.
    network : module
        Of the published width; `put_vgg16` says what it takes.

    Returns
    -------
    tuple of str
        Names of the network's parameters that were taken.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is damaged or no VGG16, or the network does not begin with one.
    """
    weights = _read(path)
    try:
        return put_vgg16(weights, network)
    except ValueError as error:
        raise ValueError(f"{path} does not fit: {error}") from error


def _read(path: Path) -> Mapping[str, Tensor]:
    if path.suffix == _SAFETENSORS:
        return load_tensors(path)[0]
    if path.suffix not in _PICKLED:
        raise ValueError(f"weights are in a file {_SAFETENSORS}, .pt or .pth, got {path}")
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist")
    try:
        # Nothing but tensors and plain containers is unpickled.
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (UnpicklingError, RuntimeError, EOFError, LookupError) as error:
        raise ValueError(f"{path} is damaged, or holds more than tensors") from error
    if not isinstance(content, Mapping) or not all(
        isinstance(tensor, Tensor) for tensor in content.values()
    ):
        raise ValueError(f"{path} is no state dictionary, which has tensors by name")
    return content
