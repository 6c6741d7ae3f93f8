"""Which voxels of its input each voxel of an inner layer of a network depends on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import lcm

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from medseg.networks.config import NetworkConfig
from medseg.networks.receptive import LONGEST, without_weights
from medseg.networks.tracing import seen


@dataclass(frozen=True)
class LayerField:
    """Voxels of its input that a network looks at in an inner layer.

    Parameters
    ----------
    stride : tuple of float
        Along each axis, voxels of the input from one voxel of the layer to the next.
    offset : tuple of float
        Along each axis, the place in the input that the first voxel of the layer stands for, when
        all of them together cover what the logits are of.
    first, last : tuple of tuple of int
        Along each axis, the first and the last voxel of the input that are seen: an entry for
        each of the first voxels of the layer, as far as they do not repeat. What lies before the
        input, below 0, is padding.
    """

    stride: tuple[float, ...]
    offset: tuple[float, ...]
    first: tuple[tuple[int, ...], ...]
    last: tuple[tuple[int, ...], ...]

    def ends(self, place: Sequence[int]) -> tuple[tuple[int, int], ...]:
        """First and last voxel of the input, along each axis, that a voxel of the layer sees."""
        found = []
        for k, step, first, last in zip(place, self.stride, self.first, self.last, strict=True):
            turns, phase = divmod(k, len(first))
            moved = round(turns * len(first) * step)
            found.append((first[phase] + moved, last[phase] + moved))
        return tuple(found)


def layer_field(network: NetworkConfig, layer: str) -> LayerField:
    """What a layer sees of the input of its network, far from the border.

    Parameters
    ----------
    network : NetworkConfig
    layer : str
        Name of a module of the built network, as in `named_modules`.

    Raises
    ------
    ValueError
        If there is no such layer, it sees more than 8192 voxels along an axis, or the network
        computes in a way that is not known here, such as attention.
    """
    module = without_weights(network)
    if layer not in dict(module.named_modules()):
        raise ValueError(f"the network has no layer {layer!r}")
    until = _Until(module, layer)
    along = [_along(until, network, axis) for axis in range(network.ndim)]
    stride, offset, first, last = zip(*along, strict=True)
    return LayerField(stride, offset, first, last)


@contextmanager
def recorded(network: nn.Module, layer: str) -> Iterator[list[Tensor]]:
    """What a layer gives each time that it is run, in a list that grows.

    It is recorded before what follows may overwrite it.
    """
    outputs: list[Tensor] = []

    def record(_: nn.Module, __: object, output: Tensor) -> Tensor:
        outputs.append(output)
        return output.clone()

    handle = network.get_submodule(layer).register_forward_hook(record)
    try:
        yield outputs
    finally:
        handle.remove()


class _Until(nn.Module):
    """A network whose output is that of one of its layers."""

    def __init__(self, network: nn.Module, layer: str) -> None:
        super().__init__()
        self.network, self.layer = network, layer

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, channels, ...) to what the layer gives."""
        with recorded(self.network, self.layer) as outputs:
            self.network(x)
        if not outputs:
            raise ValueError(f"the network never runs {self.layer!r} as a whole; choose another")
        return outputs[-1]


def _along(
    until: nn.Module, network: NetworkConfig, axis: int
) -> tuple[float, float, tuple[int, ...], tuple[int, ...]]:
    """Stride, offset, and first and last voxel seen by each of the first voxels of the layer."""
    size = [n + 2 * side for n, side in zip(network.smallest, network.margin, strict=True)]
    turn = lcm(network.multiple[axis], network.period[axis])
    length = size[axis] + 4 * turn

    def ends(long: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        return seen(until, (*size[:axis], long, *size[axis + 1 :]), axis)

    count = len(ends(length)[0])
    # In so many voxels of the layer, what is seen moves on by a whole turn.
    phases = len(ends(length + turn)[0]) - count
    if phases < 1:
        raise ValueError("the layer has as many voxels whatever the size of the input")
    stride = turn / phases
    offset = (length - 1 - (count - 1) * stride) / 2
    while length < 4 * LONGEST:
        first, last = ends(length)
        # Whoever sees the last voxel would perhaps see more, if there were more.
        inside = np.flatnonzero((first > 0) & (last < length - 1))
        if len(inside) >= phases:
            start = (len(inside) - phases) // 2
            chosen = np.sort(inside[start : start + phases])
            back = chosen // phases * turn
            order = np.argsort(chosen % phases)
            starts, stops = ((side[chosen] - back)[order].tolist() for side in (first, last))
            return stride, offset, tuple(starts), tuple(stops)
        length += length - size[axis]
    raise ValueError(f"a voxel of the layer sees more than {LONGEST} voxels of the input")
