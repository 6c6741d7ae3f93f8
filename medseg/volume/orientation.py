"""Turn and flip axes, without interpolation: the 48 ways to store the same head."""

from __future__ import annotations

from itertools import permutations
from typing import TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from medseg.volume.grid import Grid
from medseg.volume.image import Image
from medseg.volume.labels import Labels

_Volume = TypeVar("_Volume", bound=Image | Labels)
_POSITIVE, _NEGATIVE = "RAS", "LPI"


def orientation(grid: Grid) -> str:
    """Direction in which each axis runs, as letters: RAS, LPI, ...; RA, ... in 2D.

    Of an oblique grid, the nearest directions.
    """
    cosines = _cosines(grid)
    worlds = _assignment(cosines)
    return "".join(
        (_POSITIVE if cosines[world, axis] > 0 else _NEGATIVE)[world]
        for axis, world in enumerate(worlds)
    )


def reorient(volume: _Volume, to: str = "RAS") -> _Volume:
    """Store `volume` with its axes running in the directions of `to`.

    Every voxel stays where it is in the world; only the order of storage changes. In 2D,
    the first two letters count.

    Raises
    ------
    ValueError
        If `to` does not name each axis once.
    """
    grid = volume.grid
    now, wanted = orientation(grid), to[: grid.ndim].upper()
    if now == wanted:
        return volume
    order = [_axis_of(now, letter, to) for letter in wanted]
    if sorted(order) != list(range(grid.ndim)):
        raise ValueError(f"an orientation names each axis once, as RAS or LPI do; got {to!r}")
    flips = tuple(k for k, axis in enumerate(order) if now[axis] != wanted[k])
    change = np.zeros((grid.ndim + 1, grid.ndim + 1))
    change[-1, -1] = 1
    for k, axis in enumerate(order):
        change[axis, k] = -1 if k in flips else 1
        change[axis, -1] = grid.shape[axis] - 1 if k in flips else 0
    turned = Grid(
        tuple(grid.shape[axis] for axis in order), grid.affine @ change, grid.code, grid.unit
    )
    return cast(_Volume, volume.on(_turn(volume.array, order, flips), turned))


def _turn(array: NDArray, order: list[int], flips: tuple[int, ...]) -> NDArray:
    first = array.ndim - len(order)
    moved = array.transpose(*range(first), *(first + axis for axis in order))
    return np.flip(moved, tuple(first + axis for axis in flips))


def _axis_of(codes: str, letter: str, to: str) -> int:
    for world in zip(_POSITIVE, _NEGATIVE, strict=True):
        if letter in world:
            found = [axis for axis, code in enumerate(codes) if code in world]
            if found:
                return found[0]
    raise ValueError(f"an orientation is made of R or L, A or P, S or I; got {to!r}")


def _cosines(grid: Grid) -> NDArray[np.float64]:
    axes = grid.affine[:-1, :-1]
    # Rounded, so that the float32 noise of a header does not decide between equal choices.
    cosines: NDArray[np.float64] = np.round(axes / np.linalg.norm(axes, axis=0), 5)
    return cosines


def _assignment(cosines: NDArray[np.float64]) -> tuple[int, ...]:
    """World axis of each voxel axis; the assignment that fits best overall."""
    axes = range(len(cosines))
    return max(
        permutations(axes), key=lambda worlds: sum(abs(cosines[w, a]) for a, w in enumerate(worlds))
    )
