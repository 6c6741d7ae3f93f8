"""Body and bones out of a CT: thresholds in Hounsfield units and connected components.

python pipelines/ct_body_and_bones.py CT OUT --reference SEGMENTATION   # labels of TotalSegmentator
"""

from pathlib import Path

import numpy as np
import typer

import medseg
from medseg.pictures import draw_overlay

NAMES = {1: "body", 2: "bones"}
# Vertebrae and sacrum; arms, legs and hips; skull, ribs and sternum.
BONES = (*range(25, 51), *range(69, 79), *range(91, 117))
# What is dense belongs to a bone if it touches what only bones and metal are.
CHAIN = "hysteresis+close+fill-holes+drop-small"
DENSE = {"low": 130, "high": 250, "close.radius": 4.0, "drop-small.below": 500}


def body_of(image: medseg.Image) -> medseg.Labels:
    """Return what is no air, without the table, and with the air inside it."""
    solid = medseg.Chain.parse("threshold+open+keep-largest", {"low": -300, "open.radius": 4.0})
    found = solid.segment(image)
    filled = np.empty_like(found.array)
    last = image.grid.ndim - 1
    # Slice by slice: the lungs are open to the top where a scan ends within them.
    for index in range(image.grid.shape[last]):
        start, shape = [0] * (last + 1), list(image.grid.shape)
        start[last], shape[last] = index, 1
        piece = medseg.crop(found, tuple(start), tuple(shape))
        filled[..., index : index + 1] = medseg.CLEANUPS["fill-holes"]()(piece).array
    return found.on(filled, found.grid)


def main(ct: Path, out: Path, reference: Path | None = None) -> None:
    """Write body and bones of a CT into OUT, with a picture; score them if there is a reference."""
    image = medseg.reorient(medseg.read_image(ct))
    body = body_of(image)
    bones = medseg.Chain.parse(CHAIN, DENSE).segment(image, mask=body)
    both = medseg.Labels(body.array + (bones.array > 0), image.grid, NAMES)
    medseg.write(both, out / "body_and_bones.nii.gz")
    draw_overlay(image, both, out / "body_and_bones.png", title=ct.name)
    voxel = np.prod(image.grid.spacing) / 1000
    for label, name in NAMES.items():
        typer.echo(f"{name:6} {(both.array >= label).sum() * voxel:10.1f} ml")
    if reference is None:
        return
    known = medseg.reorient(medseg.read_labels(reference))
    inside = np.mean(body.array[known.array > 0] > 0)
    typer.echo(f"body   {100 * inside:.2f} % of the voxels with a label lie inside")
    truth = known.on(np.isin(known.array, BONES), known.grid)
    scores = medseg.evaluate(bones, truth, metrics=["dice", "precision", "recall", "nsd_3mm"])
    typer.echo("bones  " + "   ".join(f"{row.metric} {row.value:.4f}" for row in scores))


if __name__ == "__main__":
    typer.run(main)
