"""Planes through volumes, upright as they stand on the screen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log
from typing import NamedTuple, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from medseg.pictures.view import View
from medseg.volume import BACKGROUND, Grid, Image, Labels, reorient, require_match

_Volume = TypeVar("_Volume", bound=Image | Labels)
Paint = Callable[[NDArray[np.uint8], NDArray], NDArray[np.uint8]]

_NAMES = ("sagittal", "coronal", "axial")
_LETTERS = ("APSI", "RLSI", "RLAP")  # on the left, right, top and bottom of each of them
_AXIAL_FIRST = (2, 1, 0)
_PERCENTILES = (0.5, 99.5)
_AIR, _TISSUE = -500, (-200.0, 300.0)  # what is so dark is a CT, in HU
_PADDING = 0.1  # share of voxels of exactly one value that is no tissue
_DARK = 0.12  # of the window: air and its noise
_MARGIN = 0.04  # of the box, on each side
_MANY = 1 << 16


class _Plane(NamedTuple):
    """The axis that a plane leaves out, and where along it the plane lies."""

    axis: int
    where: int


@dataclass(frozen=True, eq=False)
class Panel:
    """One plane, upright, ready to be drawn.

    Parameters
    ----------
    shades : (rows, columns, 3) uint8 array
    labels : (rows, columns) integer array
    reference : (rows, columns) integer array, optional
    spacing : (float, float)
        Distance of rows and of columns, mm.
    letters : str
        What the patient has on the left, right, top and bottom of it; "" where nobody knows.
    caption : str
        Which plane it is.
    """

    shades: NDArray[np.uint8]
    labels: NDArray[np.integer]
    reference: NDArray[np.integer] | None
    spacing: tuple[float, float]
    letters: str
    caption: str

    @property
    def extent(self) -> tuple[float, float]:
        """Height and width, mm."""
        rows, columns = self.labels.shape
        return rows * self.spacing[0], columns * self.spacing[1]

    def values(self) -> set[int]:
        """Labels that are seen."""
        maps = [self.labels] if self.reference is None else [self.labels, self.reference]
        return {int(value) for each in maps for value in np.unique(each)} - {BACKGROUND}


def panels_of(
    image: Image | None,
    labels: Labels,
    reference: Labels | None,
    view: View,
    *,
    paint: tuple[Image, Paint] | None = None,
) -> tuple[Panel, ...]:
    """Axial, coronal and sagittal plane, each where most of the structures is seen.

    Every label counts alike, small or large. The reference decides where there is one, so that
    predictions of the same case are shown in the same planes. One slice, or 2D, is one plane.

    Parameters
    ----------
    image : Image, optional
        Without it, structures are shown on black.
    paint : (Image, function), optional
        Values, and what paints them over shades of 0 to 255. All of the planes is seen then,
        otherwise what there is to be seen.

    Raises
    ------
    ValueError
        If the grids differ, or the image has no such channel.
    """
    if image is not None:
        require_match(image.grid, labels.grid, "the segmentation")
    if reference is not None:
        require_match(labels.grid, reference.grid, "the reference")
    known = labels.grid.ndim == 3
    maps = [_canonical(each) for each in (labels, reference) if each is not None]
    arrays = [each.array for each in maps]
    channels = None if image is None else _canonical(_chosen(image, view)).array
    truth = arrays[-1] if arrays[-1].any() else arrays[0]
    planes = [_Plane(axis, _fullest(truth, axis)) for axis in _axes(truth.shape)]
    shades = [_shades(channels, truth.shape, plane) for plane in planes]
    window = view.window or _window(shades)
    shades = [_windowed(each, *window) for each in shades]
    cuts = [[_cut(array, plane) for array in arrays] for plane in planes]
    box = {axis: slice(None) for axis in range(3)}
    if paint is None:
        box = _box(planes, [_content(*both) for both in zip(shades, cuts, strict=True)])
    else:
        values, over = _canonical(paint[0]).array[0], paint[1]
        shades = [
            over(*both) for both in zip(shades, (_cut(values, p) for p in planes), strict=True)
        ]
    return tuple(
        _panel(plane, maps[0].grid, box, (shade, cut), view if known else None)
        for plane, shade, cut in zip(planes, shades, cuts, strict=True)
    )


def as_scanned(panels: Sequence[Panel]) -> Panel:
    """The plane of the finest pixels; the first of them, if they are about the same."""
    return min(panels, key=lambda panel: round(log(panel.spacing[0] * panel.spacing[1])))


def _canonical(volume: _Volume) -> _Volume:
    """Volume of three axes, to the right, the front and the top."""
    grid = volume.grid
    if grid.ndim == 3:
        return reorient(volume)
    # What is stored as it is looked at is turned here, as all panels are turned back.
    flat = Grid.from_spacing((*grid.shape, 1), (*grid.spacing, 1.0))
    return cast(_Volume, volume.on(volume.array[..., ::-1, ::-1, None], flat))


def _chosen(image: Image, view: View) -> Image:
    if view.channel is not None:
        return image.channel(view.channel)
    return image if image.grid.ndim == 2 and image.channels == 3 else image.channel(0)


def _axes(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Axes across which the planes lie: of a single slice, that across it."""
    single = [axis for axis in _AXIAL_FIRST if shape[axis] == 1]
    return tuple(single[:1]) or _AXIAL_FIRST


def _fullest(labels: NDArray[np.integer], axis: int) -> int:
    """Index of the plane across `axis` that shows most of each label, on the average."""
    if not labels.any():
        return int(labels.shape[axis]) // 2
    low, high = int(labels.min()), int(labels.max())
    if high - low >= _MANY:
        labels, low, high = (labels != BACKGROUND).astype(np.uint8), 0, 1
    bins = high - low + 1
    # As intp, that the difference of two int8 does not overflow.
    slices = (each.ravel(order="K").astype(np.intp) for each in np.moveaxis(labels, axis, 0))
    areas = np.stack([np.bincount(each - low, minlength=bins) for each in slices])
    if low <= BACKGROUND:
        areas[:, BACKGROUND - low] = 0
    seen = areas[:, areas.any(axis=0)]
    score: NDArray[np.float64] = (seen / seen.max(axis=0)).sum(axis=1)
    best = np.flatnonzero(score >= score.max() - 1e-9)
    return int(best[len(best) // 2])


def _cut(array: NDArray, plane: _Plane) -> NDArray:
    """(..., rows, columns) of the plane, from the top and from the right to the left."""
    cut: NDArray = np.moveaxis(array, array.ndim - 3 + plane.axis, 0)[plane.where]
    return cut.swapaxes(-1, -2)[..., ::-1, ::-1]


def _shades(channels: NDArray | None, shape: tuple[int, ...], plane: _Plane) -> NDArray:
    """(1 or 3, rows, columns) intensities."""
    array = np.zeros((1, *shape), np.uint8) if channels is None else channels
    return _cut(array, plane)


def _window(shades: Sequence[NDArray]) -> tuple[float, float]:
    values = np.concatenate([each.ravel() for each in shades])
    if values.min() < _AIR and values.max() > _TISSUE[0]:
        return _TISSUE
    found, counts = np.unique(values, return_counts=True)
    commonest = found[counts.argmax()]
    if counts.max() > _PADDING * len(values) and len(found) > 2:
        values = values[values != commonest]
    low, high = np.percentile(values, _PERCENTILES)
    return float(low), float(max(high, np.nextafter(low, np.inf)))


def _windowed(shades: NDArray, low: float, high: float) -> NDArray[np.uint8]:
    """(rows, columns, 3) of 0 to 255."""
    share = np.clip((shades.astype(np.float64) - low) / (high - low), 0, 1)
    grey = np.rint(255 * share).astype(np.uint8)
    return np.ascontiguousarray(np.moveaxis(np.broadcast_to(grey, (3, *grey.shape[1:])), 0, -1))


def _content(shades: NDArray[np.uint8], maps: Sequence[NDArray]) -> NDArray[np.bool_]:
    """Where something is to be seen in a plane, (rows, columns)."""
    seen = shades.max(axis=-1) > 255 * _DARK
    for each in maps:
        seen |= each != BACKGROUND
    return np.asarray(seen)


def _box(planes: Sequence[_Plane], contents: Sequence[NDArray[np.bool_]]) -> dict[int, slice]:
    """Along each axis, the rows or columns of the panels in which there is something."""
    ends: dict[int, tuple[int, int]] = {}
    for plane, content in zip(planes, contents, strict=True):
        for axis, across in zip(_rows_columns(plane), (1, 0), strict=True):
            found = np.flatnonzero(content.any(axis=across))
            size = content.shape[1 - across]
            first, last = (found[0], found[-1] + 1) if len(found) else (0, size)
            a, b = ends.get(axis, (size, 0))
            ends[axis] = min(a, int(first)), max(b, int(last))
    margins = {axis: round(_MARGIN * (b - a)) + 1 for axis, (a, b) in ends.items()}
    return {
        axis: slice(max(a - margins[axis], 0), b + margins[axis]) for axis, (a, b) in ends.items()
    }


def _rows_columns(plane: _Plane) -> tuple[int, int]:
    """Axes along which its rows follow each other, and its columns."""
    columns, rows = (axis for axis in range(3) if axis != plane.axis)
    return rows, columns


def _panel(
    plane: _Plane,
    grid: Grid,
    box: dict[int, slice],
    content: tuple[NDArray[np.uint8], Sequence[NDArray]],
    view: View | None,
) -> Panel:
    """Cut the box out; without a view, nobody knows where the patient's right is."""
    rows, columns = _rows_columns(plane)
    shades, *maps = (each[box[rows], box[columns]] for each in (content[0], *content[1]))
    letters, caption = "", ""
    if view is not None:
        letters = _LETTERS[plane.axis]
        caption = f"{_NAMES[plane.axis]} {plane.where + 1} of {grid.shape[plane.axis]}"
    if view is not None and view.convention == "neurological" and columns == 0:
        shades, *maps = (each[:, ::-1] for each in (shades, *maps))
        letters = letters[1::-1] + letters[2:]
    return Panel(
        shades,
        maps[0],
        maps[1] if len(maps) > 1 else None,
        (grid.spacing[rows], grid.spacing[columns]),
        letters,
        caption,
    )
