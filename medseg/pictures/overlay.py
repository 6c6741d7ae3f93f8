"""Segmentations drawn over their image, alone, beside each other and in mosaics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil, sqrt
from pathlib import Path

from medseg.io import read_image, read_labels
from medseg.pictures.paper import save_png
from medseg.pictures.planes import Panel, as_scanned, panels_of
from medseg.pictures.sheet import Sheet, draw_sheet, note_of
from medseg.pictures.view import View
from medseg.volume import Image, Labels

_SCREEN = 16 / 9


@dataclass(frozen=True, eq=False)
class Tile:
    """One case of a mosaic.

    Parameters
    ----------
    image : Image, optional
        Without it, structures are shown on black.
    labels : Labels
    reference : Labels, optional
    title : str
        Stands above it.
    """

    image: Image | None
    labels: Labels
    reference: Labels | None = None
    title: str = ""


@dataclass(frozen=True)
class Compared:
    """Files of a case whose segmentation and reference are to be seen.

    Parameters
    ----------
    name : str
    prediction, reference : path
        Label maps on one grid.
    image : path or sequence of paths, optional
        As for `medseg.read_image`.
    note : str
        What is to be said of it, as "Dice 0.41".
    """

    name: str
    prediction: Path
    reference: Path
    image: Path | Sequence[Path] | None = None
    note: str = ""

    @property
    def title(self) -> str:
        """Its name and what is said of it."""
        return f"{self.name}   {self.note}".rstrip()


def draw_overlay(
    image: Image | None,
    labels: Labels,
    path: str | Path,
    reference: Labels | None = None,
    *,
    title: str = "",
    view: View | None = None,
) -> None:
    """Draw a segmentation in three orthogonal planes through its structures, as PNG.

    The planes are those in which most of the structures is seen, of the reference if there is
    one. Outlines are in the colour of the label: solid, dashed and lighter for the reference.
    A millimetre is as long in all planes. One slice, or 2D, gives one panel.

    Parameters
    ----------
    image : Image, optional
        Without it, structures are shown on black.
    labels : Labels
    path : path
        Ends in .png; what was there is replaced.
    reference : Labels, optional
    title : str
    view : View, optional
        Channel, window and convention.

    Raises
    ------
    ValueError
        If the grids differ, there is no such channel, or `path` is no PNG.
    """
    view = view or View()
    panels = panels_of(image, labels, reference, view)
    names = _names(labels, reference)
    save_png(draw_sheet(Sheet([panels], names, title, note_of(image, panels, view))), path)


def draw_comparison(
    image: Image | None,
    segmentations: Mapping[str, Labels],
    path: str | Path,
    reference: Labels,
    *,
    title: str = "",
    view: View | None = None,
) -> None:
    """Draw several segmentations of one image beside each other, a column each, as PNG.

    The planes are those through the reference; see `draw_overlay`.
    """
    view = view or View()
    if not segmentations:
        raise ValueError("nothing to compare; give at least one segmentation")
    columns = [
        _headed(panels_of(image, labels, reference, view), name)
        for name, labels in segmentations.items()
    ]
    rows = list(zip(*columns, strict=True))
    names = _names(*segmentations.values(), reference)
    save_png(draw_sheet(Sheet(rows, names, title, note_of(image, columns[0], view))), path)


def draw_mosaic(
    tiles: Iterable[Tile],
    path: str | Path,
    *,
    columns: int | None = None,
    title: str = "",
    view: View | None = None,
) -> None:
    """Draw many cases in one picture, one plane of each, as PNG.

    Parameters
    ----------
    tiles : iterable of Tile
        Taken one by one, so that a generator holds only one in memory.
    path : path
    columns : int, optional
        By default as many as fill a wide screen.

    Raises
    ------
    ValueError
        If there is no tile, or for the reasons of `draw_overlay`.
    """
    view = view or View()
    panels, names, note = [], {}, ""
    for tile in tiles:
        planes = panels_of(tile.image, tile.labels, tile.reference, view)
        note = note or note_of(tile.image, planes, view)
        panels.append(replace(as_scanned(planes), caption=tile.title))
        names.update(_names(tile.labels, tile.reference))
    if not panels:
        raise ValueError("a mosaic needs at least one case")
    wide = columns or _columns(panels)
    rows = [panels[start : start + wide] for start in range(0, len(panels), wide)]
    save_png(draw_sheet(Sheet(rows, names, title, note, to_scale=False)), path)


def draw_worst(
    cases: Sequence[Compared],
    folder: str | Path,
    names: Mapping[int, str] | None = None,
    *,
    view: View | None = None,
) -> tuple[Path, ...]:
    """Draw cases from their files: each in three planes, and all of them in a mosaic.

    Parameters
    ----------
    cases : sequence of Compared
        The worst first.
    folder : path
        Gets `1_<case>.png`, `2_<case>.png`, ... and `worst.png`.
    names : mapping of int to str, optional
        What labels stand for.

    Returns
    -------
    tuple of path
        What was written, the mosaic last.
    """
    root = Path(folder)
    written: list[Path] = []

    def tiles() -> Iterable[Tile]:
        for rank, case in enumerate(cases, 1):
            image = None if case.image is None else read_image(case.image)
            labels, known = read_labels(case.prediction, names), read_labels(case.reference, names)
            written.append(root / f"{rank}_{case.name}.png")
            draw_overlay(image, labels, written[-1], known, title=case.title, view=view)
            yield Tile(image, labels, known, case.title)

    draw_mosaic(tiles(), root / "worst.png", title="worst first", view=view)
    return (*written, root / "worst.png")


def _headed(panels: Sequence[Panel], heading: str) -> list[Panel]:
    """Panels of a column, the first of which bears its heading."""
    captions = [heading, *("" for _ in panels[1:])]
    return [replace(p, caption=caption) for p, caption in zip(panels, captions, strict=True)]


def _names(*maps: Labels | None) -> dict[int, str]:
    return {label: name for each in maps if each is not None for label, name in each.names.items()}


def _columns(panels: Sequence[Panel]) -> int:
    height, width = (sum(sizes) for sizes in zip(*(p.extent for p in panels), strict=True))
    return min(len(panels), max(1, ceil(sqrt(len(panels) * _SCREEN * height / width))))
