"""How much of the image an output voxel of a network sees, and how many voxels come out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import nn

from medseg.networks.config import NetworkConfig
from medseg.networks.hollow import hollow
from medseg.networks.tracing import seen

LONGEST = 2**13


@dataclass(frozen=True)
class ReceptiveField:
    """Voxels of the image on which an output voxel depends.

    Parameters
    ----------
    before, after : tuple of tuple of int
        Along each axis, how many voxels before and after the one that lies under the output
        voxel are seen: an entry a phase, since strides make neighbours see different voxels.
    """

    before: tuple[tuple[int, ...], ...]
    after: tuple[tuple[int, ...], ...]

    @property
    def sizes(self) -> tuple[tuple[int, ...], ...]:
        """Along each axis, the different sizes that there are, smallest first."""
        return tuple(
            tuple(sorted({b + 1 + a for b, a in zip(before, after, strict=True)}))
            for before, after in zip(self.before, self.after, strict=True)
        )


def receptive_field(network: NetworkConfig) -> ReceptiveField:
    """Voxels of the image that an output voxel far from the border sees.

    Paths through convolutions, poolings and upsamplings count, whatever their weights are. Not
    counted are the means and variances that a normalisation takes over the whole input.

    Raises
    ------
    ValueError
        If one sees more than 8192 voxels along an axis, or the network computes in a way that
        is not known here, such as attention, in which all voxels see each other.
    """
    module = without_weights(network)
    along = [_along(module, network, axis) for axis in range(network.ndim)]
    before, after = zip(*along, strict=True)
    return ReceptiveField(before, after)


def output_size(network: NetworkConfig, input_size: tuple[int, ...]) -> tuple[int, ...]:
    """Voxels of the logits that a network gives for an input.

    Raises
    ------
    ValueError
        If the input has not as many axes as the network takes, or nothing inside its margin.
    """
    if len(input_size) != network.ndim:
        raise ValueError(f"the network takes {network.ndim} axes, got a size of {input_size}")
    size = tuple(n - 2 * margin for n, margin in zip(input_size, network.margin, strict=True))
    if min(size) < 1:
        least = tuple(2 * margin + 1 for margin in network.margin)
        raise ValueError(f"the network takes {least} voxels or more, got {input_size}")
    return size


def without_weights(network: NetworkConfig) -> nn.Module:
    """Build a network for an only channel on the meta device, where its weights take no memory.

    Raises
    ------
    ValueError
        If it can't be built there.
    """
    try:
        return hollow(network, 1, 2).eval()
    except RuntimeError as error:
        raise ValueError(f"{network} can't be built without drawing weights: {error}") from error


def _along(
    module: nn.Module, network: NetworkConfig, axis: int
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Voxels before and after, along one axis, for an output voxel of each phase."""
    margin, phases = network.margin[axis], network.multiple[axis]
    size = [n + 2 * side for n, side in zip(network.smallest, network.margin, strict=True)]
    length = size[axis] + 4 * phases
    while length < 4 * LONGEST:
        first, last = seen(module, (*size[:axis], length, *size[axis + 1 :]), axis)
        # Whoever sees the last voxel would perhaps see more, if there were more.
        inside = np.flatnonzero((first > 0) & (last < length - 1))
        if len(inside) >= phases:
            start = (len(inside) - phases) // 2
            chosen = inside[start : start + phases]
            own = chosen + margin
            return tuple((own - first[chosen]).tolist()), tuple((last[chosen] - own).tolist())
        length += length - size[axis]
    raise ValueError(f"an output voxel of the network sees more than {LONGEST} voxels")
