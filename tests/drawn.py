"""Small volumes that several tests draw, with grids that are easy to get wrong."""

import numpy as np
from numpy.typing import NDArray

from medseg.volume import Grid, Image, Labels


def rotation(x: float, y: float, z: float) -> NDArray[np.float64]:
    """Rotation matrix of three angles in radians, about one axis after the other."""
    (cx, cy, cz), (sx, sy, sz) = np.cos([x, y, z]), np.sin([x, y, z])
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


def oblique_affine(spacing: tuple[float, ...] = (1, 2, 3)) -> NDArray[np.float64]:
    """Affine of a grid that is turned about all three axes and lies off the origin."""
    affine = np.eye(4)
    affine[:3, :3] = rotation(0.3, -0.2, 0.1) * spacing
    affine[:3, 3] = (-31.5, 12.25, 70)
    return affine


def sheared_affine() -> NDArray[np.float64]:
    """Affine of a CT whose gantry was tilted."""
    affine = np.diag([1.0, 2.0, 3.0, 1.0])
    affine[1, 2] = 0.9
    return affine


def some_image(shape: tuple[int, ...] = (4, 5, 6), channels: int = 1) -> Image:
    array = np.random.default_rng(0).normal(size=(channels, *shape))
    affine = oblique_affine() if len(shape) == 3 else np.diag([-0.5, 2.0, 1.0])
    return Image(array, Grid(shape, affine))


def some_labels(shape: tuple[int, ...] = (4, 5, 6), high: int = 5) -> Labels:
    array = np.random.default_rng(0).integers(0, high, shape)
    affine = oblique_affine() if len(shape) == 3 else np.diag([-0.5, 2.0, 1.0])
    return Labels(array, Grid(shape, affine))
