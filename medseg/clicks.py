"""Single voxels that are known, as one points at them: "90,155,91=1" or "12.5mm,3mm,-4mm=1"."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from medseg.volume import BACKGROUND, Grid, Labels, smallest_integers

_FORM = "a seed is written x,y,z=label, in voxels of the file or as 12.5mm,3mm,-4mm=1"


@dataclass(frozen=True)
class Click:
    """A place, and what is there.

    Parameters
    ----------
    place : tuple of float
        One number for each axis: whole ones that count voxels in file order, or millimetres in
        the world (RAS+), of which the nearest voxel counts.
    label : int
        -1 for background, or above 0.
    in_mm : bool
    """

    place: tuple[float, ...]
    label: int
    in_mm: bool = False

    def __post_init__(self) -> None:
        if self.label < -1 or self.label == BACKGROUND:
            raise ValueError(f"the label of a seed is above 0, or -1 for background, got {self}")
        if not all(map(math.isfinite, self.place)):
            raise ValueError(f"the place of a seed is made of finite numbers, got {self}")
        if not self.in_mm and not all(float(number).is_integer() for number in self.place):
            raise ValueError(f"voxels are counted in whole numbers; mm have the unit; got {self}")

    def __str__(self) -> str:
        unit = "mm" if self.in_mm else ""
        return ",".join(f"{number:g}{unit}" for number in self.place) + f"={self.label}"

    @classmethod
    def parse(cls, text: str) -> Click:
        """Click of "x,y,z=label", with mm behind each number or none.

        Raises
        ------
        ValueError
            If it is written in another way.
        """
        place, _, label = text.partition("=")
        numbers = [number.strip() for number in place.split(",")]
        units = {number.endswith("mm") for number in numbers}
        try:
            if len(units) > 1:
                raise ValueError("some numbers are in mm and some are not")
            found = tuple(float(number.removesuffix("mm")) for number in numbers)
            return cls(found, int(label), units.pop())
        except ValueError as error:
            raise ValueError(f"{_FORM}; got {text!r}: {error}") from error

    def voxel(self, grid: Grid) -> tuple[int, ...]:
        """Index of the voxel in the file.

        Raises
        ------
        ValueError
            If it lies outside, or the grid has another number of axes.
        """
        if len(self.place) != grid.ndim:
            raise ValueError(f"the image has {grid.ndim} axes, and the seed {self} another number")
        index = np.array(self.place)
        if self.in_mm:
            index = np.linalg.solve(grid.affine, [*self.place, 1.0])[:-1]
        # Half-way between two voxels, what rounding makes of it must not decide.
        nearest = np.floor(index + 0.5 + 1e-6)
        if (nearest < 0).any() or (nearest >= grid.shape).any():
            shape = " x ".join(map(str, grid.shape))
            where = ", ".join(f"{number:.1f}" for number in index) if self.in_mm else "it"
            raise ValueError(f"the seed {self} lies outside the image of {shape} voxels: {where}")
        return tuple(int(number) for number in nearest)


def seeds_at(clicks: Iterable[Click], grid: Grid) -> Labels:
    """Seeds on a grid with a voxel for each click, for `Segmenter.segment`.

    Raises
    ------
    ValueError
        If a click lies outside, or two of different labels fall on one voxel.
    """
    array = np.zeros(grid.shape, np.int64)
    for click in clicks:
        voxel = click.voxel(grid)
        if array[voxel] not in (0, click.label):
            raise ValueError(f"the seed {click} lies on the voxel of another, of {array[voxel]}")
        array[voxel] = click.label
    return Labels(smallest_integers(array), grid)
