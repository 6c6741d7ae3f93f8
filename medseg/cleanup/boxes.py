"""Boxes about labels, so that work on one of them does not look at the whole volume."""

from __future__ import annotations

from typing import TYPE_CHECKING

from medseg.volume import BACKGROUND

if TYPE_CHECKING:
    from torch import Tensor

Box = tuple[slice, ...]


def boxes_of(labels: Tensor, margin: tuple[int, ...] | None = None) -> dict[int, Box]:
    """Smallest box that holds each label but background, by label, in rising order.

    Parameters
    ----------
    labels : (...) integer tensor
    margin : tuple of int, optional
        So many voxels wider each way along each axis, as far as there are voxels.
    """
    import torch

    places = labels.nonzero()  # (voxels, axes)
    values, code = labels[labels != BACKGROUND].unique(return_inverse=True)
    more = torch.tensor(margin or (0,) * labels.ndim, device=labels.device)
    last = torch.tensor(labels.shape, device=labels.device) - 1
    index = code[:, None].expand_as(places)
    ends = places.new_empty((len(values), labels.ndim))
    low = ends.scatter_reduce(0, index, places, "amin", include_self=False)
    high = ends.scatter_reduce(0, index, places, "amax", include_self=False)
    first = (low - more).clamp(min=0).tolist()
    final = torch.minimum(high + more, last).tolist()
    return {
        label: tuple(slice(a, b + 1) for a, b in zip(begins, stops, strict=True))
        for label, begins, stops in zip(values.tolist(), first, final, strict=True)
    }
