"""A region that is looked at in one way after the other, and what they have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from medseg.explaining.gradients import Cam, grad_cam
from medseg.explaining.layers import Layer, layers_of, telling_layers
from medseg.explaining.questions import Questions
from medseg.explaining.scene import Scene
from medseg.io import write
from medseg.networks.layer_field import LayerField
from medseg.pictures.heat import Layered, Scale, draw_heat
from medseg.volume import Image, Labels


class LeftOutError(Exception):
    """A part that can't be had of a network; the message says why."""


@dataclass(frozen=True)
class Finding:
    """What one way of looking at it has shown.

    Parameters
    ----------
    part : str
        Of `PARTS`.
    words : tuple of str
        How it was made, and what to see in it.
    pictures : tuple of Path
    volumes : tuple of Path
    heads, rows : tuples of str
        A table.
    left_out : str
        Why there is nothing of it.
    """

    part: str
    words: tuple[str, ...] = ()
    pictures: tuple[Path, ...] = ()
    volumes: tuple[Path, ...] = ()
    heads: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    left_out: str = ""


@dataclass(frozen=True, eq=False)
class Study:
    """A scene, what is asked of it, and the folder for the answers.

    Parameters
    ----------
    scene : Scene
    asked : Questions
    folder : Path
    """

    scene: Scene
    asked: Questions
    folder: Path
    _cams: dict[str, Cam] = field(default_factory=dict)
    _fields: dict[str, LayerField] = field(default_factory=dict)

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """All layers that can be asked for, as the network runs them."""
        scene = self.scene
        return layers_of(scene.model.network, self.run, scene.model.plan.network.ndim)

    @cached_property
    def chosen(self) -> tuple[str, ...]:
        """Layers that are looked into.

        Raises
        ------
        ValueError
            If one that is asked for is none.
        """
        known = [layer.name for layer in self.layers]
        for name in self.asked.layers:
            if name not in known:
                raise ValueError(
                    f"the network runs no layer {name!r} of its own, once; layers are "
                    f"{', '.join(known)}"
                )
        return self.asked.layers or telling_layers(self.layers)

    def require_layers(self) -> tuple[str, ...]:
        """The chosen layers; of networks that run none, the part is left out."""
        if not self.chosen:
            raise LeftOutError("the network runs none of its layers as a whole")
        return self.chosen

    def run(self) -> Tensor:
        """Logits of what is seen."""
        return self.scene.score.logits(self.scene.volume[None])

    def cam(self, layer: str) -> Cam:
        """Grad-CAM of a layer, for the logit of the region."""
        if layer not in self._cams:
            scene = self.scene
            found = grad_cam(scene.score.logit, scene.volume, scene.model.network, layer)
            maps = scene.with_slices(found.activations)
            self._cams[layer] = Cam(maps, found.weights)
        return self._cams[layer]

    def field(self, layer: str) -> LayerField:
        """What a layer sees; where that can't be known, the part is left out."""
        if layer not in self._fields:
            try:
                self._fields[layer] = self.scene.field(layer)
            except ValueError as error:
                raise LeftOutError(f"where layer {layer} looks is not known: {error}") from error
        return self._fields[layer]

    def telling(self, layer: str) -> list[int]:
        """Features of a layer that count most."""
        return self.cam(layer).telling[: self.asked.features]

    def volume(self, name: str, part: Image) -> Path:
        """Write maps on the part of the image that is seen, as a volume on its whole grid."""
        path = self.folder / f"{name}.nii.gz"
        write(self.scene.place.whole(part), path)
        return path

    def picture(
        self, name: str, columns: Sequence[tuple[str, int, Image | None]], scale: Scale, title: str
    ) -> Path:
        """Draw maps over channels of the image: (heading, channel, map on the part)."""
        place = self.scene.place
        image, note = place.cropped(self.scene.image), "planes are counted in the window"
        path = self.folder / f"{name}.png"
        drawn = [Layered(words, image.channel(k), values) for words, k, values in columns]
        draw_heat(drawn, self.scene.scored, path, scale, title=title, note=note)
        return path

    def plain_region(self) -> Labels:
        """The region and, as a second label, what else is seen, on the grid of the image."""
        scene = self.scene
        array = scene.region.array.astype(np.int32)
        at: tuple[Any, ...] = tuple(slice(a, a + n) for a, n in zip(*scene.place.part, strict=True))
        array[at] = np.where(array[at] == 0, scene.label + 1, array[at])
        names = {scene.label: scene.name, scene.label + 1: "what the network sees"}
        return Labels(array, scene.image.grid, names)

    def channel_names(self) -> tuple[str, ...]:
        """Channels, as the plan calls them."""
        return self.scene.model.plan.channels


def file_name(layer: str) -> str:
    """Name of a layer, as part of the name of a file."""
    return layer.replace(".", "-")
