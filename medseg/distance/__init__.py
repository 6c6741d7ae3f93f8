"""Euclidean and geodesic distance transforms, on the CPU and on CUDA."""

from medseg.distance.depth import deepest
from medseg.distance.euclidean import distance_in_torch, distance_to
from medseg.distance.geodesic import geodesic_distance, geodesic_in_torch

__all__ = [
    "deepest",
    "distance_in_torch",
    "distance_to",
    "geodesic_distance",
    "geodesic_in_torch",
]
