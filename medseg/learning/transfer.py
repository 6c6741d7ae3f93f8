"""Begin a training with the weights of another one."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from medseg.io import replace_file
from medseg.learning.model import Model
from medseg.learning.plan import Plan
from medseg.learning.pretrained import load_vgg16

log = logging.getLogger("medseg")
_MOST_SHOWN = 3
_CHANNELS_OF_VGG16 = 3


@dataclass(frozen=True)
class Transfer:
    """What a network began with.

    Parameters
    ----------
    start : str
        Path of the run, or of the file, that had the weights.
    taken : tuple of str
        Names of the tensors that are as they were there.
    adapted : mapping of str to str
        Names of those that had other channels or axes there, and what they are now.
    new : tuple of str
        Names of those that stayed random.
    unused : tuple of str
        Names of the run for which there was no place; of a file they are not listed.
    """

    start: str
    taken: tuple[str, ...]
    adapted: Mapping[str, str]
    new: tuple[str, ...]
    unused: tuple[str, ...] = ()

    def save(self, path: Path) -> None:
        """Write as JSON."""
        replace_file(path, json.dumps(asdict(self), indent=2) + "\n")

    def __str__(self) -> str:
        """One line that says how much was taken, and lists the exceptions."""
        parts = [f"{len(self.taken)} tensors are those of {self.start}"]
        if self.adapted:
            parts.append(_listed("adapted", self.adapted))
        if self.new:
            parts.append(_listed("new", self.new))
        return ", ".join(parts)


def start_from(start: Path, network: nn.Module, plan: Plan) -> Transfer:
    """Give a network the weights of a run, or of a file of VGG16, as far as they fit.

    Of a run, the tensors are taken whose names and shapes match. Two things may differ; where
    others do, as in the heads for other classes, the network stays as it is.

    - Input channels. If the run has all channels of `plan` by name, their weights are picked.
      Else, of another number, each gets the mean over those of the run, times how many these
      are for each of the new: where all channels are alike, nothing changes.
    - Axes. The kernels of a 2D network are repeated along the slice axis of its plan, the last
      if it has none, and divided by how many copies add up at a voxel: of a volume that is the
      same in all slices, inner slices give what they gave in 2D.

    Normalisation and spacing are those of `plan`; a warning says where the run had others.

    Parameters
    ----------
    start : path
        A folder, or a file with the weights of torchvision's vgg16: safetensors, pt or pth.
    network : nn.Module
        It gets the weights.
    plan : Plan
        Of the network.

    Raises
    ------
    FileNotFoundError
        If there is no such run.
    ValueError
        If nothing fits.

    References
    ----------
    J. Carreira, A. Zisserman, "Quo vadis, action recognition? A new model and the Kinetics
    dataset", CVPR 2017, doi:10.1109/CVPR.2017.502
    """
    begin = _from_vgg16 if start.is_file() else _from_run
    transfer = begin(start, network, plan)
    log.info("%s", transfer)
    return transfer


def _from_vgg16(start: Path, network: nn.Module, plan: Plan) -> Transfer:
    found = set(load_vgg16(start, network))
    taken = [name for name in network.state_dict() if name in found]
    changes = {}
    if plan.inputs != _CHANNELS_OF_VGG16:
        changes[taken.pop(0)] = f"for {plan.inputs} channels from {_CHANNELS_OF_VGG16}"
    new = tuple(name for name in network.state_dict() if name not in found)
    return Transfer(str(start), tuple(taken), changes, new)


def _from_run(start: Path, network: nn.Module, plan: Plan) -> Transfer:
    other = Model.load(start, "cpu")
    _warn_of_differences(start, other.plan, plan)
    stored, changes = _with_channels(other, plan)
    stored, inflated = _with_axes(stored, other.plan, network)
    for name, change in inflated.items():
        changes[name] = f"{changes[name]}, {change}" if name in changes else change
    places = network.state_dict()
    fitting = {
        name: stored[name]
        for name, place in places.items()
        if name in stored and _fits(stored[name], place)
    }
    if not fitting.keys() & dict(network.named_parameters()):
        raise ValueError(
            f"no tensor of {start} fits this network; its network is {other.plan.network}, "
            f"this is {plan.network}"
        )
    network.load_state_dict({**places, **fitting})
    return Transfer(
        str(start),
        tuple(name for name in fitting if name not in changes),
        {name: changes[name] for name in fitting if name in changes},
        tuple(name for name in places if name not in fitting),
        tuple(name for name in stored if name not in fitting),
    )


def _fits(tensor: Tensor, place: Tensor) -> bool:
    return tensor.shape == place.shape and tensor.is_floating_point() == place.is_floating_point()


def _with_channels(other: Model, plan: Plan) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors of a model for the channels of `plan`, and what was done to those that changed."""
    stored = dict(other.network.state_dict())
    there, here = other.plan.channels, plan.channels
    by_name = set(here) <= set(there)
    if there == here or (not by_name and len(there) == len(here)):
        return stored, {}
    changes = {}
    for name, axis in _input_axes(other).items():
        tensor = stored[name]
        if by_name:
            stored[name] = tensor.index_select(axis, torch.tensor([there.index(c) for c in here]))
            changes[name] = f"for {', '.join(here)} of {', '.join(there)}"
        elif tensor.ndim > 1:
            mean = tensor.mean(axis, keepdim=True) * (len(there) / len(here))
            stored[name] = mean.repeat_interleave(len(here), axis)
            changes[name] = f"for {len(here)} channels from {len(there)}"
    return stored, changes


def _input_axes(model: Model) -> dict[str, int]:
    """Names of the tensors that grow with the channels, and along which axis."""
    channels = model.plan.inputs
    with torch.random.fork_rng(devices=[]):
        wider = model.plan.network.build(channels + 1, model.plan.outputs).state_dict()
    return {
        name: axis
        for name, tensor in model.network.state_dict().items()
        for axis, sizes in enumerate(zip(tensor.shape, wider[name].shape, strict=True))
        if sizes == (channels, channels + 1)
    }


def _with_axes(
    stored: dict[str, Tensor], plan: Plan, network: nn.Module
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors with kernels of a 2D network in 3D, where the network has such in their place."""
    if plan.network.ndim != 2:
        return stored, {}
    (axis,) = set(range(3)) - set(plan.axes)
    places, inflated, changes = network.state_dict(), dict(stored), {}
    for name, tensor in stored.items():
        if tensor.ndim == 4 and name in places and places[name].ndim == 5:
            depth = places[name].shape[2 + axis]
            module = network.get_submodule(name.rpartition(".")[0])
            # At a voxel behind a transposed convolution, only every so many of its taps meet.
            stride = module.stride[axis] if isinstance(module, nn.ConvTranspose3d) else 1
            copies = tensor.unsqueeze(2 + axis).repeat_interleave(depth, 2 + axis)
            inflated[name] = copies * (stride / depth)
            changes[name] = f"{depth} times along axis {axis}"
    return inflated, changes


def _warn_of_differences(start: Path, there: Plan, here: Plan) -> None:
    if there.spacing != here.spacing:
        log.warning(
            "%s was trained at a spacing of %s mm, this is at %s",
            start,
            there.spacing,
            here.spacing,
        )
    if any(normalisation not in there.normalisations for normalisation in here.normalisations):
        log.warning(
            "%s was trained with other normalisations: %s; these are %s",
            start,
            there.normalisations,
            here.normalisations,
        )


def _listed(what: str, names: Mapping[str, str] | tuple[str, ...]) -> str:
    first = list(names)[:_MOST_SHOWN]
    if isinstance(names, Mapping):
        first = [f"{name} ({names[name]})" for name in first]
    more = f" and {len(names) - _MOST_SHOWN} more" if len(names) > _MOST_SHOWN else ""
    return f"{what}: {', '.join(first)}{more}"
