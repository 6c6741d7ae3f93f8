"""Loops of `comparison`, compiled: they look at the structures of all labels at once.

A map comes flat, and once more as words of eight bytes, so that background is passed over a
word at a time.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

_Map = NDArray[np.unsignedinteger]
_Words = NDArray[np.uint64]
_Ints = NDArray[np.int64]
_Floats = NDArray[np.float64]

# Bytes of a word.
_WORD = 8
# Words that are passed over together if all of them are background.
_WORDS_AT_ONCE = 256
# Voxels whose neighbours are compared in one go; they stay in the nearest cache.
_AT_ONCE = 4096

_compiled = numba.njit(nogil=True, cache=True)


@_compiled
def narrow(wide: NDArray[np.integer], into: _Map) -> int:
    """Copy integers to a narrower dtype; return a number with all bits that any of them has.

    It is negative if one of them is, and below 256 only if all of them are.
    """
    bits: int = wide[0]
    for v in range(np.uint64(len(wide))):
        bits |= wide[v]
        into[v] = wide[v]
    return bits


@_compiled
def count(
    maps: tuple[_Map, _Map],
    words: tuple[_Words, _Words],
    ones: np.uint64,
    width: int,
    sizes: _Ints,
    filled: NDArray[np.bool_],
) -> tuple[int, int]:
    """First and last column of what is not background; they may be some voxels too far apart.

    The voxels of each label are added to `sizes`, (3, labels): predicted, annotated, both; and
    the rows, of `width`, that may hold anything are marked in `filled`. `ones` is a word in
    which every voxel is 1.
    """
    most, total, per = len(words[0]), len(maps[0]), _WORD // maps[0].itemsize
    low, high = width, -1
    for begin in range(0, most, _WORDS_AT_ONCE):
        end = min(begin + _WORDS_AT_ONCE, most)
        if _anything(words[0], words[1], begin, end):
            _tally(maps[0], maps[1], words[0], words[1], ones, begin, end, sizes)
            first, last = _mark(words[0], words[1], begin, end, per, width, filled)
            low, high = min(low, first), max(high, last)
    for v in range(most * per, total):
        if maps[0][v] | maps[1][v]:
            _add(sizes, maps[0][v], maps[1][v], 1)
            filled[v // width] = True
            low, high = min(low, v % width), max(high, v % width)
    return low, high


@_compiled
def _anything(first: _Words, second: _Words, begin: int, end: int) -> bool:
    bits = np.uint64(0)
    # A signed index might be negative and count from the end, which does not vectorise.
    for w in range(np.uint64(begin), np.uint64(end)):
        bits |= first[w] | second[w]
    return bool(bits != np.uint64(0))


@_compiled
def _mark(  # noqa: PLR0913 - arrays in tuples are slow to hand over
    first: _Words,
    second: _Words,
    begin: int,
    end: int,
    per: int,
    width: int,
    filled: NDArray[np.bool_],
) -> tuple[int, int]:
    """Mark the rows of the words that are not background; their first and last column."""
    low, high, row, behind = width, -1, -1, 0
    for w in range(begin, end):
        if not first[w] | second[w]:
            continue
        place = w * per
        if place >= behind:
            row = place // width
            behind = (row + 1) * width
        filled[row] = True
        if place + per <= behind:
            column = place - (behind - width)
            low, high = min(low, column), max(high, column + per - 1)
        else:  # the word goes on in the next row, or in several
            low, high = 0, width - 1
            filled[row : (place + per - 1) // width + 1] = True
    return low, high


@_compiled
def _tally(  # noqa: PLR0913 - arrays in tuples are slow to hand over
    first: _Map,
    second: _Map,
    first_words: _Words,
    second_words: _Words,
    ones: np.uint64,
    begin: int,
    end: int,
    sizes: _Ints,
) -> None:
    """Count the voxels of some words, equal neighbours at once."""
    per = _WORD // first.itemsize
    for w in range(np.uint64(begin), np.uint64(end)):
        x, y = first_words[w], second_words[w]
        if not x | y:
            continue
        v = w * np.uint64(per)
        a, b = first[v], second[v]
        if x == np.uint64(a) * ones and y == np.uint64(b) * ones:
            _add(sizes, a, b, per)
            continue
        alike = 1
        for u in range(v + np.uint64(1), v + np.uint64(per)):
            if first[u] == a and second[u] == b:
                alike += 1
            else:
                _add(sizes, a, b, alike)
                a, b, alike = first[u], second[u], 1
        _add(sizes, a, b, alike)


@_compiled
def _add(sizes: _Ints, first: int, second: int, voxels: int) -> None:
    sizes[0, first] += voxels
    sizes[1, second] += voxels
    if first == second:
        sizes[2, first] += voxels


@_compiled
def find_borders(  # noqa: PLR0913 - numba takes no structures of arrays
    labels: _Map,
    place: tuple[int, int, int],
    filled: NDArray[np.bool_],
    width: int,
    layout: tuple[int, int, int],
    neighbours: _Ints,
    codes: _Map,
    border: _Map,
) -> None:
    """Copy a box of `labels` to `codes`, and what has another label beside it to `border`.

    Both of these are rooms with background around the box, and begin all 0. Only the rows that
    are `filled`, (depth, height), are looked at. `place` and `layout` are where the box begins
    in `labels` and in the rooms, and the strides to the next plane and row. `neighbours` are
    flat steps in the rooms.
    """
    depth, height = filled.shape
    for i in range(depth):
        for j in range(height):
            if filled[i, j]:
                source = place[0] + i * place[1] + j * place[2]
                _copy(labels, source, codes, layout[0] + i * layout[1] + j * layout[2], width)
    rows = max(1, _AT_ONCE // layout[2])
    differs = np.empty(rows * layout[2], codes.dtype)
    for i in range(depth):
        for j in range(0, height, rows):
            many = min(rows, height - j)
            if filled[i, j : j + many].any():
                start = layout[0] + i * layout[1] + j * layout[2]
                differs[:] = 0
                # Rows at a time, not a voxel at a time: so it vectorises.
                for step in neighbours:
                    _compare(codes, start, start + step, many * layout[2], differs)
                _keep(codes, start, many * layout[2], differs, border)


@_compiled
def _copy(labels: _Map, source: int, codes: _Map, start: int, width: int) -> None:
    come, go = np.uint64(source), np.uint64(start)
    for k in range(np.uint64(width)):
        codes[go + k] = labels[come + k]


@_compiled
def _compare(codes: _Map, start: int, other: int, size: int, differs: _Map) -> None:
    """Set in `differs` where the voxels from `start` and from `other` on are not the same."""
    here, there = np.uint64(start), np.uint64(other)
    for k in range(np.uint64(size)):
        differs[k] |= codes[here + k] ^ codes[there + k]


@_compiled
def _keep(codes: _Map, start: int, size: int, differs: _Map, border: _Map) -> None:
    here = np.uint64(start)
    for k in range(np.uint64(size)):
        border[here + k] = codes[here + k] if differs[k] else 0


@_compiled
def search(  # noqa: PLR0913 - numba takes no structures of arrays
    codes: _Map,
    words: _Words,
    filled: NDArray[np.bool_],
    layout: tuple[int, int, int],
    other: _Map,
    rows: NDArray[np.int32],
    there: NDArray[np.bool_],
    steps: _Ints,
    ranks: _Ints,
    counts: _Ints,
    far: _Ints,
) -> int:
    """Count the voxels of a border, `codes`, by how far they are from the same code in `other`.

    `layout` is where the first row begins and the strides to the next plane and row; all are
    whole words. `rows` is the row of a code in `counts`, -1 if it does not matter. `steps`, by
    growing distance, have the `ranks`. Voxels that no step leads home from are written to
    `far`, whose new length is returned; those whose code is not `there` in `other` are counted
    in the last column.
    """
    per = _WORD // codes.itemsize
    missing, tail = counts.shape[1] - 1, 0
    for i, j in np.ndindex(filled.shape):
        if not filled[i, j]:
            continue
        start = layout[0] + i * layout[1] + j * layout[2]
        for w in range(start // per, (start + layout[2]) // per):
            if words[w] == np.uint64(0):
                continue
            for v in range(w * per, (w + 1) * per):
                code = codes[v]
                row = rows[code]
                if row < 0:
                    continue
                if other[v] == code:
                    counts[row, 0] += 1
                elif not there[row]:
                    counts[row, missing] += 1
                else:
                    at = _first_home(other, v, code, steps)
                    if at < len(steps):
                        counts[row, ranks[at]] += 1
                    else:
                        far[tail] = v
                        tail += 1
    return tail


@_compiled
def _first_home(other: _Map, v: int, code: int, steps: _Ints) -> int:
    at = 1
    while at < len(steps) and other[v + steps[at]] != code:
        at += 1
    return at


@_compiled
def gather(words: _Words, codes: _Map, wanted: NDArray[np.bool_], flat: _Ints) -> int:
    """Write the voxels whose code is wanted to `flat`, in order; return how many there are."""
    per = _WORD // codes.itemsize
    found = 0
    for w in range(len(words)):
        if words[w]:
            for v in range(w * per, (w + 1) * per):
                if wanted[codes[v]]:
                    flat[found] = v
                    found += 1
    return found


@_compiled
def nearest(
    points: _Ints, targets: _Ints, starts: _Ints, boxes: _Ints, spacing: _Floats
) -> _Floats:
    """Distance in mm of each of the (n, 3) points to the nearest of the (m, 3) targets, m > 0.

    Those of one cell stand together; `starts`, (cells + 1,), is where each begins, `boxes`,
    (cells, 2, 3), what is first and last in it along each axis.
    """
    found = np.empty(len(points))
    last = 0
    for p in range(len(points)):
        # The point before lies near by as a rule, so what was nearest to it rules out most.
        best = _squared(points, p, targets, last, spacing)
        for cell in range(len(boxes)):
            if _squared_to_box(points, p, boxes, cell, spacing) >= best:
                continue
            for t in range(starts[cell], starts[cell + 1]):
                squared = _squared(points, p, targets, t, spacing)
                if squared < best:
                    best, last = squared, t
        found[p] = np.sqrt(best)
    return found


@_compiled
def _squared(points: _Ints, p: int, targets: _Ints, t: int, spacing: _Floats) -> float:
    total = 0.0
    for axis in range(3):
        step = (points[p, axis] - targets[t, axis]) * spacing[axis]
        total += step * step
    return total


@_compiled
def _squared_to_box(points: _Ints, p: int, boxes: _Ints, cell: int, spacing: _Floats) -> float:
    total = 0.0
    for axis in range(3):
        below, above = (
            boxes[cell, 0, axis] - points[p, axis],
            points[p, axis] - boxes[cell, 1, axis],
        )
        step = max(below, above, 0) * spacing[axis]
        total += step * step
    return total
