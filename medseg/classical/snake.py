"""Snakes: contours of points that are elastic and stiff, and are pulled by an image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from medseg.classical.attraction import Attraction, Reach
from medseg.classical.compiled_curves import CompiledCurves
from medseg.classical.curves import Curves
from medseg.classical.deforming import STRIDE, Deforming, Look, Start, final
from medseg.classical.edges import edge_map
from medseg.classical.matter import Matter
from medseg.classical.membranes import MakeCurves, Membrane, around
from medseg.classical.moving import Pace
from medseg.classical.pulling import Place, Pull, Region, in_world
from medseg.contour import Contour, filled
from medseg.parameter import parameter
from medseg.segmenter import run_on_tensors
from medseg.volume import Image, Labels

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Snake(Deforming):
    """Pull a curve, or in 3D a surface, to the border of a region, while it stays smooth.

    For regions with one border that is smooth at a known scale; where the border is broken or
    faint, elasticity and stiffness close it. The contour starts around the seeds, which may be
    a rough segmentation, and may leave them; parts of the seeds that do not touch each begin
    one, and contours of one label that meet become one. Background seeds it never takes in,
    and where several labels have seeds, it stops at the contour of another one.

    Unlike those of level sets, it is made of points, as exact as they are and not as voxels
    are; `contours` gives them. Forces are computed on the device, points are moved on the CPU:
    they are few. Lengths are in mm, whatever the spacing. Weights compare: each force alone
    moves a point by its weight in mm, at most, in the same time.

    Parameters
    ----------
    elasticity : float
        mm; how strongly it is drawn short: a curve with so large a radius as much as by a force
        with a weight of 1, a ball twice as much.
    stiffness : float
        mm³; against bends, more than against length.
    region : float
        Weight of the force that makes inside and outside even, as in `chan-vese`.
    edge : float
        Weight of the force towards edges.
    line : float
        Weight of the force towards bright lines; dark ones, if it is negative.
    balloon : float
        Speed outwards where there are no edges; inwards, if it is negative.
    reach : "gvf" or "gradient"
        Whether edges pull from everywhere, into concave parts too, by the gradient vector
        flow, or only from beside them.
    scale : float
        Standard deviation of the Gaussian under edges and lines, mm.
    contrast : float
        How steep an edge is that is half as strong as any, in root mean squares of the
        gradient of the image.
    diffusion : float
        mm²; the more, the less of faint edges is left in the gradient vector flow.
    distance : float
        Between neighbouring points, mm.
    radius : float
        The contour starts around balls of so many mm around the seeds. With 0 it starts around
        the seeds alone; elasticity then draws a few voxels together to nothing.
    iterations : int
        Steps at most; each moves the contour by a voxel at most.
    tolerance : float
        Ends when ten steps move the contour by no more mm, on average over its points.
    device : str
        auto, cpu, cuda or cuda:N.

    References
    ----------
    M. Kass, A. Witkin, D. Terzopoulos, "Snakes: active contour models", Int. J. Comput. Vis.
    1(4):321-331, 1988. doi:10.1007/BF00133570

    L. D. Cohen, "On active contour models and balloons", CVGIP: Image Understanding
    53(2):211-218, 1991. doi:10.1016/1049-9660(91)90028-N

    T. McInerney, D. Terzopoulos, "T-snakes: topology adaptive snakes", Med. Image Anal.
    4(2):73-91, 2000. doi:10.1016/S1361-8415(00)00008-6
    """

    elasticity: float = parameter(0.5, "[0, inf)", usual=(0.02, 5), log=True, unit="mm")
    stiffness: float = parameter(0.1, "[0, inf)", usual=(0.01, 10), log=True, unit="mm³")
    region: float = parameter(1.0, "[0, inf)", usual=(0, 2))
    edge: float = parameter(0.2, "[0, inf)", usual=(0, 2))
    line: float = parameter(0.0, usual=(-1, 1))
    balloon: float = parameter(0.0, usual=(-1, 1))
    reach: Reach = "gvf"
    scale: float = parameter(1.0, "[0, inf)", usual=(0.5, 4), log=True, unit="mm")
    contrast: float = parameter(1.0, "(0, inf)", usual=(0.2, 5), log=True, unit="root mean squares")
    diffusion: float = parameter(0.02, "(0, inf)", usual=(0.002, 0.5), log=True, unit="mm²")
    distance: float = parameter(1.0, "(0, inf)", usual=(0.5, 4), log=True, unit="mm")
    radius: float = parameter(2.0, "[0, inf)", unit="mm")
    iterations: int = parameter(1000, "[1, inf)")
    tolerance: float = parameter(0.01, "[0, inf)", unit="mm")
    device: str = "auto"

    def evolve(
        self, image: Tensor, spacing: tuple[float, ...], seeds: Tensor | None, mask: Tensor | None
    ) -> Iterator[Look]:
        """States of a (C, ...) tensor, each as a function that gives its labels."""
        for state in self._shapes(image, spacing, seeds, mask):
            yield partial(_on_device, state, image)

    def contours(
        self, image: Image, seeds: Labels | None = None, mask: Labels | None = None
    ) -> Contour:
        """Contours of all labels in the world, as they are when they rest.

        They may leave the mask by half a voxel; the labels of `segment` do not.
        """
        _, state, _ = run_on_tensors(self._last, image, seeds, mask, self.device)
        return state.in_world(image)

    def _last(
        self, image: Tensor, spacing: tuple[float, ...], seeds: Tensor | None, mask: Tensor | None
    ) -> Shapes:
        return final(self._shapes(image, spacing, seeds, mask))

    def _shapes(
        self, image: Tensor, spacing: tuple[float, ...], seeds: Tensor | None, mask: Tensor | None
    ) -> Iterator[Shapes]:
        """Where the contours are before the first and after each step."""
        if len(spacing) == 1:  # a single line of voxels, taken as a slice
            image, spacing = image[..., None], (*spacing, *spacing)
            seeds, mask = (None if each is None else each[..., None] for each in (seeds, mask))
        start = Start.of(seeds, mask, spacing, self.radius, "snake")
        allowed = start.allowed.contiguous().cpu().numpy()
        place = Place(allowed, np.array(spacing, np.float64))
        pull = self._pull(image, spacing, mask, place)
        # Compiled code is for the CPU alone: what works on a GPU needs no compiler.
        curves = CompiledCurves.of if image.device.type == "cpu" else Curves.of
        pace = Pace.begun(self._time(spacing), min(spacing))
        state = before = Shapes.around(start, self._matter(), place, pace, curves)
        yield state
        for step in range(1, self.iterations + 1):
            state = state.stepped(pull)
            whole = step % STRIDE == 0
            if whole or step == self.iterations:
                state = state.mended()
            yield state
            if whole:
                if state.shift(before) <= self.tolerance:
                    return
                before = state

    def _matter(self) -> Matter:
        return Matter(self.elasticity, self.stiffness, self.distance)

    def _time(self, spacing: tuple[float, ...]) -> float:
        """How long the first step is: no longer than forces need for half a voxel."""
        fastest = self.region + self.edge + abs(self.line) + abs(self.balloon)
        return min(spacing) / 2 / (fastest or 1)

    def _pull(
        self, image: Tensor, spacing: tuple[float, ...], mask: Tensor | None, place: Place
    ) -> Pull:
        """Forces whose weight is not 0."""
        attraction = Attraction(
            *(self.edge, self.line, self.reach, self.scale, self.contrast, self.diffusion)
        )
        balloon = None
        if self.balloon:
            edges = edge_map(image, self.scale, self.contrast, spacing, mask)
            balloon = (self.balloon * edges[None]).cpu().numpy()
        return Pull(
            place,
            attraction.field(image, spacing, mask),
            balloon,
            Region.of(image.cpu().numpy(), place) if self.region else None,
            self.region,
        )


@dataclass(frozen=True, eq=False)
class Shapes:
    """Membranes of all labels.

    Parameters
    ----------
    membranes : dict of int to Membrane
    paces : dict of int to Pace
        Of their next steps.
    place : Place
        Where they may be.
    """

    membranes: Mapping[int, Membrane]
    paces: Mapping[int, Pace]
    place: Place

    @classmethod
    def around(
        cls, start: Start, matter: Matter, place: Place, pace: Pace, curves: MakeCurves
    ) -> Shapes:
        """Membranes around the regions of a start."""
        spacing = tuple(place.spacing.tolist())
        membranes = {
            label: around(region.cpu().numpy(), spacing, matter, curves)
            for label, region in start.regions.items()
        }
        return cls(membranes, dict.fromkeys(membranes, pace), place)

    def stepped(self, pull: Pull) -> Shapes:
        """Membranes some time later; none enters what another one holds."""
        held = self._filled() if len(self.membranes) > 1 else {}
        found, paces = dict(self.membranes), dict(self.paces)
        for label, membrane in self.membranes.items():
            if not len(membrane.points):
                continue
            place = self.place.without([each for other, each in held.items() if other != label])
            found[label], paces[label] = membrane.stepped(pull, place, self.paces[label])
        return Shapes(found, paces, self.place)

    def mended(self) -> Shapes:
        """Membranes with even points that do not cross themselves."""
        mended = {label: membrane.mended() for label, membrane in self.membranes.items()}
        return Shapes(mended, self.paces, self.place)

    def shift(self, before: Shapes) -> float:
        """How far that membrane moved, in mm, that moved farthest."""
        return max(
            _shift(before.membranes[label], membrane) for label, membrane in self.membranes.items()
        )

    def labels(self) -> NDArray[np.int32]:
        """Label of each voxel whose centre is inside; where two are, the lower one's."""
        found = np.zeros(self.place.allowed.shape, np.int32)
        for label, inside in self._filled().items():
            found[inside & self.place.allowed & (found == 0)] = label
        return found

    def in_world(self, image: Image) -> Contour:
        """Membranes in the world of an image of which these are, in canonical orientation."""
        ends = np.cumsum([0, *(len(each.points) for each in self.membranes.values())])
        points = np.concatenate([each.points for each in self.membranes.values()])
        return Contour(
            in_world(points / self.place.spacing, image),
            np.concatenate(
                [each.cells + at for each, at in zip(self.membranes.values(), ends, strict=False)]
            ),
            np.repeat(list(self.membranes), [len(each.cells) for each in self.membranes.values()]),
        )

    def _filled(self) -> dict[int, NDArray[np.bool_]]:
        return {
            label: filled(
                membrane.points / self.place.spacing, membrane.cells, self.place.allowed.shape
            )
            for label, membrane in self.membranes.items()
        }


def _shift(before: Membrane, after: Membrane) -> float:
    """How far a membrane moved, in mm; infinitely far, if it is gone since."""
    if not len(before.points) or not len(after.points):
        return 0.0 if len(before.points) == len(after.points) else np.inf
    return after.shift(before.points)


def _on_device(state: Shapes, image: Tensor) -> Tensor:
    """Labels of a state where the image is."""
    import torch

    return torch.from_numpy(state.labels()).to(image.device).reshape(image.shape[1:])
