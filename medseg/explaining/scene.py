"""What is explained: a region of a segmentation, in the window that the network sees of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medseg.explaining.place import Place
from medseg.explaining.score import RegionScore
from medseg.explaining.window import Window, window_on
from medseg.learning.framing import Framed, frame
from medseg.learning.model import Model
from medseg.learning.passes import BATCH_VOXELS, Passes
from medseg.learning.plan import Plan
from medseg.learning.preparing import Prepared, prepare, target_grid
from medseg.networks.layer_field import LayerField, layer_field
from medseg.resampling import part_of, resample
from medseg.segmenter import require_place
from medseg.volume import Grid, Image, Labels, reorient


@dataclass(frozen=True, eq=False)
class Scene:
    """A region and what the network sees of it.

    Parameters
    ----------
    model : Model
    image : Image
        As it was given.
    region : Labels
        Where the label was found, on the grid of the image.
    label : int
    name : str
    volume : (C, ...) float tensor
        The voxels that are seen, as the network knows them; on its device.
    window : Window
    score : RegionScore
        Of the part of the region in the window.
    place : Place
    """

    model: Model
    image: Image
    region: Labels
    label: int
    name: str
    volume: Tensor
    window: Window
    score: RegionScore
    place: Place

    @property
    def batch(self) -> int:
        """Windows that go through the network together."""
        most = BATCH_VOXELS[self.volume.device.type]
        return max(most // prod(self.window.sides), 1)

    @property
    def baseline(self) -> Tensor:
        """(C,) means of the channels in the window."""
        return self.volume.flatten(1).mean(1)

    @property
    def scored(self) -> Labels:
        """The part of the region whose score it is, on the part of the image that is seen."""
        corner, shape = self.window.box
        inside = np.zeros((1, *shape), np.float32)
        tile = zip(self.window.start, self.window.tile, corner, strict=True)
        at: tuple[Any, ...] = tuple(
            slice(max(start - a, 0), start - a + side) for start, side, a in tile
        )
        inside[(0, *at)] = 1
        region = self.place.cropped(self.region)
        return region.on(region.array * (self.place.on_part(inside).array[0] > 0.5), region.grid)

    def field(self, layer: str) -> LayerField:
        """What a layer sees, with an entry for each axis of the volume."""
        found = layer_field(self.model.plan.network, layer)
        axes, ndim = self.model.plan.axes, len(self.window.tile)
        if len(axes) == ndim:
            return found

        def along(values: tuple, rest: object) -> tuple:
            known = dict(zip(axes, values, strict=True))
            return tuple(known.get(axis, rest) for axis in range(ndim))

        return LayerField(
            along(found.stride, 1.0),
            along(found.offset, 0.0),
            along(found.first, (0,)),
            along(found.last, (0,)),
        )

    def with_slices(self, maps: Tensor) -> Tensor:
        """(K, ...) maps of a layer, with an axis of one voxel where a 2D network has none."""
        axes, ndim = self.model.plan.axes, len(self.window.tile)
        for axis in sorted(set(range(ndim)) - set(axes)):
            maps = maps.unsqueeze(axis + 1)
        return maps

    def grid_of(self, field: LayerField, shape: tuple[int, ...]) -> Grid:
        """Grid of a layer of so many voxels."""
        corner = self.window.box[0]
        before = tuple(a - first for a, first in zip(corner, self.window.first, strict=True))
        return self.place.layer(field, before, shape)


def look_at(
    model: Model, image: Image, mask: Labels | None = None, label: str | None = None
) -> Scene:
    """Segment an image, and look at the window with most of a label.

    Parameters
    ----------
    label : str, optional
        Its name or number, or the name of a region of the plan; by default the largest.

    Raises
    ------
    ValueError
        If the model does not take the image, knows no such label, or does not find it.
    """
    require_place(image, None, mask)
    plan = model.plan
    framed = frame(image, mask, plan.conventions)
    prepared = prepare(framed.image, plan, framed.mask)
    found = _found(model, prepared, framed)
    output = _chosen(plan, found, label)
    native = _world(prepared, framed)
    seen = target_grid(native, plan)
    region = resample(Labels(found[output], native), seen).array != 0
    if not region.any():
        region = _single(found[output], seen.shape)
    passes = Passes(model.network, plan, model.overlap, ())
    window = window_on(region, passes)
    box = (slice(None), *(slice(a, a + n) for a, n in zip(*window.box, strict=True)))
    place = Place(part_of(seen, *window.box), image.grid)
    value, name = _called(plan, output)
    return Scene(
        model,
        image,
        resample(
            Labels(found[output].astype(np.uint16) * value, native, {value: name}), image.grid
        ),
        value,
        name,
        torch.tensor(np.ascontiguousarray(prepared.image[box]), device=model.device),
        window,
        RegionScore(
            logits_of(passes, window),
            torch.from_numpy(window.of_tile(region)).to(model.device),
            output,
            bool(plan.regions),
        ),
        place,
    )


def logits_of(passes: Passes, window: Window) -> Callable[[Tensor], Tensor]:
    """Return the logits (B, outputs, *tile) of (B, C, ...) voxels of the box of a window."""
    forward = passes.forward()
    return lambda boxes: forward(window.seen(boxes)).float()


def _world(prepared: Prepared, framed: Framed) -> Grid:
    """Grid of what was prepared, before it was resampled, where it lies in the world."""
    if framed.image.grid is framed.native:
        return prepared.native
    return part_of(framed.turned, framed.start, framed.image.grid.shape)


def _found(model: Model, prepared: Prepared, framed: Framed) -> NDArray[np.bool_]:
    """(outputs, ...) where each class or region is found."""
    if model.plan.regions:
        found = model.inside(prepared)
    else:
        classes = model.classes(prepared)
        found = np.stack([classes == k for k in range(len(model.plan.labels))])
        found[0] = False  # what is background is not explained
    if framed.mask is not None:
        found &= reorient(framed.mask).array != 0
    return found


def _chosen(plan: Plan, found: NDArray[np.bool_], label: str | None) -> int:
    """Which output is meant."""
    known = {text: k for k in range(len(found)) for text in _texts(plan, k)}
    sizes = found.reshape(len(found), -1).sum(1)
    there = [_called(plan, k) for k in np.flatnonzero(sizes).tolist()]
    listed = ", ".join(f"{value} ({name})" for value, name in there)
    if label is None:
        if not there:
            raise ValueError("the model finds nothing but background in the image")
        return int(sizes.argmax())
    if label not in known:
        raise ValueError(f"the model knows {', '.join(known)}; got label {label!r}")
    if not sizes[known[label]]:
        raise ValueError(
            f"label {label} is not found in the image, in which there is {listed or 'nothing'}; "
            "choose one of these with --label"
        )
    return known[label]


def _texts(plan: Plan, output: int) -> tuple[str, ...]:
    """What a user may call an output."""
    if plan.regions:
        return (tuple(plan.regions)[output],)
    return (str(plan.labels[output]), plan.names.get(plan.labels[output], "")) if output else ()


def _called(plan: Plan, output: int) -> tuple[int, str]:
    """Label with which an output is drawn, and its name."""
    if plan.regions:
        return output + 1, tuple(plan.regions)[output]
    value = plan.labels[output]
    return value, plan.names.get(value) or f"label {value}"


def _single(found: NDArray[np.bool_], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Region of the voxel that a structure too small for the spacing of the plan lies in."""
    region = np.zeros(shape, bool)
    at = np.argwhere(found)[0]
    region[tuple(int(k * n // size) for k, n, size in zip(at, shape, found.shape, strict=True))] = 1
    return region
