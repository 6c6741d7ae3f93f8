"""The first of two networks: what it finds at a lower resolution, the second one sees too."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from medseg.learning.run import Run, runs_in
from medseg.volume import Image, Labels


class Trained(Protocol):
    """What a `Model` offers to the one after it."""

    def segment(
        self, image: Image, seeds: Labels | None = None, mask: Labels | None = None
    ) -> Labels:
        """Give each voxel its most probable label."""

    def probabilities(
        self, image: Image, seeds: Labels | None = None, mask: Labels | None = None
    ) -> Image:
        """Say how probable each label or region is."""

    def most_probable(self, probabilities: Image) -> Labels:
        """Labels of what `probabilities` gave."""


@dataclass(frozen=True)
class Given:
    """Labels that are known already, as a `Segmenter`."""

    labels: Labels

    def segment(
        self, image: Image, seeds: Labels | None = None, mask: Labels | None = None
    ) -> Labels:
        """Return them, whatever the image."""
        return self.labels


@dataclass(frozen=True)
class Together:
    """Models of one plan, as the folds of a configuration are, of whose labels the mean decides.

    A `Segmenter`. It takes regions as well as labels, and all models stay in memory.

    Parameters
    ----------
    models : tuple of Trained
    """

    models: tuple[Trained, ...]

    def segment(
        self, image: Image, seeds: Labels | None = None, mask: Labels | None = None
    ) -> Labels:
        """Give each voxel the label that is most probable to all models together."""
        first, *others = self.models
        if not others:
            return first.segment(image, seeds, mask)
        found = first.probabilities(image, seeds, mask)
        total = found.array.copy()
        for model in others:
            total += model.probabilities(image, seeds, mask).array
        total /= len(self.models)
        return first.most_probable(Image(total, found.grid, found.names))


def load_earlier(run: Run, load: Callable[[Path], Trained]) -> Together:
    """What finds the earlier labels for the network of a run.

    Raises
    ------
    FileNotFoundError
        If the runs before it are not in its folder.
    """
    folders = runs_in(run.earlier) if run.earlier.is_dir() else []
    if not folders:
        raise FileNotFoundError(
            f"{run.earlier} holds no run, and the network needs those before it; copy the folder "
            "of a run as a whole, or train it again with --after"
        )
    return Together(tuple(load(folder) for folder in folders))


def keep_earlier(run: Run, before: Sequence[Path]) -> None:
    """Copy the runs before a run into its folder, if they are not there yet."""
    if run.earlier.is_dir():
        return
    shutil.rmtree(run.unfinished, ignore_errors=True)
    for number, folder in enumerate(before):
        copy_run(Run(folder), run.unfinished / f"fold_{number}")
    run.unfinished.rename(run.earlier)


def copy_run(run: Run, place: Path) -> None:
    """Copy what is needed to predict with a run."""
    place.mkdir(parents=True)
    for file in (run.plan, run.training, run.weights, run.scaling):
        if file.is_file():
            shutil.copyfile(file, place / file.name)
    if run.earlier.is_dir():
        shutil.copytree(run.earlier, Run(place).earlier)
