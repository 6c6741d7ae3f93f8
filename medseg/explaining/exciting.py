"""Patches of a data set that excite a layer most, cut by what it sees."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from medseg.dataset import Case
from medseg.explaining.scene import Scene
from medseg.explaining.window import Window, windows_over
from medseg.learning.framing import frame
from medseg.learning.passes import Passes
from medseg.learning.preparing import prepare
from medseg.networks.layer_field import LayerField, recorded


@dataclass(frozen=True, eq=False)
class Patch:
    """What a voxel of a layer saw when it was excited.

    Parameters
    ----------
    case : str
    activation : float
    array : (C, ...) float array
        As the network knows it, cut by the receptive field. What lay beyond the window, where
        the network sees padding, is cut off.
    """

    case: str
    activation: float
    array: NDArray[np.float32]


def exciting(
    scene: Scene, layer: str, features: Sequence[int], cases: Iterable[Case], most: int = 6
) -> list[list[Patch]]:
    """The patches that excite each feature of a layer most, the most exciting first.

    Of each window, a feature gets one patch at most. Where the case has a mask, only voxels of
    the layer that stand for a place inside it count.

    Parameters
    ----------
    scene : Scene
        With the model; its image does not matter.
    layer : str
    features : sequence of int
    cases : iterable of Case
    most : int
        Patches a feature.
    """
    best: list[list[Patch]] = [[] for _ in features]
    field = scene.field(layer)
    for case in cases:
        for found in _of_case(scene, case, (layer, field), features):
            for row, patch in zip(best, found, strict=True):
                row.append(patch)
                row.sort(key=lambda one: -one.activation)
                del row[most:]
    return best


def _of_case(
    scene: Scene, case: Case, layer: tuple[str, LayerField], features: Sequence[int]
) -> Iterable[list[Patch]]:
    """Of each window, a patch for each feature."""
    model, (name, field) = scene.model, layer
    image = case.image(len(model.plan.channels))
    framed = frame(image, case.mask(), model.plan.conventions)
    prepared = prepare(framed.image, model.plan, framed.mask)
    passes = Passes(model.network, model.plan, model.overlap, ())
    forward = passes.forward()
    volume = torch.from_numpy(prepared.image)
    for window in windows_over(prepared.image.shape[1:], passes):
        if prepared.mask is not None and not window.of_tile(prepared.mask).any():
            continue
        at = (slice(None), *(slice(a, a + n) for a, n in zip(*window.box, strict=True)))
        seen = window.seen(volume[at][None].to(model.device))
        with torch.no_grad(), recorded(model.network, name) as outputs:
            forward(seen)
        maps = scene.with_slices(outputs[-1][0])
        if prepared.mask is not None:
            inside = torch.from_numpy(prepared.mask[at[1:]]).to(seen)[None, None]
            kept = _at_voxels(window.seen(inside)[0, 0], field, tuple(maps.shape[1:])) > 0
            if not kept.any():
                continue
            maps = maps.masked_fill(~kept, -torch.inf)
        yield [_patch(case.name, maps[feature], seen[0], field, window) for feature in features]


def _at_voxels(seen: torch.Tensor, field: LayerField, shape: tuple[int, ...]) -> torch.Tensor:
    """What is seen (*sides) at the places that the voxels of a layer stand for."""
    for axis, (offset, stride, size) in enumerate(
        zip(field.offset, field.stride, shape, strict=True)
    ):
        at = (offset + stride * torch.arange(size)).round().long().clamp(0, seen.shape[axis] - 1)
        seen = seen.index_select(axis, at.to(seen.device))
    return seen


def _patch(
    case: str, activations: torch.Tensor, seen: torch.Tensor, field: LayerField, window: Window
) -> Patch:
    where = np.unravel_index(int(activations.argmax()), activations.shape)
    cut = tuple(
        slice(max(first, 0), min(last + 1, side))
        for (first, last), side in zip(
            field.ends([int(k) for k in where]), window.sides, strict=True
        )
    )
    array = seen[(slice(None), *cut)].cpu().numpy().copy()
    return Patch(case, float(activations.max()), array)
