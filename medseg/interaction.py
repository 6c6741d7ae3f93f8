"""A user who knows the annotation and clicks where a method is wrong, played by the computer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medseg.classical.session import Interactive
from medseg.clicks import Click
from medseg.components import components
from medseg.distance import deepest, distance_to
from medseg.metrics import binary
from medseg.segmenter import Segmenter, canonical, in_place_of, require_place
from medseg.volume import BACKGROUND, Image, Labels, reorient

_OUTSIDE = -1


@dataclass(frozen=True, eq=False)
class Round:
    """What came of a click.

    Parameters
    ----------
    click : Click
    seeds : Labels
        Of all clicks so far.
    labels : Labels
        What the method made of them.
    dice : float
        Mean over the labels of the reference, inside the mask.
    seconds : float
        What the method took, without what a session does once for all.
    """

    click: Click
    seeds: Labels
    labels: Labels
    dice: float
    seconds: float

    def __str__(self) -> str:
        return f"{self.click!s:20} dice {self.dice:.4f}  {self.seconds:.2f} s"


def rounds(
    method: Segmenter,
    image: Image,
    reference: Labels,
    mask: Labels | None = None,
    *,
    clicks: int = 10,
    radius: float = 3.0,
) -> Iterator[Round]:
    """Segment after each click in the middle of the largest error, until there is none.

    The largest error is the largest connected set of voxels that belong to one label, or to
    background, and were given another; at first, all are background. The click has that label
    and marks what lies within `radius` of the voxel that is deepest inside the error, but at
    most half-way to the border of the error: a user sees it, and stays clear of it.
    Whatever is found has been helped by the annotation: say so with its scores.

    Parameters
    ----------
    method : Segmenter
        One that is interactive gets further clicks as corrections of its last result, in a
        session; any other begins anew, from all seeds so far. A click on what is marked already
        tells no method anything, and its result stays.
    image : Image
    reference, mask : Labels
        On the grid of the image. Outside the mask is no error.
    clicks : int
        At most.
    radius : float
        Of the brush, mm; 0 marks one voxel.

    Raises
    ------
    ValueError
        If the grids differ, or the reference has no label inside the mask.
    """
    require_place(image, reference, mask)
    wanted = canonical(reference)
    if mask is not None:
        wanted = np.where(canonical(mask) != 0, wanted, BACKGROUND)
    if not wanted.any():
        raise ValueError("nobody can click on a reference that has no label inside the mask")
    spacing = reorient(image).grid.spacing
    # Outside the mask a method finds background, as is wanted there.
    seeds, found = np.zeros(wanted.shape, np.int64), np.zeros_like(wanted)
    segment, labels = _segmenting(method, image, mask), None
    for _ in range(clicks):
        error = _largest_error(found, wanted)
        if error is None:
            return
        place, depth = deepest(error, spacing)
        label = int(wanted[place]) or _OUTSIDE
        marked = _ball(place, min(radius, depth / 2), wanted.shape, spacing)
        told = bool((seeds[marked] != label).any())
        seeds = np.where(marked, label, seeds)
        given = in_place_of(seeds, image, reference.names)
        began = time.perf_counter()
        if labels is None or told:
            labels = segment(given)
        seconds = time.perf_counter() - began
        found = canonical(labels)
        yield Round(_click(place, label, image), given, labels, _dice(found, wanted), seconds)


def _segmenting(method: Segmenter, image: Image, mask: Labels | None) -> Callable[[Labels], Labels]:
    """How to segment from seeds."""
    if isinstance(method, Interactive):
        return method.begin(image, mask).segment
    return lambda seeds: method.segment(image, seeds, mask)


def _largest_error(found: NDArray, wanted: NDArray) -> NDArray[np.bool_] | None:
    """Largest component of what should have one label and has not; of equals, the first."""
    wrong = np.where(found != wanted, wanted.astype(np.int64) + 1, 0)
    if not wrong.any():
        return None
    numbers, _ = components(wrong)
    sizes = np.bincount(numbers.ravel())
    sizes[0] = 0
    error: NDArray[np.bool_] = numbers == sizes.argmax()
    return error


def _ball(
    place: tuple[int, ...], radius: float, shape: tuple[int, ...], spacing: tuple[float, ...]
) -> NDArray[np.bool_]:
    """Voxels within a radius in mm."""
    middle = np.zeros(shape, bool)
    middle[place] = True
    ball: NDArray[np.bool_] = distance_to(middle, spacing) <= radius
    return ball


def _click(place: tuple[int, ...], label: int, image: Image) -> Click:
    """Click on a voxel of the canonical orientation, by its place in the file."""
    mark = np.zeros(reorient(image).grid.shape, np.int8)
    mark[place] = 1
    (voxel,) = np.argwhere(in_place_of(mark, image, {}).array)
    return Click(tuple(map(float, voxel)), label)


def _dice(found: NDArray, wanted: NDArray) -> float:
    labels = np.unique(wanted[wanted != BACKGROUND])
    return float(np.mean([binary.dc(found == label, wanted == label) for label in labels]))
