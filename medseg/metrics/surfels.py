"""Surfaces laid between the voxels, in pieces of known area.

Each corner where voxels meet, 2 x 2 x 2 of them, has a piece of surface if some of the voxels
are inside and some outside: what marching cubes would lay through the cube of their centres.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from math import hypot

import numpy as np
from numpy.typing import NDArray

from medseg.distance import distance_to
from medseg.metrics.distances import ROUNDING_MM


@dataclass(frozen=True, eq=False)
class Surfels:
    """Pieces of one surface and how far they lie from another.

    Parameters
    ----------
    mm : (n,) float array
        Distance to the nearest piece of the other surface; infinite if there is none.
    areas : (n,) float array
        Area in mm2; in 2D length in mm, in 1D 1.
    """

    mm: NDArray[np.float64]
    areas: NDArray[np.float64]

    @property
    def area(self) -> float:
        """Area of the whole surface."""
        return float(self.areas.sum())

    def area_within(self, tolerance_mm: float) -> float:
        """Area of the pieces that are no farther than `tolerance_mm`."""
        return float(self.areas[self.mm <= tolerance_mm + ROUNDING_MM].sum())


def surfels(
    predicted: NDArray[np.bool_], reference: NDArray[np.bool_], spacing: tuple[float, ...]
) -> tuple[Surfels, Surfels]:
    """Surface of each of two masks of up to three axes, beyond whose edge nothing is inside."""
    codes = _codes(predicted), _codes(reference)
    areas = _areas(spacing)
    pieces = [(code > 0) & (code < len(areas) - 1) for code in codes]
    first, second = (
        Surfels(distance_to(other, spacing)[own], areas[code[own]])
        for code, own, other in zip(codes, pieces, pieces[::-1], strict=True)
    )
    return first, second


def _codes(mask: NDArray[np.bool_]) -> NDArray[np.intp]:
    """For each corner, which of the voxels that meet there are inside, as the bits of a number."""
    padded = np.pad(mask, 1)
    codes = np.zeros([size + 1 for size in mask.shape], np.intp)
    for bit, corner in enumerate(product((0, 1), repeat=mask.ndim)):
        part = tuple(slice(c, c + size) for c, size in zip(corner, codes.shape, strict=True))
        codes |= padded[part].astype(np.intp) << bit
    return codes


def _areas(spacing: tuple[float, ...]) -> NDArray[np.float64]:
    """Area of the surface between the voxels of each code."""
    axes = len(spacing)
    areas = np.zeros(2 ** (2**axes))
    for code in range(1, len(areas) - 1):
        areas[code] = (_point, _length, _area)[axes - 1](code, spacing)
    return areas


def _point(code: int, spacing: tuple[float, ...]) -> float:
    return 1.0


def _length(code: int, spacing: tuple[float, ...]) -> float:
    """Length of the line that marching squares draws; it cuts off opposite corners singly."""
    inside = code if code.bit_count() <= 2 else 15 - code
    diagonal = hypot(*spacing) / 2
    straight = {0b0011: spacing[1], 0b1100: spacing[1], 0b0101: spacing[0], 0b1010: spacing[0]}
    return straight.get(inside, inside.bit_count() * diagonal)


def _area(code: int, spacing: tuple[float, ...]) -> float:
    corners = _triangles(code) * np.array(spacing)
    sides = corners[:, 1:] - corners[:, :1]
    return float(np.linalg.norm(np.cross(sides[:, 0], sides[:, 1]), axis=1).sum()) / 2


@lru_cache(maxsize=256)
def _triangles(code: int) -> NDArray[np.float64]:
    """(n, 3, 3): corners of the triangles between the voxels of a code, in voxels."""
    from skimage.measure import marching_cubes

    # Where a surface could run in two ways, the fewer voxels are cut off, so that a code and
    # its opposite have the same surface. Classic marching cubes does so up to half of them.
    inside = code if code.bit_count() <= 4 else 255 - code
    cube = np.array([inside >> bit & 1 for bit in range(8)], float).reshape(2, 2, 2)
    vertices, faces, _, _ = marching_cubes(cube, 0.5, method="lorensen")
    return np.asarray(vertices[faces], np.float64)
