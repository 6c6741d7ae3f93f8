"""A study in small: drawn heads, two classical methods and a U-Net, scored side by side."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from medseg.classical import method
from medseg.dataset import Case, Dataset
from medseg.evaluation import Scores, evaluate
from medseg.io import read_labels, write
from medseg.learning.planning import make_plan
from medseg.learning.run import Run
from medseg.learning.settings import Training
from medseg.learning.training import train
from medseg.phantom import draw_cohort
from medseg.pictures import Tile, View, draw_comparison, draw_curve, draw_mosaic
from medseg.segmenter import Segmenter
from medseg.volume import Image, Labels

_CASES = 20
_LESION = 1
_FLAIR = 1
_PATCH = (32, 32, 16)
_METHODS = ("otsu", "region-growing", "unet")
_PICTURES = "pictures"
_SHOWN = 4  # cases in the mosaic


@dataclass(frozen=True, eq=False)
class BrightestClass:
    """Otsu's brightest class on one channel, as label 1."""

    otsu: Segmenter
    channel: int = _FLAIR

    def segment(
        self, image: Image, seeds: Labels | None = None, mask: Labels | None = None
    ) -> Labels:
        """Label the voxels above the highest threshold."""
        found = self.otsu.segment(image.channel(self.channel), seeds, mask)
        return Labels(found.array == found.array.max(), image.grid)


@dataclass(frozen=True, eq=False)
class GrownFromClick:
    """Region growing on one channel."""

    growing: Segmenter
    channel: int = _FLAIR

    def segment(
        self, image: Image, seeds: Labels | None = None, mask: Labels | None = None
    ) -> Labels:
        """Grow the seeds."""
        return self.growing.segment(image.channel(self.channel), seeds, mask)


def demo(
    folder: str | Path, minutes: float = 2, seed: int = 0, cases: int = _CASES
) -> Mapping[str, Scores]:
    """Draw a cohort, train on four fifths of it, and score three methods on the others.

    Region growing is given a click: three voxels across in the middle of the lesion, taken
    from the reference, as a user would set it. The others see the image alone.

    Parameters
    ----------
    folder : path
        Gets the drawn data, the run, the predictions of each method, and in `pictures` one
        of each case that was held out, four of them in `mosaic.png`, and the training.
    minutes : float
        For the training of the U-Net.
    seed : int
    cases : int
        How many heads are drawn, at least 5.

    Returns
    -------
    mapping of str to Scores
        By the name of the method, over the cases that were held out.
    """
    if cases < 5:
        raise ValueError(f"the demo holds every fifth case out, so it needs 5, got {cases}")
    root = Path(folder)
    if root.exists() and any(root.iterdir()):
        raise FileExistsError(f"{root} exists already; clear it, or choose another folder")
    draw_cohort(root / "data", cases, seed)
    training, held_out = Dataset.read(root / "data").split()
    # Small patches, many of them about the lesion: what two minutes can learn from.
    plan = make_plan(training, settings={"patch": _PATCH})
    # Without validation cases: the held-out ones must not choose the weights they judge.
    recipe = Training(minutes=minutes, seed=seed, sampler="foreground")
    model = train(training, plan, recipe, root / "run")
    otsu, growing = BrightestClass(method("otsu", classes=4)), method("region-growing")
    segmenters: tuple[Segmenter, ...] = (otsu, GrownFromClick(growing), model)
    scores = {
        name: _score(segmenter, held_out, root / name, clicked=segmenter is segmenters[1])
        for name, segmenter in zip(_METHODS, segmenters, strict=True)
    }
    _draw(root, held_out, scores)
    return scores


def picture_folder(folder: str | Path) -> Path:
    """Where the pictures of the demo in `folder` lie."""
    return Path(folder) / _PICTURES


def clear(folder: str | Path) -> None:
    """Remove what an earlier demo left in `folder`, and nothing else."""
    for name in ("data", "run", _PICTURES, *_METHODS):
        shutil.rmtree(Path(folder) / name, ignore_errors=True)


def _score(segmenter: Segmenter, held_out: Dataset, folder: Path, *, clicked: bool) -> Scores:
    total = Scores(())
    for case in held_out.cases:
        reference = case.labels(held_out.names)
        predicted = segmenter.segment(case.image(), _click(reference) if clicked else None)
        write(predicted, folder / f"{case.name}.nii.gz")
        total = total + evaluate(predicted, reference, case.name)
    return total


def _draw(root: Path, held_out: Dataset, scores: Mapping[str, Scores]) -> None:
    """Draw each case with its three segmentations, then all of them, then the training."""
    pictures, view = picture_folder(root), View(channel=_FLAIR)
    for case in held_out.cases:
        tiles = [_tile(root, held_out, case, name, scores[name]) for name in scores]
        draw_comparison(
            tiles[0].image,
            {tile.title: tile.labels for tile in tiles},
            pictures / f"{case.name}.png",
            case.labels(held_out.names),
            title=f"{case.name}, held out from training",
            view=view,
        )
    shown = held_out.cases[:_SHOWN]
    draw_mosaic(
        (_tile(root, held_out, case, name, scores[name]) for name in scores for case in shown),
        pictures / "mosaic.png",
        columns=len(shown),
        title="Held-out cases, one a column: two classical methods and a U-Net",
        view=view,
    )
    draw_curve(Run(root / "run").log, pictures / "training.png")


def _tile(root: Path, held_out: Dataset, case: Case, name: str, scores: Scores) -> Tile:
    """What a method made of a case, as it was written."""
    image, reference = case.image(), case.labels(held_out.names)
    labels = read_labels(root / name / f"{case.name}.nii.gz", held_out.names)
    (dice,) = (row.value for row in scores if (row.case, row.metric) == (case.name, "dice"))
    named = replace(image, names=tuple(held_out.channels))
    return Tile(named, labels, reference, f"{name}: Dice {dice:.2f}")


def _click(reference: Labels) -> Labels:
    """Seeds in a cube of three voxels about the voxel of the lesion nearest to its middle."""
    voxels = np.argwhere(reference.mask(_LESION))
    middle = voxels[np.argmin(np.linalg.norm(voxels - voxels.mean(axis=0), axis=1))]
    array = np.zeros(reference.grid.shape, np.uint8)
    array[tuple(slice(max(i - 1, 0), i + 2) for i in middle)] = _LESION
    return Labels(array, reference.grid, reference.names)
