"""Rows of classical.py: level sets, timed to the same contour.

All begin with the same ball and end where they first agree, by a Dice of `SAME`, with where
SimpleITK's comes to rest; how many steps that takes is found before the clock runs.
"""

from collections.abc import Callable, Iterator
from itertools import islice

import numpy as np
import SimpleITK as sitk  # noqa: N813
import torch
from _comparing import OURS, Row, Volume
from _contour_rows import ball_in, cropped
from numpy.typing import NDArray

from medseg.classical.deforming import Look, last_of
from medseg.classical.edges import edge_map
from medseg.classical.geodesic_contour import GeodesicContour
from medseg.classical.threshold_level_set import ThresholdLevelSet

SAME = 0.98
STRIDE = 25
AT_REST = 1500
CURVATURE, ADVECTION, CONTRAST = 0.5, 2.0, 0.3

Region = NDArray[np.bool_]


def threshold_level_set(volume: Volume) -> Row:
    """From a ball in the middle through the interval of the values in it, 128³ voxels."""
    values = cropped(volume.values, 128)
    start = ball_in(values.shape)
    mean, reach = float(values[start].mean()), 3 * float(values[start].std())
    lower, upper = mean - reach, mean + reach
    model = ThresholdLevelSet(lower, upper, curvature=CURVATURE, tolerance=0, iterations=AT_REST)

    def solver() -> sitk.ImageFilter:
        found = sitk.ThresholdSegmentationLevelSetImageFilter()
        found.SetLowerThreshold(lower)
        found.SetUpperThreshold(upper)
        return found

    return _to_the_same(volume, model, start, values, (solver, values))


def geodesic_contour(volume: Volume) -> Row:
    """From a ball in the middle to the edges about it, on the same map, 128³ voxels."""
    values = cropped(volume.values, 128)
    edges = edge_map(volume.tensor(values[None]), 1.0, CONTRAST, (1.0, 1.0, 1.0)).cpu().numpy()
    model = GeodesicContour(
        contrast=CONTRAST,
        curvature=CURVATURE,
        advection=ADVECTION,
        tolerance=0,
        iterations=AT_REST,
    )

    def solver() -> sitk.ImageFilter:
        found = sitk.GeodesicActiveContourLevelSetImageFilter()
        found.SetAdvectionScaling(ADVECTION)
        return found

    return _to_the_same(volume, model, ball_in(values.shape), values, (solver, edges))


def _to_the_same(
    volume: Volume,
    model: GeodesicContour | ThresholdLevelSet,
    start: Region,
    values: NDArray[np.float32],
    peer: tuple[Callable[[], sitk.ImageFilter], NDArray[np.float32]],
) -> Row:
    image, seeds = volume.tensor(values[None]), volume.tensor(start.astype(np.int32))
    away = sitk.SignedMaurerDistanceMap(
        sitk.GetImageFromArray(start.astype(np.uint8)), squaredDistance=False
    )
    make, feature = peer

    def states() -> Iterator[Look]:
        return model.evolve(image, (1.0, 1.0, 1.0), seeds, None)

    def theirs(steps: int) -> Region:
        solver = make()
        solver.SetCurvatureScaling(CURVATURE)
        solver.SetPropagationScaling(1.0)
        solver.SetMaximumRMSError(0.0)
        solver.SetNumberOfIterations(steps)
        found = sitk.GetArrayFromImage(solver.Execute(away, sitk.GetImageFromArray(feature)))
        # Whether the inside is positive differs between its filters.
        return np.asarray((found > 0) == (found[start].mean() > 0))

    rest = theirs(AT_REST)
    ours = next(
        (at for at, look in enumerate(states()) if not at % STRIDE and _same(look(), rest)),
        AT_REST,
    )
    its = next((at for at in range(STRIDE, AT_REST, STRIDE) if _same(theirs(at), rest)), AT_REST)
    sides = {
        OURS: lambda: last_of(islice(states(), ours + 1)),
        f"SimpleITK, {its} steps": lambda: theirs(its),
    }
    return Row(sides, lambda mine, other: f"Dice {dice(_region(mine), other):.4f}, {ours} steps")


def _same(found: torch.Tensor | Region, rest: Region) -> bool:
    return dice(_region(found), rest) >= SAME


def _region(found: torch.Tensor | Region) -> Region:
    return found.cpu().numpy() > 0 if isinstance(found, torch.Tensor) else found


def dice(one: Region, other: Region) -> float:
    """Dice's coefficient of two regions."""
    return float(2 * (one & other).sum() / (one.sum() + other.sum()))
