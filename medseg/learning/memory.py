"""What a plan asks of memory, refused before it is taken: a file may ask for anything."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from math import prod

import torch
from torch import nn

from medseg.device import free_memory
from medseg.learning.plan import Plan
from medseg.networks import NetworkConfig
from medseg.networks.hollow import hollow

_FLOAT = 4


def require_room(size: int, what: str, device: torch.device) -> None:
    """Raise ValueError if `size` bytes are more than what is free on a device."""
    if lack := lack_of_room(size, what, free_memory(device)):
        raise ValueError(lack)


def lack_of_room(size: int, what: str, room: int) -> str:
    """What to say if `size` bytes are more than there is room for; "" if they are not."""
    if size <= room:
        return ""
    return f"{what} takes {size / 1e9:,.1f} GB, and {room / 1e9:,.1f} GB are free"


def require_room_for_patches(plan: Plan, batch: int, device: torch.device) -> None:
    """Raise ValueError if even the input and the output of a network do not fit in memory."""
    sides = [plan.patch[axis] for axis in plan.axes]
    padded = plan.network.fitted(tuple(sides))
    seen = [side + 2 * m for side, m in zip(padded, plan.network.margin, strict=True)]
    voxels = prod(seen) * plan.inputs + prod(padded) * plan.outputs
    what = f"a batch of {batch} patches of {tuple(seen)} voxels"
    require_room(_FLOAT * batch * voxels, what, device)


def build_network(plan: Plan, device: torch.device) -> nn.Module:
    """Network of a plan with random weights, on the CPU.

    Raises
    ------
    ValueError
        If there is no such network, or its weights do not fit in the memory of `device`.
    """
    shape = plan.inputs, plan.outputs
    try:
        require_room(_size(plan.network, *shape), "the network of the plan", device)
        with memory_errors():
            return plan.network.build(*shape)
    except (RuntimeError, OverflowError) as error:
        raise ValueError(f"the network of the plan can't be built: {error}") from error


def _size(network: NetworkConfig, channels: int, classes: int) -> int:
    """Bytes of its weights, from tensors without content; 0 where it can't be made of those."""
    try:
        return sum(weight.nbytes for weight in hollow(network, channels, classes).parameters())
    except RuntimeError as error:
        if "overflow" in str(error):  # of the size of a tensor
            raise
        return 0  # some of MONAI's networks look at the numbers in their tensors


@contextmanager
def memory_errors() -> Iterator[None]:
    """Raise MemoryError where torch's allocators raise a RuntimeError."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise MemoryError(f"not enough memory: {str(error).splitlines()[0]}") from error
    except RuntimeError as error:
        if "can't allocate memory" in str(error) or "not enough memory" in str(error):
            raise MemoryError(f"not enough memory: {str(error).splitlines()[0]}") from error
        raise
