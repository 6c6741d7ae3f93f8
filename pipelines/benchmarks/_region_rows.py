"""Rows of classical.py: components, distances, growing, flooding, supervoxels."""

from collections.abc import Callable
from typing import Any

import cc3d
import numpy as np
import SimpleITK as sitk  # noqa: N813
import torch
from _comparing import OURS, Row, Volume, one_seed, same_labels
from numpy.typing import NDArray
from scipy import ndimage
from skimage import measure, segmentation

import medseg
from medseg.classical import growing
from medseg.classical.confidence_connected import ConfidenceConnected
from medseg.classical.fast_marching import speed_of
from medseg.classical.flooding import flooded
from medseg.classical.marching import arrival_times
from medseg.components import components, largest
from medseg.distance import distance_to
from medseg.relief import gradient_magnitude


def connected(volume: Volume, *, connectivity: int) -> Row:
    """Components of the bright voxels."""
    mask = volume.tensor(volume.bright)
    image = volume.to_sitk(volume.bright.astype(np.uint8))
    structure = ndimage.generate_binary_structure(3, connectivity)
    sides: dict[str, Callable[[], Any]] = {
        OURS: lambda: components(mask, connectivity)[1],
        "cc3d": lambda: cc3d.connected_components(
            volume.bright, connectivity=(6, 18, 26)[connectivity - 1], return_N=True
        )[1],
        "scipy": lambda: ndimage.label(volume.bright, structure)[1],
        "scikit-image": lambda: measure.label(
            volume.bright, return_num=True, connectivity=connectivity
        )[1],
    }
    if connectivity != 2:  # SimpleITK joins over faces or over all
        sides["SimpleITK"] = lambda: int(
            sitk.GetArrayFromImage(sitk.ConnectedComponent(image, connectivity == 3)).max()
        )
    return Row(sides, lambda ours, theirs: f"{ours} and {theirs} components")


def euclidean(volume: Volume) -> Row:
    """Distance to the outside of the largest bright component."""
    inside = largest(torch.from_numpy(volume.bright)).numpy()
    targets, image = volume.tensor(~inside), volume.to_sitk(inside.astype(np.uint8))

    def maurer() -> NDArray[np.float32]:
        distances = sitk.SignedMaurerDistanceMap(
            image, insideIsPositive=True, squaredDistance=False, useImageSpacing=True
        )
        return sitk.GetArrayFromImage(distances)

    def apart(ours: torch.Tensor, theirs: NDArray) -> str:
        # SimpleITK measures to the border inside of the structure, which is another distance.
        if theirs.min() < 0:
            return "another definition"
        return f"{float(np.abs(ours.cpu().numpy() - theirs).max()):.1e} mm apart"

    sides = {
        OURS: lambda: distance_to(targets, volume.spacing),
        "scipy": lambda: ndimage.distance_transform_edt(inside, volume.spacing),
        "SimpleITK": maurer,
    }
    return Row(sides, apart)


def connected_interval(volume: Volume) -> Row:
    """Voxels above Otsu's threshold that hang together with one of them."""
    values, image = volume.tensor(volume.values)[None], volume.to_sitk(volume.values)
    lower = float(volume.values[volume.bright].min())
    seeds, place = one_seed(volume)
    rule = growing.Rule.within(lower, float("inf"))
    sides: dict[str, Callable[[], Any]] = {
        OURS: lambda: growing.spread(values, seeds, rule)[0].cpu().numpy(),
        "SimpleITK": lambda: sitk.GetArrayFromImage(
            sitk.ConnectedThreshold(image, [place], lower, 3e38)
        ),
    }
    return Row(sides, same_labels)


def confident(volume: Volume) -> Row:
    """Region of one seed that learns its interval four times."""
    values, image = volume.tensor(volume.values)[None], volume.to_sitk(volume.values)
    seeds, place = one_seed(volume)
    method = ConfidenceConnected(radius=1.0)
    spacing = (1.0,) * 3  # SimpleITK's radius is one voxel
    sides: dict[str, Callable[[], Any]] = {
        OURS: lambda: method.run(values, spacing, seeds, None).cpu().numpy(),
        "SimpleITK": lambda: sitk.GetArrayFromImage(
            sitk.ConfidenceConnected(image, [place], 4, 2.5, 1, 1)
        ),
    }
    return Row(sides, same_labels)


def marching(volume: Volume) -> Row:
    """Arrival of a front at each voxel of the volume, from one of them, slow at edges."""
    values = volume.tensor(volume.values)[None]
    speed = speed_of(values, 1.0, 1.0, volume.spacing, None)
    image = volume.to_sitk(speed.cpu().numpy())
    seeds, place = one_seed(volume)
    fronts = sitk.FastMarchingImageFilter()
    fronts.SetTrialPoints([place])
    sides: dict[str, Callable[[], Any]] = {
        OURS: lambda: arrival_times(speed, seeds != 0, volume.spacing).cpu().numpy(),
        "SimpleITK": lambda: sitk.GetArrayFromImage(fronts.Execute(image)),
    }
    return Row(sides, lambda ours, theirs: f"{np.abs(theirs - ours).max() / ours.max():.1e} apart")


def flooding(volume: Volume, *, markers: int) -> Row:
    """Watershed on the gradient: from inside and outside, or from so many random voxels."""
    relief = gradient_magnitude(volume.tensor(volume.values)[None], 1.0, volume.spacing)
    heights = relief.cpu().numpy()
    marks = np.zeros(heights.shape, np.int32)
    if markers > 2:
        places = np.random.default_rng(0).choice(marks.size, min(markers, marks.size), False)
        marks.flat[places] = np.arange(1, len(places) + 1)
    else:
        inside = largest(torch.from_numpy(volume.bright)).numpy()
        marks[ndimage.binary_erosion(inside, iterations=3)] = 1
        marks[~ndimage.binary_dilation(inside, iterations=3)] = 2
    known = volume.tensor(marks)
    images = volume.to_sitk(heights), volume.to_sitk(marks.astype(np.uint16))
    sides: dict[str, Callable[[], Any]] = {
        OURS: lambda: flooded(relief, known).cpu().numpy(),
        "SimpleITK": lambda: sitk.GetArrayFromImage(
            sitk.MorphologicalWatershedFromMarkers(*images, markWatershedLine=False)
        ),
        "scikit-image": lambda: segmentation.watershed(heights, marks),
    }
    return Row(sides, same_labels)


def supervoxels(volume: Volume) -> Row:
    """About two thousand supervoxels, ten steps."""
    values, image = volume.tensor(volume.values)[None], volume.to_sitk(volume.values)
    width = (volume.values.size / 2000) ** (1 / 3)
    rule, ones = medseg.method("slic", size=width), (1.0,) * 3
    grid = [max(1, round(width))] * 3

    def number(ours: NDArray, theirs: NDArray) -> str:
        return f"{len(np.unique(ours))} and {len(np.unique(theirs))} supervoxels"

    sides: dict[str, Callable[[], Any]] = {
        OURS: lambda: rule.run(values, ones, None, None).cpu().numpy(),
        "SimpleITK": lambda: sitk.GetArrayFromImage(
            sitk.SLIC(image, superGridSize=grid, maximumNumberOfIterations=10)
        ),
        "scikit-image": lambda: segmentation.slic(
            volume.values, 2000, compactness=0.1, max_num_iter=10, channel_axis=None
        ),
    }
    return Row(sides, number)
