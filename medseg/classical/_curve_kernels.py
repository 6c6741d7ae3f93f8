"""Closed curves in 2D, compiled: directions, even points, what crosses, how far they moved.

Curves lie one after the other in (n, 2) points, in mm; `ends` says where each ends.
"""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
Ends = NDArray[np.int64]

_compiled = numba.njit(nogil=True, cache=True)


@_compiled
def normals(points: Points, ends: Ends) -> Points:
    """Directions outwards at the points."""
    found = np.empty_like(points)
    begin = 0
    for end in ends:
        before = end - 1
        for i in range(begin, end):
            after = i + 1 if i + 1 < end else begin
            x, y = points[after, 0] - points[before, 0], points[after, 1] - points[before, 1]
            length = max(math.sqrt(x * x + y * y), 1e-300)
            found[i, 0], found[i, 1] = y / length, -x / length
            before = i
        begin = end
    return found


@_compiled
def evenly(
    points: Points, ends: Ends, distance: float, fewest: int, gone: float
) -> tuple[Points, Ends]:
    """Points at even steps on the curves, but for those of less extent than `gone`."""
    along, counts = np.empty(len(points) + 1), np.zeros(len(ends), np.int64)
    begin = 0
    for k in range(len(ends)):
        loop = points[begin : ends[k]]
        if min(np.ptp(loop[:, 0]), np.ptp(loop[:, 1])) > gone:
            length = _lengths(loop, along)
            counts[k] = max(fewest, int(np.rint(length / distance)))
        begin = ends[k]
    found = np.empty((counts.sum(), 2))
    begin = start = 0
    for k in range(len(ends)):
        if counts[k]:
            loop = points[begin : ends[k]]
            _lengths(loop, along)
            _place(loop, along, found[start : start + counts[k]])
        begin, start = ends[k], start + counts[k]
    return found, counts[counts > 0].cumsum()


@_compiled
def crossing(points: Points, ends: Ends) -> bool:
    """Whether segments cross that are no neighbours.

    Those that do have middles no farther apart than the longest one is long; and so far is the
    next middle from the last one at most, so that most pairs need no look.
    """
    after = followers(ends)
    middles = (points + points[after]) / 2
    longest = _longest(points, after)
    for i in range(len(points)):
        begin = 0
        for end in ends:
            j = max(i + 1, begin)
            while j < end:
                apart = _apart(middles[i], middles[j])
                if apart <= longest and _cross(
                    points[i], points[after[i]], points[j], points[after[j]]
                ):
                    return True
                j += max(1, int((apart - longest) / longest))
            begin = end
    return False


@_compiled
def shift(before: Points, points: Points, ends: Ends) -> float:
    """How far points moved in mm, on average, across the curves to which they came."""
    outwards, longest = normals(points, ends), _longest(points, followers(ends))
    total = 0.0
    for i in range(len(before)):
        at = i * len(points) // len(before)
        nearest = _apart(before[i], points[at])
        begin = 0
        for end in ends:
            j = begin
            while j < end:
                apart = _apart(before[i], points[j])
                if apart < nearest:
                    at, nearest = j, apart
                # No neighbour is farther from the next one than `longest`.
                j += max(1, int((apart - nearest) / longest))
            begin = end
        x, y = before[i, 0] - points[at, 0], before[i, 1] - points[at, 1]
        total += abs(x * outwards[at, 0] + y * outwards[at, 1])
    return total / len(before)


@_compiled
def followers(ends: Ends) -> NDArray[np.int64]:
    """The point after each point."""
    found = np.arange(1, (ends[-1] if len(ends) else 0) + 1)
    begin = 0
    for end in ends:
        found[end - 1] = begin
        begin = end
    return found


@_compiled
def _lengths(loop: Points, along: NDArray[np.float64]) -> float:
    """Length of a curve; up to each of its points, and back to the first, in `along`."""
    along[0] = 0.0
    for i in range(len(loop)):
        along[i + 1] = along[i] + _apart(loop[i], loop[(i + 1) % len(loop)])
    return float(along[len(loop)])


@_compiled
def _place(loop: Points, along: NDArray[np.float64], found: Points) -> None:
    """Write points at even steps along a curve."""
    n, count, at = len(loop), len(found), 0
    for k in range(count):
        wanted = k * (along[n] / count)
        while at + 1 < n and along[at + 1] <= wanted:
            at += 1
        share = (wanted - along[at]) / (along[at + 1] - along[at])
        for axis in range(2):
            first = loop[at, axis]
            found[k, axis] = first + share * (loop[(at + 1) % n, axis] - first)


@_compiled
def _longest(points: Points, after: NDArray[np.int64]) -> float:
    longest = 0.0
    for i in range(len(points)):
        longest = max(longest, _apart(points[i], points[after[i]]))
    return longest


@_compiled
def _apart(a: Points, b: Points) -> float:
    x, y = a[0] - b[0], a[1] - b[1]
    return math.sqrt(x * x + y * y)


@_compiled
def _cross(a: Points, b: Points, c: Points, d: Points) -> bool:
    """Whether the segments from a to b and from c to d cross."""
    first, second = _turn(a, b, c) * _turn(a, b, d), _turn(c, d, a) * _turn(c, d, b)
    return bool(first < 0 and second < 0)


@_compiled
def _turn(a: Points, b: Points, c: Points) -> float:
    """Above 0 where the way from a over b to c turns left."""
    return float((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]))
