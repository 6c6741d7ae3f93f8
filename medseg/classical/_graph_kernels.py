"""Loops of a diffusion over the nodes of a graph and their clusters, compiled.

The graph is that of `medseg.classical.diffusion_graph`, the clusters are those of
`medseg.classical.clusters`, and maps are (maps, nodes). Each kernel does the nodes from `start`
to `stop`.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

NOWHERE = -1

_compiled = numba.njit(nogil=True, cache=True)
_compiled_sum = numba.njit(nogil=True, cache=True, fastmath={"reassoc", "contract"})


@_compiled
def rest(  # noqa: PLR0913 - numba takes no structures of arrays
    start: int,
    stop: int,
    starts: NDArray[np.int64],
    others: NDArray[np.uint32],
    ties: NDArray[np.float32],
    sinks: NDArray[np.float32],
    sources: NDArray[np.float64],
    values: NDArray[np.float64],
    out: NDArray[np.float64],
) -> None:
    """What the values leave of the sources."""
    for m in range(len(values)):
        here, source, to = values[m], sources[m], out[m]
        for node in range(start, stop):
            to[node] = source[node] + _inflow(node, starts, others, ties, sinks, here)


@_compiled
def swept(  # noqa: PLR0913
    start: int,
    stop: int,
    starts: NDArray[np.int64],
    others: NDArray[np.uint32],
    ties: NDArray[np.float32],
    sinks: NDArray[np.float32],
    relaxation: NDArray[np.float64],
    sources: NDArray[np.float64],
    values: NDArray[np.float64],
    out: NDArray[np.float64],
) -> None:
    """Values after a Jacobi sweep."""
    for m in range(len(values)):
        here, source, to = values[m], sources[m], out[m]
        for node in range(start, stop):
            left = source[node] + _inflow(node, starts, others, ties, sinks, here)
            to[node] = here[node] + relaxation[node] * left


@_compiled
def gathered(
    start: int,
    stop: int,
    begins: NDArray[np.int64],
    members: NDArray[np.uint32],
    values: NDArray[np.float64],
    sums: NDArray[np.float64],
) -> None:
    """Sums over the members of the clusters from `start` to `stop`."""
    for m in range(len(values)):
        here, to = values[m], sums[m]
        for cluster in range(start, stop):
            total = 0.0
            for member in members[begins[cluster] : begins[cluster + 1]]:
                total += here[member]
            to[cluster] = total


@_compiled
def spread(
    start: int,
    stop: int,
    clusters: NDArray[np.int32],
    sums: NDArray[np.float64],
    values: NDArray[np.float64],
) -> None:
    """Add to each node the value of its cluster."""
    for m in range(len(values)):
        here, to = sums[m], values[m]
        for node in range(start, stop):
            cluster = clusters[node]
            if cluster != NOWHERE:
                to[node] += here[cluster]


@_compiled_sum
def _inflow(
    node: int,
    starts: NDArray[np.int64],
    others: NDArray[np.uint32],
    ties: NDArray[np.float32],
    sinks: NDArray[np.float32],
    values: NDArray[np.float64],
) -> float:
    """What comes to a node over its ties less what goes into its sink."""
    here = values[node]
    total = -sinks[node] * here
    begin, end = starts[node], starts[node + 1]
    near, tied = others[begin:end], ties[begin:end]
    for edge in range(len(near)):
        total += tied[edge] * (values[near[edge]] - here)
    return float(total)
