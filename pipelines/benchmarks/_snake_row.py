"""Row of classical.py: a curve that closes around the largest bright part of a slice."""

import numpy as np
import torch
from _comparing import OURS, Row, Volume
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, zoom
from scipy.spatial import cKDTree
from skimage.segmentation import active_contour

import medseg
from medseg.classical.snake import Snake
from medseg.components import largest

SIZE, POINTS = 240, 200


def snake(volume: Volume) -> Row:
    """A circle of 200 points that comes to rest at edges of 240 by 240 pixels, forces and all.

    Elasticity draws it inwards. Theirs ends when no point moves by a tenth of a pixel in a step,
    ours when ten steps move them by half of that on average: ours is the stricter rest.
    """
    middle = volume.values.shape[-1] // 2
    scale = SIZE / np.array(volume.values.shape[:2])
    values = gaussian_filter(zoom(volume.values[..., middle], scale, order=1), 3.0)
    values = (values - values.min()) / (np.ptp(values) or 1)
    bright = largest(torch.from_numpy(zoom(volume.bright[..., middle], scale, order=0))).numpy()
    places = np.argwhere(bright)
    centre = places.mean(axis=0)
    radius = 1.05 * np.linalg.norm(places - centre, axis=1).max()
    angles = np.linspace(0, 2 * np.pi, POINTS, endpoint=False)
    circle = centre + radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)

    grid = medseg.Grid.from_spacing((SIZE, SIZE))
    image = medseg.Image(values[None].astype(np.float32), grid)
    away = np.linalg.norm(np.indices(grid.shape).T - centre, axis=-1).T
    seeds = medseg.Labels((away < radius).astype(np.uint8), grid)
    ours = Snake(
        elasticity=4,
        stiffness=4,
        region=0,
        edge=1,
        tolerance=0.05,
        reach="gradient",
        scale=0,
        distance=2 * np.pi * radius / POINTS,
        radius=0,
        device=str(volume.device),
    )
    sides = {
        OURS: lambda: ours.contours(image, seeds).points,
        "scikit-image": lambda: active_contour(values, circle, alpha=0.015, beta=1, gamma=0.001),
    }
    return Row(sides, _apart)


def _apart(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> str:
    """How far two curves lie from each other."""
    distance, _ = cKDTree(ours).query(theirs)
    return f"{np.median(distance):.2f} pixels apart (median), {len(ours)} points"
