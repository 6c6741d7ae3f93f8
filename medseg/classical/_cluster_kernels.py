"""Loops that join the nodes of a graph to clusters, compiled.

A graph is `starts` (nodes + 1), where the neighbours of each node begin in `others`, and `ties`
to them; each pair stands there twice. Of a grid, the neighbours are those along the axes.
Kernels with `start` and `stop` do the nodes between them.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

NOWHERE = -1
# Who is tied to others this much more weakly than to what is left out is left out, too:
# in a cluster it would hold the others fast.
WEAKER = 8
MANTISSA = 23  # bits of a float32 in front of which its exponent stands

_compiled = numba.njit(nogil=True, cache=True)


@_compiled
def strongest_on_grid(  # noqa: PLR0913 - numba takes no structures of arrays
    start: int,
    stop: int,
    ties: NDArray[np.float32],
    bits: NDArray[np.int32],
    sinks: NDArray[np.float32],
    bound: NDArray[np.bool_],
    to: NDArray[np.int32],
) -> None:
    """What `strongest` gives, of the voxels in planes of a grid."""
    _, _, rows, columns = ties.shape
    steps = (rows * columns, columns, 1)
    flat_ties, flat = ties.reshape(3, -1), bits.reshape(3, -1)
    for node in range(start * rows * columns, stop * rows * columns):
        to[node] = NOWHERE
        if bound[node]:
            continue
        best, its, most = np.int64(-1), np.float32(0), sinks[node]
        for axis in range(3):
            for way in range(2):
                here = node if way else node - steps[axis]
                if here < 0 or flat_ties[axis, here] == 0:
                    continue
                other = node + steps[axis] if way else here
                most = max(most, flat_ties[axis, here])
                if not bound[other]:
                    rank = _rank(flat[axis, here], node, other)
                    if rank > best:
                        best, its, to[node] = rank, flat_ties[axis, here], other
        if WEAKER * its < most:
            to[node] = NOWHERE


@_compiled
def strongest(  # noqa: PLR0913
    start: int,
    stop: int,
    starts: NDArray[np.int64],
    others: NDArray[np.int32],
    ties: NDArray[np.float32],
    bits: NDArray[np.int32],
    sinks: NDArray[np.float32],
    bound: NDArray[np.bool_],
    to: NDArray[np.int32],
) -> None:
    """Neighbour to which each node is tied strongest, of those that are not bound.

    Nowhere for a node that is bound itself, or tied much more strongly to what is. `bits` are
    the ties, as integers. Ties between the same powers of two are of one class and count as
    equally strong; of those any is taken, or else a plateau would be joined all in one direction.
    """
    for node in range(start, stop):
        to[node] = NOWHERE
        if bound[node]:
            continue
        best, its, most = np.int64(-1), np.float32(0), sinks[node]
        for edge in range(starts[node], starts[node + 1]):
            other = others[edge]
            most = max(most, ties[edge])
            if not bound[other]:
                rank = _rank(bits[edge], node, other)
                if rank > best:
                    best, its, to[node] = rank, ties[edge], other
        if WEAKER * its < most:
            to[node] = NOWHERE


@_compiled
def _rank(bits: int, one: int, two: int) -> int:
    """Order of ties of these bits: by their class, then as if by chance, alike from both ends."""
    low, high = np.int64(min(one, two)), np.int64(max(one, two))
    mixed = (low * 0x1E3779B1 + high * 0x05EBCA77) & 0x7FFFFFFF
    mixed = ((mixed ^ (mixed >> 15)) * 0x2C1B3C6D) & 0x7FFFFFFF
    return int((np.int64(bits >> MANTISSA) << 31) + mixed)


@_compiled
def numbered(to: NDArray[np.int32], clusters: NDArray[np.int32]) -> int:
    """Number the clusters of nodes that lead to each other; returns how many there are.

    Whoever follows the strongest ties comes to two nodes that lead to each other, or to one
    that leads to nothing but what is left out.
    """
    count = 0
    for node in range(len(to)):
        clusters[node] = NOWHERE
        if to[node] != NOWHERE and _is_first(node, to):
            clusters[node] = count
            count += 1
    for node in range(len(to)):
        if to[node] == NOWHERE:
            continue
        end = node
        while clusters[end] == NOWHERE:
            end = to[end]
        number, there = clusters[end], node
        while clusters[there] == NOWHERE:
            clusters[there] = number
            there = to[there]
    return count


@_compiled
def _is_first(node: int, to: NDArray[np.int32]) -> bool:
    beyond = to[to[node]]
    return bool(beyond == NOWHERE or (beyond == node and node < to[node]))


@_compiled
def listed(
    clusters: NDArray[np.int32], begins: NDArray[np.int64], members: NDArray[np.int32]
) -> None:
    """List the members of each cluster, one cluster after the other."""
    begins[:] = 0
    for cluster in clusters:
        if cluster != NOWHERE:
            begins[cluster + 1] += 1
    for cluster in range(len(begins) - 1):
        begins[cluster + 1] += begins[cluster]
    place = begins[:-1].copy()
    for node in range(len(clusters)):
        cluster = clusters[node]
        if cluster != NOWHERE:
            members[place[cluster]] = node
            place[cluster] += 1


@_compiled
def joined_on_grid(  # noqa: PLR0913
    start: int,
    stop: int,
    ties: NDArray[np.float32],
    clusters: NDArray[np.int32],
    begins: NDArray[np.int64],
    members: NDArray[np.int32],
    ends: NDArray[np.int64],
    joined_sinks: NDArray[np.float32],
    totals: NDArray[np.float64],
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """What `joined` gives, of the voxels of a grid; those that are fixed are in no cluster."""
    _, _, rows, columns = ties.shape
    steps = (rows * columns, columns, 1)
    flat = ties.reshape(3, -1)
    place = np.full(len(begins) - 1, -1, np.int64)
    others = np.empty(64 + 3 * (begins[stop] - begins[start]), np.int32)
    sums = np.empty(len(others), np.float32)
    used = 0
    for cluster in range(start, stop):
        begin, sink, total = used, 0.0, 0.0
        most = used + 6 * (begins[cluster + 1] - begins[cluster])
        if most > len(others):
            others, sums = _longer(others, used, most), _longer(sums, used, most)
        for member in range(begins[cluster], begins[cluster + 1]):
            node = members[member]
            for axis in range(3):
                for way in range(2):
                    here = node if way else node - steps[axis]
                    if here < 0 or flat[axis, here] == 0:
                        continue
                    tie = flat[axis, here]
                    other = clusters[node + steps[axis] if way else here]
                    if other == NOWHERE:
                        sink += tie
                    elif other != cluster:
                        total += tie
                        used = _tied(other, tie, begin, used, place, others, sums)
        joined_sinks[cluster], totals[cluster] = sink, sink + total
        ends[cluster] = used
    return others[:used], sums[:used]


@_compiled
def joined(  # noqa: PLR0913
    start: int,
    stop: int,
    starts: NDArray[np.int64],
    neighbours: NDArray[np.int32],
    ties: NDArray[np.float32],
    sinks: NDArray[np.float32],
    clusters: NDArray[np.int32],
    begins: NDArray[np.int64],
    members: NDArray[np.int32],
    ends: NDArray[np.int64],
    joined_sinks: NDArray[np.float32],
    totals: NDArray[np.float64],
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Neighbours of clusters, and the sums of the ties to them.

    `ends` becomes where those of each cluster end, `totals` the sums of all its ties and of its
    sink. What ties it to nodes outside all clusters is a sink, too.
    """
    place = np.full(len(begins) - 1, -1, np.int64)
    others = np.empty(64 + 3 * (begins[stop] - begins[start]), np.int32)
    sums = np.empty(len(others), np.float32)
    used = 0
    for cluster in range(start, stop):
        begin, sink, total, most = used, 0.0, 0.0, used
        for node in members[begins[cluster] : begins[cluster + 1]]:
            most += starts[node + 1] - starts[node]
        if most > len(others):
            others, sums = _longer(others, used, most), _longer(sums, used, most)
        for node in members[begins[cluster] : begins[cluster + 1]]:
            sink += sinks[node]
            for edge in range(starts[node], starts[node + 1]):
                other = clusters[neighbours[edge]]
                if other == NOWHERE:
                    sink += ties[edge]
                elif other != cluster:
                    total += ties[edge]
                    used = _tied(other, ties[edge], begin, used, place, others, sums)
        joined_sinks[cluster], totals[cluster] = sink, sink + total
        ends[cluster] = used
    return others[:used], sums[:used]


@_compiled
def _longer(entries: NDArray, used: int, most: int) -> NDArray:
    """Same entries, with room for so many and more."""
    longer = np.empty(2 * most, entries.dtype)
    longer[:used] = entries[:used]
    return longer


@_compiled
def _tied(  # noqa: PLR0913
    other: int,
    tie: float,
    begin: int,
    used: int,
    place: NDArray[np.int64],
    others: NDArray[np.int32],
    sums: NDArray[np.float32],
) -> int:
    """Add a tie to the row that begins there; returns how much is used then.

    Where `other` stands in the row is in `place`, unless that is of an earlier row.
    """
    if place[other] >= begin:
        sums[place[other]] += tie
        return used
    place[other] = used
    others[used], sums[used] = other, tie
    return used + 1
