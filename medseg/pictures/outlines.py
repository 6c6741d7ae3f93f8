"""Outlines of labels as lines, as fine as the picture that they are drawn on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from medseg.volume import BACKGROUND

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

    from medseg.pictures.paper import Colour

Line = NDArray[np.float64]  # (points, 2): x, y

_ROUNDS = 2
_DEEPEST = 0.45  # voxels
_DASH, _GAP = 3.5, 3.0  # in widths of the line
_LEAST_DASHES = 6


def outlines_of(labels: NDArray[np.integer], inset: float) -> Iterator[tuple[int, Line]]:
    """Each label that occurs with each of its outlines, closed, in voxels.

    The first voxel covers 0 to 1. An outline joins the middles of the borders between voxels,
    its corners rounded, and lies `inset` voxels inside them, half a voxel at most: so those of
    neighbours lie side by side.
    """
    from skimage.measure import find_contours

    for label in np.unique(labels[labels != BACKGROUND]):
        rows, columns = np.nonzero(labels == label)
        start = np.array([rows.min(), columns.min()])
        box = labels[start[0] : rows.max() + 1, start[1] : columns.max() + 1] == label
        # Between the centres of two voxels, the mask rises from 0 to 1 evenly.
        level = 0.5 + min(inset, _DEEPEST)
        # A border of background closes the outlines of what touches the edge of the picture.
        field = np.pad(box, 1).astype(np.float32)
        for contour in find_contours(field, level):
            inside = np.clip(contour + start - 0.5, 0, labels.shape)
            yield int(label), _rounded(inside[:, ::-1])


def draw_lines(pen: ImageDraw, lines: Sequence[tuple[Colour, Line]], width: int) -> None:
    """Draw lines with a dark border, so that they show on bright tissue too."""
    points = [(colour, [(float(x), float(y)) for x, y in line]) for colour, line in lines]
    # All borders first, or that of one would cover the next.
    for _, line in points:
        pen.line(line, fill=(0, 0, 0), width=2 * width, joint="curve")
    for colour, line in points:
        pen.line(line, fill=colour, width=width, joint="curve")


def dashes_of(line: Line, width: int) -> Iterator[Line]:
    """Pieces of a line; of a short one, shorter pieces, so that it is seen to be dashed."""
    along = np.concatenate([[0.0], np.cumsum(_steps(line))])
    count = max(round(along[-1] / ((_DASH + _GAP) * width)), _LEAST_DASHES)
    period = along[-1] / count
    for start in period * np.arange(count):
        end = start + period * _DASH / (_DASH + _GAP)
        inner = along[(along > start) & (along < end)]
        places = np.concatenate([[start], inner, [end]])
        yield np.stack([np.interp(places, along, axis) for axis in line.T], axis=1)


def length_of(line: Line) -> float:
    """How long a line is."""
    return float(_steps(line).sum())


def _steps(line: Line) -> NDArray[np.float64]:
    return np.asarray(np.linalg.norm(np.diff(line, axis=0), axis=1))


def _rounded(closed: Line) -> Line:
    """Cut the corners of a closed line (Chaikin, 1974)."""
    for _ in range(_ROUNDS):
        before, after = closed[:-1], closed[1:]
        cut = np.stack([0.75 * before + 0.25 * after, 0.25 * before + 0.75 * after], axis=1)
        cut = cut.reshape(-1, 2)  # (2 * points, 2)
        closed = np.concatenate([cut, cut[:1]])
    return closed
