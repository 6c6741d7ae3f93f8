"""Maximum flow on a grid by two search trees that are kept between augmentations, compiled.

After Y. Boykov, V. Kolmogorov, "An experimental comparison of min-cut/max-flow algorithms for
energy minimization in vision", IEEE Trans. Pattern Anal. Mach. Intell. 26(9):1124-1137, 2004,
doi:10.1109/TPAMI.2004.60, with the time stamps of distances that section 3.2 alludes to: a node
whose distance to its root was confirmed in this round is not asked again.

Voxels are flat, in a grid with a border of one voxel all around over which nothing flows.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

# What stands in `parents` beside the direction, 0 to 5, of the voxel from which a tree came.
ROOT, ORPHAN, FREE = 6, 7, 8
# What stands in `counters`.
_FIRST, _LAST, _TIME, _HEAD, _TAIL = range(5)
_FAR = 2**30
_compiled = numba.njit(nogil=True, cache=True)
# Counting who holds the arrays of a tuple, at each call, would take three times as long as the
# flow itself; where nothing is allocated there is nothing to count.
_uncounted = numba.njit(nogil=True, cache=True, _nrt=False)


@_uncounted
def load(
    ties: NDArray[np.float32],
    preferences: NDArray[np.float32],
    unit: float,
    rest: NDArray[np.int32],
    terminal: NDArray[np.int32],
) -> None:
    """Put capacities, as whole numbers of a unit, into a grid with a border of 0 all around.

    `ties` (3, i, j, k) go to the next voxel of each axis; `rest` (6, i + 2, j + 2, k + 2) and
    `terminal`, of one of these, are for `flow`. A preference is worth no more than all ties.
    """
    planes, rows, columns = preferences.shape
    for i in range(planes):
        for j in range(rows):
            for k in range(columns):
                x, y, z = i + 1, j + 1, k + 1
                for axis in range(3):
                    whole = np.int32(np.rint(ties[axis, i, j, k] / np.float32(unit)))
                    rest[2 * axis, x, y, z] = whole
                    rest[2 * axis + 1, x + (axis == 0), y + (axis == 1), z + (axis == 2)] = whole
                most = 1.0
                for d in range(6):
                    most += rest[d, x, y, z]
                wanted = np.float64(preferences[i, j, k]) / unit
                terminal[x, y, z] = np.int32(np.rint(min(max(wanted, -most), most)))


@_compiled
def flow(rest: NDArray[np.int32], terminal: NDArray[np.int32], offsets: NDArray[np.int64]) -> Any:
    """Let as much flow as can, in place, and give the voxels that the source still reaches.

    `rest` (6, n) is how much more can flow in each direction, `terminal` (n) how much more the
    source can give to a voxel, or, below 0, take the sink from it. Directions 2 a and 2 a + 1
    are opposite, and `offsets` lead to the neighbours.
    """
    n = len(terminal)
    parents, sides = np.full(n, FREE, np.uint8), np.zeros(n, np.bool_)
    stamps, away = np.zeros(n, np.int32), np.ones(n, np.int32)
    following, orphans = np.full(n, -1, np.int32), np.empty(n, np.int32)
    counters = np.array([-1, -1, 0, 0, 0])
    graph = (rest, terminal, offsets)
    trees = (parents, sides, stamps, away)
    queues = (following, orphans, counters)
    for voxel in range(n):
        if terminal[voxel] != 0:
            parents[voxel], sides[voxel] = ROOT, terminal[voxel] > 0
            _activate(voxel, queues)
    while True:
        voxel = counters[_FIRST]
        if voxel < 0:
            break
        met = -1
        if parents[voxel] != FREE:
            met = _grow(voxel, graph, trees, queues)
        counters[_TIME] += 1
        if met < 0:
            _deactivate_first(queues)
            continue
        _augment(voxel, met, graph, trees, queues)
        while counters[_HEAD] != counters[_TAIL]:
            orphan = orphans[counters[_HEAD]]
            counters[_HEAD] = (counters[_HEAD] + 1) % n
            _adopt(orphan, graph, trees, queues)
    return sides & (parents != FREE)


@_uncounted
def _activate(voxel: int, queues: Any) -> None:
    """Put a voxel at the end of those that may grow; the last one follows itself."""
    following, _, counters = queues
    if following[voxel] >= 0:
        return
    if counters[_LAST] >= 0:
        following[counters[_LAST]] = voxel
    else:
        counters[_FIRST] = voxel
    counters[_LAST] = voxel
    following[voxel] = voxel


@_uncounted
def _deactivate_first(queues: Any) -> None:
    following, _, counters = queues
    voxel = counters[_FIRST]
    after = following[voxel]
    following[voxel] = -1
    if after == voxel:
        counters[_FIRST] = counters[_LAST] = -1
    else:
        counters[_FIRST] = after


@_uncounted
def _grow(voxel: int, graph: Any, trees: Any, queues: Any) -> int:
    """Take free neighbours into the tree; the direction of one in the other tree, or -1."""
    rest, _, offsets = graph
    parents, sides, stamps, away = trees
    side = sides[voxel]
    for d in range(6):
        other = voxel + offsets[d]
        if (rest[d, voxel] if side else rest[d ^ 1, other]) <= 0:
            continue
        if parents[other] == FREE:
            sides[other], parents[other] = side, d ^ 1
            stamps[other], away[other] = stamps[voxel], away[voxel] + 1
            _activate(other, queues)
        elif sides[other] != side:
            return d
        elif stamps[other] <= stamps[voxel] and away[other] > away[voxel]:
            parents[other] = d ^ 1  # a shorter way to a root
            stamps[other], away[other] = stamps[voxel], away[voxel] + 1
    return -1


@_uncounted
def _augment(voxel: int, d: int, graph: Any, trees: Any, queues: Any) -> None:
    """Let flow what can between the roots of two voxels of different trees that touch."""
    rest, _, offsets = graph
    _, sides, _, _ = trees
    source, sink, way = voxel, voxel + offsets[d], d
    if not sides[voxel]:
        source, sink, way = sink, source, d ^ 1
    amount = rest[way, source]
    amount = min(amount, _narrowest(source, graph, trees), _narrowest(sink, graph, trees))
    rest[way, source] -= amount
    rest[way ^ 1, sink] += amount
    _push(source, amount, graph, trees, queues)
    _push(sink, amount, graph, trees, queues)


@_uncounted
def _narrowest(voxel: int, graph: Any, trees: Any) -> int:
    """How much can flow between a voxel and its root, and on to the terminal."""
    rest, terminal, offsets = graph
    parents, sides, _, _ = trees
    least = _FAR
    while parents[voxel] != ROOT:
        d = parents[voxel]
        other = voxel + offsets[d]
        least = min(least, rest[d ^ 1, other] if sides[voxel] else rest[d, voxel])
        voxel = other
    return int(min(least, abs(terminal[voxel])))


@_uncounted
def _push(voxel: int, amount: int, graph: Any, trees: Any, queues: Any) -> None:
    """Let it flow; who loses the way to its parent becomes an orphan."""
    rest, terminal, offsets = graph
    parents, sides, _, _ = trees
    source = sides[voxel]
    while parents[voxel] != ROOT:
        d = parents[voxel]
        other = voxel + offsets[d]
        if source:
            rest[d ^ 1, other] -= amount
            rest[d, voxel] += amount
            left = rest[d ^ 1, other]
        else:
            rest[d, voxel] -= amount
            rest[d ^ 1, other] += amount
            left = rest[d, voxel]
        if left == 0:
            _orphan(voxel, trees, queues)
        voxel = other
    terminal[voxel] += -amount if source else amount
    if terminal[voxel] == 0:
        _orphan(voxel, trees, queues)


@_uncounted
def _orphan(voxel: int, trees: Any, queues: Any) -> None:
    _, orphans, counters = queues
    trees[0][voxel] = ORPHAN
    orphans[counters[_TAIL]] = voxel
    counters[_TAIL] = (counters[_TAIL] + 1) % len(orphans)


@_uncounted
def _adopt(voxel: int, graph: Any, trees: Any, queues: Any) -> None:
    """Find the neighbour nearest to a root of the same tree as new parent, or set it free."""
    rest, _, offsets = graph
    parents, sides, stamps, away = trees
    side = sides[voxel]
    nearest, chosen = _FAR, FREE
    for d in range(6):
        other = voxel + offsets[d]
        if (rest[d ^ 1, other] if side else rest[d, voxel]) <= 0:
            continue
        if sides[other] == side and parents[other] != FREE:
            steps = _to_root(other, graph, trees, queues)
            if steps < nearest:
                nearest, chosen = steps, d
    parents[voxel] = chosen
    if chosen != FREE:
        stamps[voxel], away[voxel] = queues[2][_TIME], nearest + 1
        return
    for d in range(6):
        other = voxel + offsets[d]
        if parents[other] == FREE or sides[other] != side:
            continue
        if (rest[d ^ 1, other] if side else rest[d, voxel]) > 0:
            _activate(other, queues)
        if parents[other] == d ^ 1:
            _orphan(other, trees, queues)


@_uncounted
def _to_root(voxel: int, graph: Any, trees: Any, queues: Any) -> int:
    """Steps from a voxel to its root, `_FAR` if it comes to an orphan; the way is stamped."""
    offsets = graph[2]
    parents, _, stamps, away = trees
    time = queues[2][_TIME]
    steps, at = 0, voxel
    while True:
        if stamps[at] == time:
            steps += away[at]
            break
        if parents[at] == ORPHAN:
            return _FAR
        steps += 1
        if parents[at] == ROOT:
            stamps[at], away[at] = time, 1
            break
        at += offsets[parents[at]]
    left, at = steps, voxel
    while stamps[at] != time:
        stamps[at], away[at] = time, left
        left -= 1
        at += offsets[parents[at]]
    return steps
