"""Maps of the image: Grad-CAM, integrated gradients, occlusion; and what each channel counts."""

from __future__ import annotations

from math import isnan, prod

import torch

from medseg.explaining.gradients import integrated_gradients
from medseg.explaining.modalities import importances
from medseg.explaining.occlusion import occlusion
from medseg.explaining.study import Finding, Study, file_name
from medseg.pictures.heat import Scale


def grad_cams(study: Study) -> Finding:
    """Grad-CAM of each layer, over the image."""
    scene, words, pictures, volumes = study.scene, [], [], []
    for layer in study.require_layers():
        cam = study.cam(layer)
        field = study.field(layer)
        maps = cam.map[None].cpu().numpy()
        inside = scene.place.from_layer(maps, scene.grid_of(field, maps.shape[1:]))
        part = scene.place.on_part(inside)
        name = f"grad_cam_{file_name(layer)}"
        volumes.append(study.volume(name, part))
        scale = Scale.of(part.array, "weighted sum of the features, where it is above 0")
        columns = [(study.channel_names()[0], 0, None), ("Grad-CAM", 0, part)]
        pictures.append(study.picture(name, columns, scale, f"Grad-CAM of layer {layer}"))
        if not maps.any():
            words.append(f"Layer {layer} nowhere speaks for the region: its map is empty.")
    words.append(
        "The features of a layer, each times the mean gradient that the mean logit of the region "
        "has to it, added up; what is below 0 is cut off."
    )
    return Finding("grad-cam", tuple(words), tuple(pictures), tuple(volumes))


def gradients(study: Study) -> Finding:
    """Integrated gradients of each channel, over it."""
    scene, asked = study.scene, study.asked
    batch = max(scene.batch // 4, 1)
    found = integrated_gradients(
        scene.score, scene.volume, scene.baseline, steps=asked.steps, batch=batch
    )
    with torch.no_grad():
        start = scene.baseline.reshape(-1, *[1] * (scene.volume.ndim - 1))
        ends = torch.stack([scene.volume, start.expand_as(scene.volume)])
        before, after = (float(scene.score(one[None])) for one in ends)
    names = study.channel_names()
    part = scene.place.on_part(found.cpu().numpy(), names)
    volume = study.volume("integrated_gradients", part)
    scale = Scale.of(part.array, "of the probability, added by a voxel")
    columns = [(name, k, part.channel(k)) for k, name in enumerate(names)]
    title = f"Integrated gradients of {scene.name}"
    picture = study.picture("integrated_gradients", columns, scale, title)
    words = (
        f"What each voxel of each channel adds to the mean probability of {scene.name} over the "
        f"region, on the straight way from the mean of each channel ({asked.steps} steps). All of "
        f"them add up to {float(found.sum()):.4f}; the score goes from {after:.4f} to "
        f"{before:.4f}, a difference of {before - after:.4f}."
    )
    rows = tuple((name, f"{float(one.sum()):.4f}") for name, one in zip(names, found, strict=True))
    heads = ("channel", "adds to the score")
    return Finding("integrated-gradients", (words,), (picture,), (volume,), heads, rows)


def occlusions(study: Study) -> Finding:
    """How the score falls where a block of all channels is hidden."""
    scene = study.scene
    shape, spacing = scene.volume.shape[1:], scene.place.box.spacing
    sides = [(n, mm) for n, mm in zip(shape, spacing, strict=True) if n > 1]
    side = (prod(n * mm for n, mm in sides) / study.asked.blocks) ** (1 / max(len(sides), 1))
    block = [min(max(round(side / mm), 1), n) for n, mm in zip(shape, spacing, strict=True)]
    fall = occlusion(scene.score, scene.volume, scene.baseline, block, batch=scene.batch)
    part = scene.place.on_part(fall[None].cpu().numpy())
    volume = study.volume("occlusion", part)
    scale = Scale.of(part.array, "fall of the probability")
    columns = [(study.channel_names()[0], 0, None), ("occlusion", 0, part)]
    picture = study.picture("occlusion", columns, scale, f"Occlusion sensitivity of {scene.name}")
    count = prod(-(-n // width) for n, width in zip(shape, block, strict=True))
    words = (
        f"By how much the mean probability over the region falls when a block of "
        f"{_times(block)} voxels is hidden behind the mean of each channel, for {count} blocks "
        f"side by side. Where it is below 0, the probability rises. The largest fall is "
        f"{float(fall.max()):.4f}."
    )
    return Finding("occlusion", (words,), (picture,), (volume,))


def modalities(study: Study) -> Finding:
    """What happens without each channel, as a table."""
    names = study.channel_names()
    found = importances(study.scene.score, study.scene.volume, names, seed=study.asked.seed)
    rows = tuple(
        (
            one.channel,
            {"mean": "its mean everywhere", "permuted": "its voxels permuted"}[one.how],
            f"{one.score:.4f}",
            f"{one.change:+.4f}",
            "both empty" if isnan(one.dice) else f"{one.dice:.4f}",
        )
        for one in found
    )
    words = (
        "The mean probability over the region without each channel, its change, and the Dice of "
        "what is found then with what is found in the image as it is, within the window."
    )
    heads = ("channel", "has", "score", "change", "Dice with the unchanged")
    return Finding("modalities", (words,), heads=heads, rows=rows)


def _times(numbers: list[int]) -> str:
    return " x ".join(map(str, numbers))
