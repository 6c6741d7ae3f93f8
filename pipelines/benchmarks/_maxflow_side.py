"""PyMaxflow's side of graph_cut.py: needs numpy and PyMaxflow alone.

PyMaxflow is under the GPL, so that it is no dependency, and stays in an environment of its own.
"""

import sys
import time

import numpy as np
from _resident import most_resident, resident

NEXT = np.zeros((3, 3, 3, 3), int)
NEXT[0, 2, 1, 1] = NEXT[1, 1, 2, 1] = NEXT[2, 1, 1, 2] = 1


def flow(costs: np.ndarray, preferences: np.ndarray) -> int:
    """Cost of the cheapest cut."""
    import maxflow

    size = preferences.size
    graph = maxflow.GraphInt(size, 3 * size)
    nodes = graph.add_grid_nodes(preferences.shape)
    for cost, structure in zip(costs, NEXT, strict=True):
        graph.add_grid_edges(nodes, cost, structure, symmetric=True)
    graph.add_grid_tedges(nodes, preferences.clip(0), (-preferences).clip(0))
    return int(graph.maxflow())


if __name__ == "__main__":
    network = np.load(sys.argv[1])
    costs, preferences = network["costs"], network["preferences"]
    flow(costs[:, :2, :2, :2], preferences[:2, :2, :2])  # imports take memory too
    before, seconds = resident(), []
    for _ in range(int(sys.argv[2])):
        began = time.perf_counter()
        cost = flow(costs, preferences)
        seconds.append(time.perf_counter() - began)
    print(np.median(seconds), (most_resident() - before) / 1e6, cost)
