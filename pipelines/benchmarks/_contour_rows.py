"""Rows of classical.py: contours that move by whole voxels."""

from itertools import cycle

import numpy as np
import torch
from _comparing import OURS, Row, Volume
from numpy.typing import NDArray
from skimage import segmentation
from skimage.segmentation import morphsnakes

from medseg.classical.deforming import Start, last_of
from medseg.classical.edges import edge_map
from medseg.classical.morphological_chan_vese import MorphologicalChanVese
from medseg.classical.morphological_gac import MorphologicalGAC

STEPS = 20


def morphological_chan_vese(volume: Volume) -> Row:
    """Steps of a contour without edges from a ball, on the whole volume."""
    # scikit-image adds up in the type of its image: of whole numbers, in no wrong order.
    values = np.round(volume.values * (1000 / (np.abs(volume.values).max() or 1)))
    start = ball_in(values.shape)
    image, seeds = volume.tensor(values[None]), volume.tensor(start.astype(np.int32))
    model = MorphologicalChanVese(iterations=STEPS, tolerance=0)
    peer = values.astype(np.float64)

    def theirs() -> NDArray[np.int8]:
        reset_cycle()
        return segmentation.morphological_chan_vese(peer, STEPS, start)

    sides = {OURS: lambda: model.run(image, (1, 1, 1), seeds, None), "scikit-image": theirs}
    return Row(sides, differing)


def morphological_gac(volume: Volume) -> Row:
    """Steps of a geodesic contour that grows from a ball, on 128³ voxels with the same map."""
    values = cropped(volume.values, 128)
    start = ball_in(values.shape)
    speed = edge_map(volume.tensor(values[None]), 1.0, 1.0, (1, 1, 1))
    model = MorphologicalGAC(iterations=STEPS, tolerance=0)
    inside = volume.tensor(start)
    begin = Start({1: inside}, torch.ones_like(inside))
    peer = speed.cpu().numpy()

    def theirs() -> NDArray[np.int8]:
        reset_cycle()
        return segmentation.morphological_geodesic_active_contour(
            *(peer, STEPS, start, 1, model.threshold), balloon=1
        )

    sides = {OURS: lambda: last_of(model.on(speed, begin, (1, 1, 1))), "scikit-image": theirs}
    return Row(sides, differing)


def cropped(values: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """The middle of a volume, no axis longer than `size`."""
    box = tuple(slice((n - min(n, size)) // 2, (n + min(n, size)) // 2) for n in values.shape)
    return np.ascontiguousarray(values[box])


def ball_in(shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Ball in the middle, a quarter of the shortest axis wide."""
    middle = np.reshape(shape, (-1, 1, 1, 1)) // 2
    away = ((np.indices(shape) - middle) ** 2).sum(axis=0)
    return np.asarray(away <= (min(shape) / 8) ** 2)


def reset_cycle() -> None:
    """scikit-image smooths in two ways in turn, and whose turn it is outlasts a call."""
    first, second = morphsnakes.sup_inf, morphsnakes.inf_sup
    morphsnakes._curvop.funcs = cycle([lambda u: first(second(u)), lambda u: second(first(u))])


def differing(ours: torch.Tensor, theirs: NDArray) -> str:
    """How far two regions agree."""
    return f"{int((ours.cpu().numpy() != theirs).sum())} of {theirs.size} voxels differ"
