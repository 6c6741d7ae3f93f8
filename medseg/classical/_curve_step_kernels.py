"""A step of closed curves in 2D, compiled: forces at the points, elasticity and stiffness.

Curves lie one after the other in (n, 2) points, in mm; `ends` says where each ends.
"""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

from medseg.classical._curve_kernels import Ends, Points, followers, normals
from medseg.classical.moving import SHORTER

Slices = NDArray[np.float32]
# Of the field, of the balloon, of the values of the region and of their weights, as many as
# there are; running sums of the region, and its weight.
Forces = tuple[Slices, Slices, Slices, Slices, NDArray[np.float64], float]
# Allowed voxels, and their spacing.
Place = tuple[NDArray[np.bool_], NDArray[np.float64]]
Cell = tuple[int, int, int, int, float, float]

_compiled = numba.njit(nogil=True, cache=True)


@_compiled
def step(
    points: Points,
    ends: Ends,
    forces: Forces,
    place: Place,
    resistance: tuple[float, float],
    pace: tuple[float, float],
) -> tuple[Points, float, float]:
    """As `moving.stepped` has it: places some time later, how much later, and the farthest way."""
    allowed, spacing = place
    time, reach = pace
    outwards = normals(points, ends)
    speeds, slopes = _speeds(points, outwards, ends, forces, spacing, reach / 2)
    while True:
        weights = np.maximum(1, time * np.abs(speeds) / reach) + time * slopes
        found: Points = weights.reshape(-1, 1) * points
        found += time * speeds.reshape(-1, 1) * outwards
        begin = 0
        for end in ends:
            _relax(found[begin:end], points[begin:end], weights[begin:end], resistance, time)
            begin = end
        farthest = _farthest(points, found, outwards)
        if not farthest > reach:  # nor if it is nan
            break
        time *= SHORTER * reach / farthest
    _hold(found, points, allowed, spacing)
    return found, time, farthest


@_compiled
def _farthest(points: Points, found: Points, outwards: Points) -> float:
    """How far that point moves across the curve that moves farthest."""
    farthest = 0.0
    for i in range(len(points)):
        x, y = found[i, 0] - points[i, 0], found[i, 1] - points[i, 1]
        farthest = max(farthest, abs(x * outwards[i, 0] + y * outwards[i, 1]))
    return farthest


@_compiled
def _speeds(
    points: Points,
    outwards: Points,
    ends: Ends,
    forces: Forces,
    spacing: NDArray[np.float64],
    reach: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Speed outwards of each point, and how steeply it falls within `reach`, or 0."""
    within, beyond = _means(points, ends, forces[4], spacing)
    means = within, beyond, ((within - beyond) ** 2).sum()
    before = _speeds_at(points, outwards, -reach, forces, spacing, means)
    here = _speeds_at(points, outwards, 0.0, forces, spacing, means)
    after = _speeds_at(points, outwards, reach, forces, spacing, means)
    return here, np.maximum(np.maximum(before - here, here - after), 0) / reach


@_compiled
def _speeds_at(
    points: Points,
    outwards: Points,
    way: float,
    forces: Forces,
    spacing: NDArray[np.float64],
    means: tuple[NDArray[np.float64], NDArray[np.float64], float],
) -> NDArray[np.float64]:
    """Speeds in the directions `outwards`, so far on the way there from the points."""
    field, balloon, values, weights, _, weight = forces
    within, beyond, contrast = means
    rows, columns = field.shape[1:]
    found = np.zeros(len(points))
    for i in range(len(points)):
        x = (points[i, 0] + way * outwards[i, 0]) / spacing[0]
        y = (points[i, 1] + way * outwards[i, 1]) / spacing[1]
        cell = _cell(x, y, rows, columns)
        for axis in range(len(field)):
            found[i] += _between(field, axis, cell) * outwards[i, axis]
        for each in range(len(balloon)):
            found[i] += _between(balloon, each, cell)
        if contrast > 0:
            share = _between(weights, 0, cell) if len(weights) else 1.0
            nearer = 0.0
            for c in range(len(values)):
                value = _between(values, c, cell) / (share if share > 0 else 1.0)
                nearer += (value - beyond[c]) ** 2 - (value - within[c]) ** 2
            found[i] += weight * min(max(nearer / contrast, -1.0), 1.0)
    return found


@_compiled
def _cell(x: float, y: float, rows: int, columns: int) -> Cell:
    """Voxels around a place, in voxels, and how far it lies from the first to the last one."""
    x, y = min(max(x, 0.0), rows - 1.0), min(max(y, 0.0), columns - 1.0)
    i, j = int(x), int(y)
    return i, j, min(i + 1, rows - 1), min(j + 1, columns - 1), x - i, y - j


@_compiled
def _between(slices: Slices, at: int, cell: Cell) -> float:
    """Linear interpolation between the voxels of a slice; beyond it, its border."""
    i, j, below, right, u, v = cell
    first = (1 - v) * slices[at, i, j] + v * slices[at, i, right]
    second = (1 - v) * slices[at, below, j] + v * slices[at, below, right]
    return float((1 - u) * first + u * second)


@_compiled
def _means(
    points: Points, ends: Ends, running: NDArray[np.float64], spacing: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Means inside and outside; both 0 if there are no voxels on one of the sides.

    Of no channels, if there are no running sums.
    """
    size, rows, columns = running.shape
    if not size:
        return np.zeros(0), np.zeros(0)
    inside, after = np.zeros(size), followers(ends)
    for i in range(len(points)):
        low, high, turn = points[i], points[after[i]], -1.0
        if low[0] > high[0]:
            low, high, turn = high, low, 1.0
        x, y = low[0] / spacing[0], low[1] / spacing[1]
        below, beside = high[0] / spacing[0], high[1] / spacing[1]
        for row in range(max(math.ceil(x), 0), min(math.ceil(below), rows)):
            place = y + (row - x) / (below - x) * (beside - y)
            column = min(max(math.ceil(place), 0), columns - 1)
            for c in range(size):
                inside[c] += turn * running[c, row, column]
    outside = running[:, :, columns - 1].sum(axis=1) - inside
    if inside[-1] < 1 or outside[-1] < 1:
        return np.zeros(size - 1), np.zeros(size - 1)
    return inside[:-1] / inside[-1], outside[:-1] / outside[-1]


@_compiled
def _relax(
    points: Points,
    before: Points,
    weights: NDArray[np.float64],
    resistance: tuple[float, float],
    time: float,
) -> None:
    """Draw a curve to where elasticity and stiffness leave it, in place.

    Its matrix has five bands that are cyclic: without the last two points they are not, and
    how much these have a share in the others is solved for beside.
    """
    n, length = len(points), 0.0
    for i in range(n):
        x, y = before[i - 1, 0] - before[i, 0], before[i - 1, 1] - before[i, 1]
        length += math.sqrt(x * x + y * y)
    squared = (length / n) ** 2
    elastic, stiff = time * resistance[0] / squared, time * resistance[1] / squared**2
    near, far = -elastic - 4 * stiff, stiff
    middle = weights + (2 * elastic + 6 * stiff)
    padded = np.zeros((n + 2, 4))
    right = padded[2:-2]
    right[:, :2] = points[:-2]
    right[0, 2] = right[-2, 2] = right[1, 3] = right[-1, 3] = far
    right[-1, 2] = right[0, 3] = near
    _solve(padded, middle, near, far)
    shares = right[:, 2:]
    # What is left of the last two rows.
    a = middle[-2] - far * (shares[0, 0] + shares[-2, 0]) - near * shares[-1, 0]
    b = near - far * (shares[0, 1] + shares[-2, 1]) - near * shares[-1, 1]
    c = middle[-1] - near * shares[0, 1] - far * (shares[1, 1] + shares[-1, 1])
    for axis in range(2):
        found = right[:, axis]
        first = points[-2, axis] - far * (found[0] + found[-2]) - near * found[-1]
        second = points[-1, axis] - near * found[0] - far * (found[1] + found[-1])
        points[-2, axis] = (c * first - b * second) / (a * c - b * b)
        points[-1, axis] = (a * second - b * first) / (a * c - b * b)
        for i in range(n - 2):
            points[i, axis] = (
                found[i] - shares[i, 0] * points[-2, axis] - shares[i, 1] * points[-1, axis]
            )


@_compiled
def _solve(
    right: NDArray[np.float64], middle: NDArray[np.float64], near: float, far: float
) -> None:
    """Solve for four right sides, in place, a matrix of five bands, of which four are even.

    Above and below the right sides there are two rows of 0 each, so that all rows are alike.
    """
    one, two, inverse = np.zeros(len(right)), np.zeros(len(right)), np.zeros(len(right))
    for i in range(2, len(right) - 2):
        left = near - far * one[i - 1]
        one[i], two[i] = left * inverse[i - 1], far * inverse[i - 2]
        inverse[i] = 1 / (middle[i - 2] - left * one[i] - far * two[i])
        for k in range(4):
            right[i, k] -= one[i] * right[i - 1, k] + two[i] * right[i - 2, k]
    for i in range(len(right) - 3, 1, -1):
        for k in range(4):
            right[i, k] *= inverse[i]
            right[i, k] -= one[i + 1] * right[i + 1, k] + two[i + 2] * right[i + 2, k]


@_compiled
def _hold(points: Points, before: Points, allowed: NDArray[np.bool_], spacing: Points) -> None:
    """Draw points back into the volume, and to where they were if they may not be there."""
    rows, columns = allowed.shape
    for i in range(len(points)):
        for axis, size in enumerate(allowed.shape):
            step = spacing[axis]
            points[i, axis] = min(max(points[i, axis], -step / 2), (size - 0.5) * step)
        row = min(max(int(np.rint(points[i, 0] / spacing[0])), 0), rows - 1)
        column = min(max(int(np.rint(points[i, 1] / spacing[1])), 0), columns - 1)
        if not allowed[row, column]:
            points[i] = before[i]
