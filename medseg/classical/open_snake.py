"""Open snakes: lines between two ends that forces pull along edges or bright lines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dct, dst, idct, idst

from medseg.classical.attraction import Attraction, Reach
from medseg.classical.curves import lengths_along, places_on
from medseg.classical.deforming import STRIDE, Deforming, Look, final
from medseg.classical.demands import some_seeds
from medseg.classical.matter import Matter, Points
from medseg.classical.pulling import Place, in_world
from medseg.components import components
from medseg.contour import Contour
from medseg.parameter import parameter
from medseg.segmenter import run_on_tensors
from medseg.volume import BACKGROUND, Image, Labels

if TYPE_CHECKING:
    from torch import Tensor

Ends = Literal["fixed", "free"]
# A line has so many points at least, and is compared with another at as many.
_FEWEST, _COMPARED = 5, 200


@dataclass(frozen=True)
class OpenSnake(Deforming):
    """Pull a line between two ends to edges or bright lines, while it stays smooth.

    For a border or a vessel that is to be drawn, or measured, from one place to another, in 2D
    and 3D. The ends of each label's line are its seeds, in two parts that do not touch; it
    starts straight. Its voxels are those that it passes; `contours` gives its points. Lines
    keep out of background seeds, and may cross each other.

    Parameters
    ----------
    elasticity : float
        mm; how strongly the line is drawn straight, as a speed at a curvature of 1 per mm.
    stiffness : float
        mm³; against bends, more than against length.
    edge : float
        Weight of the force towards edges.
    line : float
        Weight of the force towards bright lines; dark ones, if it is negative.
    ends : "fixed" or "free"
        Whether the line ends at its seeds, or where forces and elasticity pull its ends.
    reach, scale, contrast, diffusion
        As in `Snake`.
    distance : float
        Between neighbouring points, mm.
    iterations : int
        Steps at most; forces move the line by half a voxel in each at most.
    tolerance : float
        Ends when ten steps move the line by no more mm, on average over its length.
    device : str
        auto, cpu, cuda or cuda:N; of the forces.

    References
    ----------
    M. Kass, A. Witkin, D. Terzopoulos, "Snakes: active contour models", Int. J. Comput. Vis.
    1(4):321-331, 1988. doi:10.1007/BF00133570
    """

    elasticity: float = parameter(0.2, "[0, inf)", usual=(0.02, 5), log=True, unit="mm")
    stiffness: float = parameter(0.1, "[0, inf)", usual=(0.01, 10), log=True, unit="mm³")
    edge: float = parameter(1.0, "[0, inf)", usual=(0, 2))
    line: float = parameter(0.0, usual=(-1, 1))
    ends: Ends = "fixed"
    reach: Reach = "gvf"
    scale: float = parameter(1.0, "[0, inf)", usual=(0.5, 4), log=True, unit="mm")
    contrast: float = parameter(1.0, "(0, inf)", usual=(0.2, 5), log=True, unit="root mean squares")
    diffusion: float = parameter(0.02, "(0, inf)", usual=(0.002, 0.5), log=True, unit="mm²")
    distance: float = parameter(1.0, "(0, inf)", usual=(0.5, 4), log=True, unit="mm")
    iterations: int = parameter(1000, "[1, inf)")
    tolerance: float = parameter(0.01, "[0, inf)", unit="mm")
    device: str = "auto"

    def evolve(
        self, image: Tensor, spacing: tuple[float, ...], seeds: Tensor | None, mask: Tensor | None
    ) -> Iterator[Look]:
        """States of a (C, ...) tensor, each as a function that gives its labels."""
        for state in self._lines(image, spacing, seeds, mask):
            yield partial(_drawn, state, image)

    def contours(
        self, image: Image, seeds: Labels | None = None, mask: Labels | None = None
    ) -> Contour:
        """Lines of all labels in the world, as they are when they rest."""
        _, state, _ = run_on_tensors(self._last, image, seeds, mask, self.device)
        points = np.concatenate(list(state.lines.values()))
        sizes = [len(line) for line in state.lines.values()]
        first = np.delete(np.arange(len(points)), np.cumsum(sizes) - 1)
        return Contour(
            in_world(points / state.place.spacing, image),
            np.stack([first, first + 1], axis=1),
            np.repeat(list(state.lines), np.array(sizes) - 1),
        )

    def _last(
        self, image: Tensor, spacing: tuple[float, ...], seeds: Tensor | None, mask: Tensor | None
    ) -> Lines:
        return final(self._lines(image, spacing, seeds, mask))

    def _lines(
        self, image: Tensor, spacing: tuple[float, ...], seeds: Tensor | None, mask: Tensor | None
    ) -> Iterator[Lines]:
        """Where the lines are before the first and after each step."""
        known = some_seeds(seeds, mask, "an open snake")
        allowed = known >= BACKGROUND if mask is None else (known >= BACKGROUND) & mask
        place = Place(allowed.cpu().numpy(), np.array(spacing))
        matter = Matter(self.elasticity, self.stiffness, self.distance)
        state = before = Lines.between(known.cpu().numpy(), place, matter, self.ends)
        attraction = Attraction(
            *(self.edge, self.line, self.reach, self.scale, self.contrast, self.diffusion)
        )
        field = attraction.field(image, spacing, mask)
        time = min(spacing) / 2 / (self.edge + abs(self.line) or 1)
        yield state
        for step in range(1, self.iterations + 1):
            state = state.stepped(field, time)
            yield state
            if step % STRIDE == 0:
                if state.shift(before) <= self.tolerance:
                    return
                before = state


@dataclass(frozen=True, eq=False)
class Lines:
    """Lines of all labels, of points at even steps, in mm.

    Parameters
    ----------
    lines : dict of int to (n, axes) float array
    place : Place
        Where they may be.
    matter : Matter
    ends : "fixed" or "free"
    """

    lines: Mapping[int, Points]
    place: Place
    matter: Matter
    ends: Ends

    @classmethod
    def between(cls, seeds: NDArray[np.int32], place: Place, matter: Matter, ends: Ends) -> Lines:
        """Straight lines between the middles of the two parts of each label's seeds."""
        lines = {}
        for label in np.unique(seeds[seeds > BACKGROUND]).tolist():
            parts, count = components(seeds == label, connectivity=3)
            if count != 2:
                raise ValueError(
                    "an open snake goes from one end to another: seeds of label "
                    f"{label} in two parts that do not touch, got {count}"
                )
            middles = [np.argwhere(parts == part).mean(axis=0) * place.spacing for part in (1, 2)]
            lines[label] = evenly(np.stack(middles), matter.distance)
        return cls(lines, place, matter, ends)

    def stepped(self, field: NDArray[np.float32] | None, time: float) -> Lines:
        """Lines some time later."""
        found = {}
        for label, line in self.lines.items():
            pulled = line if field is None else line + time * self.place.sampled(field, line)
            if self.ends == "fixed":
                pulled[[0, -1]] = line[[0, -1]]
            places = self.place.held(self._relaxed(pulled, line, time), line)
            found[label] = evenly(places, self.matter.distance)
        return replace(self, lines=found)

    def shift(self, before: Lines) -> float:
        """How far that line moved, in mm, that moved farthest."""
        return max(
            float(np.linalg.norm(_at_shares(line) - _at_shares(other), axis=1).mean())
            for line, other in zip(self.lines.values(), before.lines.values(), strict=True)
        )

    def _relaxed(self, pulled: Points, line: Points, time: float) -> Points:
        """Points moved from where they would be without elasticity.

        Free ends mirror what is beside them, fixed ones turn it: cosines or sines are then the
        eigenvectors of the second difference.
        """
        n = len(line)
        step = lengths_along(line)[-1] / (n - 1)
        if not step:
            return pulled
        if self.ends == "free":
            damping = self.matter.damping(2 - 2 * np.cos(np.pi / n * np.arange(n)), step, time)
            return np.asarray(idct(dct(pulled, axis=0) / damping[:, None], axis=0))
        straight = np.linspace(pulled[0], pulled[-1], n)
        rates = 2 - 2 * np.cos(np.pi / (n - 1) * np.arange(1, n - 1))
        damping = self.matter.damping(rates, step, time)
        waves = dst((pulled - straight)[1:-1], type=1, axis=0) / damping[:, None]
        straight[1:-1] += idst(waves, type=1, axis=0)
        return straight


def evenly(line: Points, distance: float) -> Points:
    """Points at even steps from the first to the last of a line, about `distance` mm apart."""
    along = lengths_along(line)
    count = max(_FEWEST, round(along[-1] / distance) + 1)
    found = places_on(line, along, np.linspace(0, along[-1], count))
    found[[0, -1]] = line[[0, -1]]
    return found


def _at_shares(line: Points) -> Points:
    along = lengths_along(line)
    return places_on(line, along, np.linspace(0, along[-1], _COMPARED))


def _drawn(state: Lines, image: Tensor) -> Tensor:
    """Labels where the image is: the voxels that each line passes."""
    import torch

    found = np.zeros(state.place.allowed.shape, np.int32)
    for label, line in state.lines.items():
        along = lengths_along(line)
        count = int(4 * along[-1] / state.place.spacing.min()) + 2
        dense = places_on(line, along, np.linspace(0, along[-1], count))
        voxels = state.place.voxels(dense)
        found[voxels] = np.where(state.place.allowed[voxels], label, BACKGROUND)
    return torch.from_numpy(found).to(image.device)
