"""From a volume as it is stored to what a network sees, and back."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from medseg.intensity import Normalisation, ZScore
from medseg.learning.framing import nonzero
from medseg.learning.memory import require_room
from medseg.learning.plan import Plan
from medseg.learning.splines import nearest, resized_cubic, thick_axis
from medseg.resampling import resample, with_spacing
from medseg.segmenter import canonical
from medseg.volume import Grid, Image, Labels, reorient, require_match
from medseg.volume.exchange import require_finite


@dataclass(frozen=True, eq=False)
class Prepared:
    """An image as a network sees it.

    Parameters
    ----------
    image : (C, ...) float32 array
        In canonical orientation, with the spacing of the plan, normalised.
    mask : (...) bool array, optional
    native : Grid
        Of the image in canonical orientation, before it was resampled.
    """

    image: NDArray[np.float32]
    mask: NDArray[np.bool_] | None
    native: Grid


def prepare(
    image: Image, plan: Plan, mask: Labels | None = None, earlier: Labels | None = None
) -> Prepared:
    """Turn to canonical orientation, normalise, resample to the spacing of the plan.

    Parameters
    ----------
    earlier : Labels, optional
        What the network before this one has found, where the plan asks for it.

    Raises
    ------
    ValueError
        If the image has other channels or axes than the plan, or the labels of an earlier
        network are not there.
    """
    if image.channels != len(plan.channels):
        raise ValueError(
            f"the model takes {len(plan.channels)} channels ({', '.join(plan.channels)}), "
            f"got {image.channels}; name the files of a case with commas between them"
        )
    if image.grid.ndim != len(plan.spacing):
        raise ValueError(
            f"the model takes volumes of {len(plan.spacing)} axes, got {image.grid.ndim}"
        )
    turned = reorient(image).grid
    target = target_grid(turned, plan)
    what = f"an image of {turned.shape} voxels at the spacing of the plan, {plan.spacing} mm,"
    require_room(4 * plan.inputs * prod(target.shape), what, torch.device("cpu"))
    inside = None if mask is None else canonical(mask) != 0
    array = torch.from_numpy(_normalised(image, plan, inside))
    if target.shape != turned.shape:
        if plan.conventions.interpolation == "cubic":
            thick = thick_axis(turned.spacing, _spacing(turned, plan))
            array = resized_cubic(array, target.shape, thick)
        else:
            array = _resized(array, target.shape)
        if inside is not None:
            inside = _touched(torch.from_numpy(inside), target.shape).numpy()
    if plan.earlier:
        array = torch.cat([array, _one_hot(earlier, image.grid, plan, target)])
    return Prepared(array.numpy(), inside, turned)


def target_grid(native: Grid, plan: Plan) -> Grid:
    """Grid of the same box, with the spacing that the network knows."""
    return with_spacing(native, _spacing(native, plan))


def thick_slices(native: Grid, plan: Plan) -> int | None:
    """Axis of the slices that logits take from the nearest one on their way back to `native`."""
    if plan.conventions.interpolation == "linear":
        return None
    return thick_axis(_spacing(native, plan), native.spacing)


def _one_hot(found: Labels | None, grid: Grid, plan: Plan, target: Grid) -> Tensor:
    """(labels, ...) where each label of an earlier network is: 1 there, 0 elsewhere."""
    if found is None:
        raise ValueError(
            f"the network also sees the labels {plan.earlier} of one before it, which are not "
            "there; load it from the folder of its run"
        )
    require_match(grid, found.grid, "the label map of the earlier network")
    turned = reorient(found)
    each = torch.from_numpy(np.stack([turned.array == label for label in plan.earlier])).float()
    if target.shape == turned.grid.shape:
        return each
    thick = None
    if plan.conventions.interpolation == "cubic":
        thick = thick_axis(turned.grid.spacing, target.spacing)
    if thick is not None:
        near = nearest(each.shape[thick + 1], target.shape[thick])
        each = each.index_select(thick + 1, near)
    return (_resized(each, target.shape) > 0.5).float()


def _spacing(native: Grid, plan: Plan) -> tuple[float, ...]:
    """Spacing of the plan, but along slices that keep theirs."""
    if plan.conventions.slices == "resampled":
        return plan.spacing
    pairs = zip(native.spacing, plan.spacing, strict=True)
    return tuple(mm if k in plan.axes else own for k, (own, mm) in enumerate(pairs))


def _normalised(image: Image, plan: Plan, inside: NDArray[np.bool_] | None) -> NDArray[np.float32]:
    """(C, ...) intensities in canonical orientation, as the network knows them."""
    channels = reorient(image).array
    around = _filled(channels) if plan.conventions.crop == "nonzero" else None
    array = np.empty(channels.shape, np.float32)
    with np.errstate(over="ignore"):  # what overflows is refused below
        for place, normalise, channel in zip(array, plan.normalisations, channels, strict=True):
            counted = _counted(normalise, inside, around)
            place[:] = normalise(np.ascontiguousarray(channel), counted)
    try:
        require_finite(array)
    except ValueError as error:
        raise ValueError(f"the plan's normalisation overflows: {plan.normalisations}") from error
    return array


def _filled(channels: NDArray[np.float32]) -> NDArray[np.bool_]:
    """What is not 0 in all channels, and what this encloses."""
    from scipy import ndimage

    inside: NDArray[np.bool_] = ndimage.binary_fill_holes(nonzero(channels))
    return inside


def _counted(
    normalise: Normalisation, inside: NDArray[np.bool_] | None, around: NDArray[np.bool_] | None
) -> NDArray[np.bool_] | None:
    """Voxels that count: of the mask or, where a normalisation asks for it, of what is not 0."""
    if inside is None and isinstance(normalise, ZScore) and normalise.nonzero:
        return around
    return inside


def class_indices(labels: Labels, plan: Plan) -> NDArray[np.unsignedinteger]:
    """Classes of a label map, in canonical orientation, on its own grid.

    Voxels that nobody has annotated are of the class `plan.ignored`.
    """
    array = canonical(labels)
    # Last of all, so that its place is its class.
    known = np.array([*plan.labels, *([] if plan.ignore is None else [plan.ignore])])
    # Searched, as a table would be as long as the highest label is high.
    order = np.argsort(known)
    places = np.searchsorted(known, array, sorter=order).clip(max=len(known) - 1)
    dtype: type[np.unsignedinteger] = np.uint8 if len(known) <= 256 else np.uint16
    classes: NDArray[np.unsignedinteger] = order.astype(dtype)[places]
    if (known[classes] != array).any():
        unknown = sorted(set(labels.values()) - set(known.tolist()))
        raise ValueError(f"labels {unknown} are not in the plan, which has {known.tolist()}")
    return classes


def resampled_classes(
    classes: NDArray[np.unsignedinteger], native: Grid, plan: Plan
) -> NDArray[np.unsignedinteger]:
    """Classes at the spacing of the plan, from the nearest voxel."""
    target = target_grid(native, plan)
    if target.shape == native.shape:
        return classes
    # A copy: the arrays of volumes are read-only, and torch wants to own what it is given.
    return np.array(resample(Labels(classes, native), target).array, classes.dtype)


def _resized(array: Tensor, shape: tuple[int, ...]) -> Tensor:
    """(C, ...) tensor resized linearly, the corners of its box staying put."""
    mode = {2: "bilinear", 3: "trilinear"}[len(shape)]
    return functional.interpolate(array[None], shape, mode=mode, align_corners=False)[0]


def _touched(mask: Tensor, shape: tuple[int, ...]) -> Tensor:
    """(...) mask at another size: the voxels that overlap with it, so that none is lost."""
    pool = {2: functional.adaptive_max_pool2d, 3: functional.adaptive_max_pool3d}[len(shape)]
    return pool(mask[None].float(), shape)[0] > 0
