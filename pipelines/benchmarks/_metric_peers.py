"""How other libraries score some labels of a case, for `metrics.py`.

Each computes all of `DEFAULT_METRICS` that it has, by its own definitions, and returns those
numbers whose definition is that of medseg.
"""

from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import cache
from io import StringIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medseg import Labels

TOLERANCE_MM = 1.0
Case = tuple[Labels, Labels]
Values = dict[tuple[int | str, str], float]


@dataclass(frozen=True)
class Peer:
    """A library, the module that shows that it is there, and how it scores."""

    name: str
    module: str
    score: Callable[[Case, Sequence[int]], Values]
    all_at_once: bool = False


def masks(case: Case, label: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Voxels predicted and annotated."""
    return case[0].array == label, case[1].array == label


def medpy(case: Case, labels: Sequence[int]) -> Values:
    """MedPy, which has no `nsd`."""
    from medpy.metric import binary

    spacing, found = case[1].grid.spacing, {}
    for label in labels:
        pair = masks(case, label)
        found[label, "dice"] = binary.dc(*pair)
        found[label, "jaccard"] = binary.jc(*pair)
        found[label, "hd"] = binary.hd(*pair, spacing)
        found[label, "hd95"] = binary.hd95(*pair, spacing)
        found[label, "assd"] = binary.assd(*pair, spacing)
    return found


def monai(case: Case, labels: Sequence[int]) -> Values:
    """MONAI, whose 95th percentile is the larger one of the two directions."""
    import torch
    from monai import metrics

    found = {}
    for label in labels:
        pair = [torch.from_numpy(np.ascontiguousarray(m))[None, None] for m in masks(case, label)]
        how: dict[str, Any] = {"include_background": True, "spacing": case[1].grid.spacing}
        metrics.compute_hausdorff_distance(*pair, percentile=95, **how)
        computed = {
            "dice": metrics.compute_dice(*pair),
            "jaccard": metrics.compute_iou(*pair),
            "hd": metrics.compute_hausdorff_distance(*pair, **how),
            "assd": metrics.compute_average_surface_distance(*pair, symmetric=True, **how),
            "nsd": metrics.compute_surface_dice(*pair, class_thresholds=[TOLERANCE_MM], **how),
        }
        found |= {(label, name): float(value) for name, value in computed.items()}
    return found


def surface_distance(case: Case, labels: Sequence[int]) -> Values:
    """The authors of `nsd_surfel`, who weigh distances by areas."""
    import surface_distance as theirs

    found = {}
    for label in labels:
        predicted, reference = masks(case, label)
        found[label, "dice"] = theirs.compute_dice_coefficient(reference, predicted)
        measured = theirs.compute_surface_distances(reference, predicted, case[1].grid.spacing)
        theirs.compute_robust_hausdorff(measured, 100)
        theirs.compute_robust_hausdorff(measured, 95)
        theirs.compute_average_surface_distance(measured)
        theirs.compute_surface_dice_at_tolerance(measured, TOLERANCE_MM)
    return found


def simpleitk(case: Case, labels: Sequence[int]) -> Values:
    """The recipe of SimpleITK's notebooks: contours and maps of signed distances."""
    import SimpleITK as sitk  # noqa: N813 - everyone calls it so

    predicted, reference = (labels.to_sitk() for labels in case)
    overlap = sitk.LabelOverlapMeasuresImageFilter()
    overlap.Execute(reference, predicted)
    found = {}
    for label in labels:
        found[label, "dice"] = overlap.GetDiceCoefficient(label)
        found[label, "jaccard"] = overlap.GetJaccardCoefficient(label)
        structures = predicted == label, reference == label
        contours = [sitk.GetArrayFromImage(sitk.LabelContour(mask)) > 0 for mask in structures]
        maps = [
            np.abs(
                sitk.GetArrayFromImage(
                    sitk.SignedMaurerDistanceMap(mask, squaredDistance=False, useImageSpacing=True)
                )
            )
            for mask in structures
        ]
        apart = np.concatenate([maps[1][contours[0]], maps[0][contours[1]]])
        apart.max(), apart.mean(), np.percentile(apart, 95), (apart <= TOLERANCE_MM).mean()
    return found


def panoptica(case: Case, labels: Sequence[int]) -> Values:
    """Panoptica, which gives means over all labels, taken as matched instances."""
    with redirect_stdout(StringIO()):
        _panoptica().evaluate(*(np.asarray(labels.array, np.uint8) for labels in case))
    return {}


@cache
def _panoptica() -> Any:
    from panoptica import InputType, Panoptica_Evaluator
    from panoptica.metrics import Metric

    wanted = [Metric.DSC, Metric.IOU, Metric.HD, Metric.HD95, Metric.ASSD, Metric.NSD]
    return Panoptica_Evaluator(
        expected_input=InputType.MATCHED_INSTANCE, instance_metrics=wanted, global_metrics=[]
    )


PEERS = [
    Peer("MedPy", "medpy", medpy),
    Peer("MONAI", "monai", monai),
    Peer("surface-distance", "surface_distance", surface_distance),
    Peer("SimpleITK's recipe", "SimpleITK", simpleitk),
    Peer("panoptica (means only)", "panoptica", panoptica, all_at_once=True),
]
