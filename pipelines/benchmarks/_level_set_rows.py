"""Rows of classical.py: level sets, timed to the same contour on the same map of speeds.

Both begin with the same distance to the same ball, whose border lies half-way between voxels.
SimpleITK's takes `STEPS` steps, medseg's as many as bring it nearest to where that ends, by Dice;
how many that are is found before the clock runs.
"""

from collections.abc import Iterator
from itertools import islice

import numpy as np
import SimpleITK as sitk  # noqa: N813
import torch
from _comparing import OURS, Row, Volume
from _contour_rows import ball_in, cropped
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt as edt

from medseg.classical.deforming import Look, Start, last_of
from medseg.classical.edges import edge_map, steepest
from medseg.classical.forces import Forces, fixed
from medseg.classical.level_set import relaxed
from medseg.smoothing import gaussian

STEPS = 100
CURVATURE, ADVECTION, CONTRAST = 0.5, 2.0, 0.3
SPACING = (1.0, 1.0, 1.0)

Region = NDArray[np.bool_]


def threshold_level_set(volume: Volume) -> Row:
    """From a ball in the middle through the interval of the values in it, 128³ voxels."""
    values = cropped(volume.values, 128)
    start = ball_in(values.shape)
    reach = 3 * float(values[start].std())
    speed = (1 - np.abs(values - values[start].mean()) / (reach or 1)).clip(-1, 1)
    solver = sitk.ThresholdSegmentationLevelSetImageFilter()
    # Its speed is how far a value lies within an interval: here, the value itself.
    solver.SetLowerThreshold(0)
    solver.SetUpperThreshold(1000)
    forces = Forces(fixed(volume.tensor(speed)), 1.0, CURVATURE)
    return _to_the_same(volume, start, forces, solver, speed)


def geodesic_contour(volume: Volume) -> Row:
    """From a ball in the middle to the edges about it, 128³ voxels.

    SimpleITK's pulls by the slope of a map that it has smoothed by a Gaussian of 1 mm, which
    can't be set: so medseg's pull is given that map too.
    """
    values = cropped(volume.values, 128)
    edges = edge_map(volume.tensor(values[None]), 1.0, CONTRAST, SPACING)
    solver = sitk.GeodesicActiveContourLevelSetImageFilter()
    solver.SetAdvectionScaling(ADVECTION)
    smooth = gaussian(edges[None], 1.0, SPACING)[0]
    pull = smooth, ADVECTION, steepest(smooth, SPACING)
    forces = Forces(fixed(edges), 1.0, CURVATURE, *pull)
    return _to_the_same(volume, ball_in(values.shape), forces, solver, edges.cpu().numpy())


def _to_the_same(
    volume: Volume,
    start: Region,
    forces: Forces,
    solver: sitk.ImageFilter,
    feature: NDArray[np.float32],
) -> Row:
    inside = volume.tensor(start)
    begin = Start({1: inside}, torch.ones_like(inside))
    away = np.where(start, 0.5 - edt(start), edt(~start) - 0.5)
    begun = sitk.GetImageFromArray(away.astype(np.float32))
    solver.SetCurvatureScaling(CURVATURE)
    solver.SetPropagationScaling(1.0)
    solver.SetMaximumRMSError(0.0)
    solver.SetNumberOfIterations(STEPS)
    image = sitk.GetImageFromArray(feature)

    def states(steps: int) -> Iterator[Look]:
        found = relaxed(begin, lambda label, turned: forces, SPACING, 2 * STEPS, 0.0)
        return islice(found, steps + 1)

    def theirs() -> Region:
        found = sitk.GetArrayFromImage(solver.Execute(begun, image))
        # Whether the inside is positive differs between its filters.
        return np.asarray((found > 0) == (found[start].mean() > 0))

    end = theirs()
    agreements = [dice(_region(look()), end) for look in states(2 * STEPS)]
    steps = int(np.argmax(agreements))
    sides = {OURS: lambda: last_of(states(steps)), f"SimpleITK, {STEPS} steps": theirs}
    return Row(sides, lambda ours, other: f"Dice {dice(_region(ours), other):.4f}, {steps} steps")


def _region(found: torch.Tensor) -> Region:
    return found.cpu().numpy() > 0


def dice(one: Region, other: Region) -> float:
    """Dice's coefficient of two regions."""
    return float(2 * (one & other).sum() / (one.sum() + other.sum()))
