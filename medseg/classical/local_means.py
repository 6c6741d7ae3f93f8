"""Parts about means of intensity and place, each looked for near its mean only."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from medseg.device import computing_threads

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")
# Planes that a thread does in one go.
_BLOCK = 16
# Pairs of a centre and a voxel that the torch path holds at a time.
_MOST_AT_ONCE = 2**23


@dataclass(frozen=True, eq=False)
class Field:
    """What parts are made of.

    Levels are whole numbers, and so are places, so that sums of them are exact: the same in
    whatever order they are added, by any number of threads, on any device.

    Parameters
    ----------
    levels : (C, i, j, k) float32 tensor
        Whole numbers below 2^24.
    inside : (i, j, k) bool tensor
    scales : (C + 3,) float32 array
        What a step of each channel and each axis counts.
    reach : (3,) float32 array
        How many voxels away from its centre a part may have a voxel, along each axis.
    """

    levels: Tensor
    inside: Tensor
    scales: NDArray[np.float32]
    reach: NDArray[np.float32]

    def settled(self, labels: Tensor, parts: int, iterations: int) -> Tensor:
        """Labels whose voxels are nearest to their own means, or after so many steps."""
        import torch

        centres = np.zeros((parts, len(self.scales)), np.float32)
        for _ in range(iterations):
            centres = self.means(labels, centres)
            before, labels = labels, self.nearest(centres, labels)
            if torch.equal(before, labels):
                break
        return labels

    def means(self, labels: Tensor, before: NDArray[np.float32]) -> NDArray[np.float32]:
        """Mean level and place of each part, (n, C + 3); of an empty one, as `before`.

        Parameters
        ----------
        labels : (i, j, k) int32 tensor
            Numbers of parts, from 0 to n - 1; what they are outside does not matter.
        """
        add_up = add_up_in_torch if labels.is_cuda else _add_up
        totals = add_up(self, labels, len(before))
        counts = totals[:, -1:]
        found = totals[:, :-1] / np.maximum(counts, 1)
        return np.where(counts > 0, found, before).astype(np.float32)

    def nearest(self, centres: NDArray[np.float32], labels: Tensor) -> Tensor:
        """Number of the nearest centre within reach of each voxel; where there is none, as now.

        The lower of equally near ones.
        """
        if labels.is_cuda:
            return nearest_in_torch(self, centres, labels)
        import torch

        from medseg.classical import _slic_kernels

        after = labels.numpy().copy()
        out = after, np.empty(after.shape, np.float32)
        levels = self.levels.numpy()
        _in_blocks(
            len(after),
            lambda block: _slic_kernels.assign(
                block, levels, centres, self.scales, self.reach, out
            ),
        )
        return torch.from_numpy(after)


def _in_blocks(planes: int, do: Callable[[tuple[int, int]], T]) -> list[T]:
    """What `do` gives for each block of planes, from the first on."""
    blocks = [(start, min(start + _BLOCK, planes)) for start in range(0, planes, _BLOCK)]
    with ThreadPoolExecutor(computing_threads()) as pool:
        return list(pool.map(do, blocks))


def _add_up(field: Field, labels: Tensor, parts: int) -> NDArray[np.int64]:
    from medseg.classical import _slic_kernels

    arrays = field.levels.numpy(), labels.numpy(), field.inside.numpy()

    def do(block: tuple[int, int]) -> NDArray[np.int64]:
        totals = np.zeros((parts, len(field.levels) + 4), np.int64)
        _slic_kernels.add_up(block, *arrays, totals)
        return totals

    total: NDArray[np.int64] = np.sum(_in_blocks(len(labels), do), axis=0)
    return total


def add_up_in_torch(field: Field, labels: Tensor, parts: int) -> NDArray[np.int64]:
    """Sum of levels, places and 1 of each part, (parts, C + 4), in torch alone."""
    import torch

    own = labels[field.inside].long()
    features = [
        *(channel[field.inside].long() for channel in field.levels),
        *field.inside.nonzero().T,
        torch.ones_like(own),
    ]
    columns = [own.new_zeros(parts).index_add_(0, own, feature) for feature in features]
    totals: NDArray[np.int64] = torch.stack(columns, dim=1).cpu().numpy()
    return totals


def nearest_in_torch(field: Field, centres: NDArray[np.float32], labels: Tensor) -> Tensor:
    """Do what `Field.nearest` does in torch alone, on any device.

    Some centres at a time measure the boxes about them. Of a voxel, the least of distance and
    number stays, packed into one integer: the bits of floats that are not negative are in the
    order of the floats.
    """
    import torch

    device, shape = labels.device, labels.shape
    packed = torch.full((labels.numel(),), torch.iinfo(torch.int64).max, device=device)
    offsets = torch.cartesian_prod(
        *(torch.arange(2 * int(reach) + 1, device=device) for reach in field.reach)
    )  # (offsets, 3)
    all_centres = torch.from_numpy(centres).to(device)
    scales, reach = (torch.from_numpy(each).to(device) for each in (field.scales, field.reach))
    size = torch.tensor(shape, device=device)
    levels = field.levels.flatten(1)
    channels = len(levels)
    at_once = max(1, _MOST_AT_ONCE // len(offsets))
    numbers = torch.arange(len(centres), device=device)
    for own, number in zip(all_centres.split(at_once), numbers.split(at_once), strict=True):
        middle = own[:, None, channels:]
        places = (middle - reach).ceil().long() + offsets  # (centres, offsets, 3)
        valid = ((places <= middle + reach) & (places >= 0) & (places < size)).all(dim=2)
        steps = ((places - middle) * scales[channels:])[valid].square()
        place = places[valid]
        index = (place[:, 0] * shape[1] + place[:, 1]) * shape[2] + place[:, 2]
        of = torch.arange(len(own), device=device)[:, None].expand_as(valid)[valid]
        away = steps[:, 0] + steps[:, 1] + steps[:, 2]
        for channel, scale, value in zip(levels, scales, own.T, strict=False):
            away += ((channel[index] - value[of]) * scale).square()
        bits = away.view(torch.int32).long() << 32 | number[of]
        packed.scatter_reduce_(0, index, bits, "amin")
    found = (packed & 0xFFFFFFFF).to(torch.int32)
    return torch.where(packed < torch.iinfo(torch.int64).max, found, labels.flatten()).view(shape)
