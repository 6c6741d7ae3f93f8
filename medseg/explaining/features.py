"""What the features of a network are: filters, maps, and what excites them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medseg.dataset import Case
from medseg.explaining.exciting import Patch, exciting
from medseg.explaining.layers import first_convolutions
from medseg.explaining.maximising import maximised
from medseg.explaining.study import Finding, LeftOutError, Study, file_name
from medseg.explaining.upright import across, at_share, plane, planes, seen_spacing
from medseg.io import write
from medseg.networks.layer_field import recorded
from medseg.pictures.heat import Scale
from medseg.pictures.tiles import Row, Small, draw_tiles, grey, in_rows, montage
from medseg.volume import Image

_MOST_MAPS = 64
_SIDE = {2: 64, 3: 24}  # voxels of a maximised image in 2D and 3D, or the next legal size
_START = 0.05  # deviation of the noise that it begins with, as a share of the bounds
_PERCENTILES = (0.5, 99.5)


def filters(study: Study) -> Finding:
    """Kernels of the convolutions that see the image, each slice of each channel of them."""
    scene, pictures = study.scene, []
    seen = scene.volume[None].clone().requires_grad_()
    kernels = first_convolutions(scene.model.network, lambda: scene.score.logits(seen))
    if not kernels:
        raise LeftOutError("the network runs no convolution of the image itself as a module")
    for name, weights in kernels.items():
        scale = Scale.of(weights.cpu().numpy(), "weight")
        tiles = [_kernel(one, scale, k, study) for k, one in enumerate(weights)]
        path = study.folder / f"filters_{file_name(name)}.png"
        note = f"down: {', '.join(study.channel_names()[: weights.shape[1]])}"
        if weights.ndim == 5:
            note += "; across: the slices of the kernel"
        draw_tiles(in_rows(tiles, 8), path, title=f"Filters of {name}", note=note, scale=scale)
        pictures.append(path)
    words = "The weights of the convolutions that see the image itself, a filter each."
    return Finding("filters", (words,), tuple(pictures))


def activations(study: Study) -> Finding:
    """Maps of the features of each layer, and all of them as a volume at their own voxels."""
    scene, pictures, volumes, words = study.scene, [], [], []
    for layer in study.require_layers():
        cam = study.cam(layer)
        maps = cam.activations.cpu().numpy()
        scale = Scale.of(maps, "activation")
        at = _through(study, maps)
        shown = sorted(cam.telling[:_MOST_MAPS])
        tiles = [Small(scale.colours(plane(maps, at)[k]), caption=str(k)) for k in shown]
        path = study.folder / f"activations_{file_name(layer)}.png"
        title = f"Activations of layer {layer}"
        draw_tiles(in_rows(tiles, 8), path, title=title, note=_whose(maps, shown), scale=scale)
        pictures.append(path)
        words.append(f"Layer {layer}: {len(maps)} features of {_times(maps.shape[1:])} voxels.")
        grid = scene.grid_of(study.field(layer), maps.shape[1:])
        volumes.append(study.folder / f"activations_{file_name(layer)}.nii.gz")
        write(Image(maps, grid, tuple(map(str, range(len(maps))))), volumes[-1])
    words.append(
        "One plane through the region. The volumes hold all features at the voxels of the layer, "
        "with their place in the world."
    )
    return Finding("activations", tuple(words), tuple(pictures), tuple(volumes))


def maximal(study: Study) -> Finding:
    """Images that excite the class, and the features of each layer, most."""
    scene, asked, pictures = study.scene, study.asked, []
    low, high = scene.volume.flatten(1).amin(1), scene.volume.flatten(1).amax(1)
    class_alone = maximised(
        partial(_odds, study),
        _noise(study, 1, (low, high)),
        (low, high),
        steps=asked.ascent,
        seed=asked.seed,
    )
    tiles = [_side_by_side(study, class_alone[0], (low, high), scene.name)]
    for layer in study.chosen:
        chosen = study.telling(layer)
        images = maximised(
            partial(_excitement, study, layer, chosen),
            _noise(study, len(chosen), (low, high)),
            (low, high),
            steps=asked.ascent,
            seed=asked.seed,
        )
        each = zip(chosen, images, strict=True)
        tiles += [_side_by_side(study, one, (low, high), f"{layer} {k}") for k, one in each]
    path = study.folder / "maximised.png"
    names = study.channel_names()
    rows = in_rows(tiles, max(8 // len(names), 2))
    note = f"side by side: {', '.join(names)}; {_planes_of(study)}"
    draw_tiles(rows, path, title="Activation maximisation", note=note)
    words = (
        f"Images that excite most, climbed to from noise in {asked.ascent} steps (seed "
        f"{asked.seed}), smoothed and faded on the way: for the odds of {scene.name} everywhere, "
        "and for the mean of a feature over its map. Intensities lie between the lowest and the "
        "highest of the window."
    )
    pictures.append(path)
    return Finding("maximised", (words,), tuple(pictures))


def patches(study: Study, cases: Sequence[Case]) -> Finding:
    """Patches of a data set that excite the features of each layer most."""
    if not cases:
        raise LeftOutError("no data set was given; name one with --data")
    scene, asked, pictures, rows = study.scene, study.asked, [], []
    for layer in study.require_layers():
        field, chosen = study.field(layer), study.telling(layer)
        best = exciting(scene, layer, chosen, cases, asked.patches)
        path = study.folder / f"patches_{file_name(layer)}.png"
        _draw_patches(study, layer, dict(zip(chosen, best, strict=True)), path)
        pictures.append(path)
        sides = [
            max(last - first + 1 for first, last in zip(*ends, strict=True))
            for ends in zip(field.first, field.last, strict=True)
        ]
        for feature, found in zip(chosen, best, strict=True):
            cells = ", ".join(f"{one.activation:.3g} ({one.case})" for one in found)
            rows.append((layer, str(feature), _times(sides), cells))
    words = (
        f"What a voxel of the layer saw where it was excited most, in {len(cases)} cases: cut by "
        "its exact receptive field, as far as that lies in the window. A feature has one patch "
        "of each window at most."
    )
    heads = ("layer", "feature", "sees", "activations")
    return Finding("patches", (words,), tuple(pictures), heads=heads, rows=tuple(rows))


def _kernel(weights: Tensor, scale: Scale, number: int, study: Study) -> Small:
    """(channels, ...) kernel: channels below each other, slices side by side."""
    array = weights.cpu().numpy()
    if array.ndim == 3 and len(study.scene.window.tile) == 3:
        array = array[..., None]
    colours = [[scale.colours(one[c]) for one in planes(array)] for c in range(len(array))]
    return Small(montage(colours), caption=str(number))


def _through(study: Study, maps: NDArray) -> int | None:
    """Plane of the maps that goes through most of the region."""
    region = study.scene.score.region.cpu().numpy()
    if region.ndim == 2:
        return None
    axis = across(maps.shape[1:])
    others = tuple(k for k in range(3) if k != axis)
    fullest = int(region.sum(others).argmax())
    return at_share((fullest + 0.5) / region.shape[axis], maps.shape[axis + 1])


def _odds(study: Study, images: Tensor) -> Tensor:
    """(B,) mean log odds of the class over all that is seen."""
    logits: Tensor = study.scene.model.network(images).float()
    output = study.scene.score.output
    if study.scene.score.overlapping:
        return logits[:, output].flatten(1).mean(1)
    others = [k for k in range(logits.shape[1]) if k != output]
    odds: Tensor = logits[:, output] - logits[:, others].logsumexp(1)
    return odds.flatten(1).mean(1)


def _excitement(study: Study, layer: str, chosen: Sequence[int], images: Tensor) -> Tensor:
    """(B,) mean of a feature over its map: of each image, the feature of its place."""
    network = study.scene.model.network
    with recorded(network, layer) as outputs:
        network(images)
    each = torch.arange(len(chosen), device=images.device)
    return outputs[-1][each, list(chosen)].flatten(1).mean(1)


def _noise(study: Study, count: int, bounds: tuple[Tensor, Tensor]) -> Tensor:
    """(count, C, ...) images to begin with, along the axes that the network sees."""
    plan, scene = study.scene.model.plan, study.scene
    wanted = tuple(min(scene.window.tile[axis], _SIDE[plan.network.ndim]) for axis in plan.axes)
    size = plan.network.fitted(wanted)
    sides = [n + 2 * m for n, m in zip(size, plan.network.margin, strict=True)]
    drawn = torch.Generator().manual_seed(study.asked.seed)
    noise = torch.randn(1, len(scene.volume), *sides, generator=drawn).to(scene.volume)
    along = (-1, *[1] * len(sides))
    spread = _START * (bounds[1] - bounds[0]).reshape(along)
    images: Tensor = scene.baseline.reshape(along) + spread * noise
    return images.repeat(count, *[1] * (len(sides) + 1))


def _side_by_side(
    study: Study, image: Tensor, bounds: tuple[Tensor, Tensor], caption: str
) -> Small:
    """All channels of an image."""
    array = image.detach().cpu().numpy()
    if array.ndim == 3 and len(study.scene.window.tile) == 3:
        array = array[..., None]
    low, high = (bound.tolist() for bound in bounds)
    colours = [grey(one, low[k], high[k]) for k, one in enumerate(plane(array))]
    return Small(montage([colours]), caption=caption)


def _draw_patches(study: Study, layer: str, best: dict[int, list[Patch]], path: Path) -> None:
    scene = study.scene
    values = scene.volume.flatten(1).cpu().numpy()
    low, high = np.percentile(values, _PERCENTILES, axis=1)
    rows = []
    for feature, found in best.items():
        tiles = []
        for one in found:
            shown = plane(one.array)
            colours = [[grey(channel, low[k], high[k])] for k, channel in enumerate(shown)]
            spacing = seen_spacing(scene.place.box.spacing, one.array.shape[1:])
            tiles.append(Small(montage(colours), spacing, one.case))
        rows.append(Row(str(feature), tiles))
    down = f"; down: {', '.join(study.channel_names())}" if len(values) > 1 else ""
    title = f"Patches that excite layer {layer} most"
    draw_tiles(rows, path, title=title, note=f"a row a feature{down}; {_planes_of(study)}")


def _planes_of(study: Study) -> str:
    return "middle planes" if len(study.scene.window.tile) == 3 else "whole"


def _whose(maps: NDArray, shown: Iterable[int]) -> str:
    count = len(list(shown))
    return "" if count == len(maps) else f"the {count} of {len(maps)} features that count most"


def _times(numbers: Iterable[int]) -> str:
    return " x ".join(map(str, numbers))
