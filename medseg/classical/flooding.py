"""Floods that rise from markers: the watershed of a relief, on the CPU and on CUDA."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from medseg.classical.spanning_forest import flooded_in_torch

if TYPE_CHECKING:
    from torch import Tensor


def flooded(relief: Tensor, markers: Tensor, mask: Tensor | None = None) -> Tensor:
    """Label of the marker whose water reaches each voxel first, over faces.

    Water always takes the lowest voxel that it touches. Where two marked waters meet, neither
    goes on. So each voxel is joined with its marker by the way whose highest point is lowest:
    the regions are the trees of the minimum spanning forest that is rooted in the markers.

    Voxels of one height are taken in layers, by the steps from where the water came to that
    height; within a layer, in the order of storage. scikit-image and SimpleITK take them in
    layers too, but within a layer in the order in which their neighbours were taken, so that on
    plateaus borders may lie elsewhere. Where no two heights are equal, the result is theirs.

    Parameters
    ----------
    relief : (...) float32 tensor of 1 to 3 axes
        How high each voxel is; without NaN.
    markers : (...) int32 tensor
        Not 0 where the water rises.
    mask : (...) bool tensor, optional
        Water stays inside.

    Returns
    -------
    (...) int32 tensor
        0 outside the mask, and where no way leads to a marker.

    References
    ----------
    F. Meyer, "Topographic distance and watershed lines", Signal Process. 38(1):113-125, 1994.
    doi:10.1016/0165-1684(94)90060-4

    J. Cousty et al., "Watershed cuts: minimum spanning forests and the drop of water
    principle", IEEE Trans. Pattern Anal. Mach. Intell. 31(8):1362-1374, 2009.
    doi:10.1109/TPAMI.2008.173
    """
    if relief.is_cuda:
        return flooded_in_torch(relief, markers, mask)
    from medseg.classical import _flooding_kernels as kernels

    heights, labels, offsets = _bordered(relief, markers, mask)
    kind = np.int64 if labels.size >= 2**31 else np.int32
    voxels = np.flatnonzero(labels != kernels.CLOSED).astype(kind)
    order, keys = kernels.sorted_by(voxels, _as_integers(heights).ravel())
    kernels.flood(order, keys, labels.ravel(), offsets)
    return _inner(labels)


def flooded_compactly(
    relief: Tensor,
    markers: Tensor,
    spacing: tuple[float, ...],
    compactness: float,
    mask: Tensor | None = None,
) -> Tensor:
    """Do what `flooded` does on a relief that rises with the distance from the markers.

    For water that came from a marked voxel, a voxel is higher by `compactness` times the
    distance between the two in mm, so that regions become rounder and more even in size.
    How high a voxel is depends on the way by which the water comes, which has to be followed
    one voxel after the other: the CPU does it for CUDA tensors too.

    Parameters
    ----------
    relief, markers, mask
        As for `flooded`.
    spacing : tuple of float, mm
    compactness : float
        Height for each mm.

    References
    ----------
    P. Neubert, P. Protzel, "Compact watershed and preemptive SLIC: on improving trade-offs of
    superpixel segmentation algorithms", ICPR 2014. doi:10.1109/ICPR.2014.181
    """
    from medseg.classical import _flooding_kernels as kernels

    inside = None if mask is None else mask.cpu()
    heights, labels, offsets = _bordered(relief.cpu(), markers.cpu(), inside)
    missing = 3 - labels.ndim
    steps = np.array([1.0] * missing + list(spacing))
    strides = np.array([labels.size] * missing + [s // labels.itemsize for s in labels.strides])
    kernels.compact_flood(
        heights.ravel(), labels.ravel(), offsets, strides, steps, float(compactness)
    )
    return _inner(labels).to(relief.device)


def lined(labels: Tensor, relief: Tensor, markers: Tensor) -> Tensor:
    """Part regions that touch over faces by lines of 0, one voxel wide.

    Of two neighbours in different regions the higher one becomes 0; of equally high ones, the
    later in storage; never a marked one, so that markers that touch stay together.

    Parameters
    ----------
    labels, markers : (...) int32 tensors
        Not 0 in the regions.
    relief : (...) float32 tensor
    """
    line = labels == 0
    fixed = markers != 0
    for axis in range(labels.ndim):
        size = labels.shape[axis]
        early, late = ((axis, 0, size - 1), (axis, 1, size - 1))
        one, two = labels.narrow(*early), labels.narrow(*late)
        apart = (one != two) & (one != 0) & (two != 0)
        falls = (relief.narrow(*early) > relief.narrow(*late)) | fixed.narrow(*late)
        falls &= ~fixed.narrow(*early)
        line.narrow(*early).logical_or_(apart & falls)
        line.narrow(*late).logical_or_(apart & ~falls & ~fixed.narrow(*late))
    return labels.masked_fill(line, 0)


def _bordered(
    relief: Tensor, markers: Tensor, mask: Tensor | None
) -> tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.int64]]:
    """Heights and labels with a closed border, and the offsets of neighbours."""
    from medseg.classical import _flooding_kernels as kernels

    known = markers.numpy().astype(np.int32, copy=False)
    if mask is not None:
        known = np.where(mask.numpy(), known, kernels.CLOSED)
    labels = np.pad(known.astype(np.int32, copy=False), 1, constant_values=kernels.CLOSED)
    steps = np.array(labels.strides) // labels.itemsize
    offsets = np.concatenate([-steps, steps[::-1]])
    return np.pad(relief.numpy().astype(np.float32, copy=False), 1), labels, offsets


def _as_integers(heights: NDArray[np.float32]) -> NDArray[np.uint32]:
    """Integers in the order of the heights: of negative ones, all bits are turned."""
    bits = (heights + np.float32(0)).view(np.uint32)  # -0 becomes 0
    negative = (bits >> np.uint32(31)).astype(bool)
    return np.where(negative, ~bits, bits | np.uint32(2**31))


def _inner(labels: NDArray[np.int32]) -> Tensor:
    import torch

    from medseg.classical import _flooding_kernels as kernels

    found = labels[(slice(1, -1),) * labels.ndim].copy()
    found[found == kernels.CLOSED] = 0
    return torch.from_numpy(found)
