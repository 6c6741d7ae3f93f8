"""What a method says of cases, asked once and kept in files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medseg.crf import DenseCRF
from medseg.dataset import Case, Dataset
from medseg.progress import progress
from medseg.segmenter import Frame, Probabilistic, canonical, labels_of_channels, names_of
from medseg.volume import Grid, Labels, reorient, require_match


@dataclass(frozen=True, eq=False)
class Said:
    """What was said of the voxels of a case that lie inside its mask, and what is there.

    Parameters
    ----------
    probabilities : (N, classes) float32 array
    values : (C, N) float32 array
        Intensities.
    inside : (...) bool array
        In canonical orientation.
    reference : Labels
        The same.
    labels : tuple of int
        Of the classes.
    """

    probabilities: NDArray[np.float32]
    values: NDArray[np.float32]
    inside: NDArray[np.bool_]
    reference: Labels
    labels: tuple[int, ...]

    def without(self) -> Labels:
        """Labels as the method alone has them."""
        return self._labels(self.probabilities.argmax(1))

    def refined(self, crf: DenseCRF) -> Labels:
        """Labels as they are with a CRF behind the method."""
        import torch

        from medseg.crf.dense_crf import places_of

        frame = Frame.of(self.reference, crf.device)
        inside = frame.upload(Labels(self.inside.view(np.uint8), self.reference.grid), torch.bool)
        beliefs = crf.believe(
            torch.from_numpy(self.probabilities).to(frame.device),
            torch.from_numpy(self.values).to(frame.device),
            places_of(inside, frame.spacing),
        )
        return self._labels(crf.likeliest(beliefs.T.cpu().numpy()))

    def _labels(self, classes: NDArray[np.intp]) -> Labels:
        array = np.zeros(self.inside.shape, np.int32)
        array[self.inside] = np.array(self.labels)[classes]
        return Labels(array, self.reference.grid)


class Kept:
    """What a method says of each case, by name.

    Parameters
    ----------
    method : Probabilistic
    folder : Path
        For the files.

    Attributes
    ----------
    labels : tuple of int
        Of the classes, background first, as soon as there is a case.
    """

    def __init__(self, method: Probabilistic, folder: Path) -> None:
        self.labels: tuple[int, ...] = ()
        self._method, self._folder = method, folder
        self._grids: dict[str, Grid] = {}

    def add(self, cases: Dataset) -> None:
        """Ask the method about all cases.

        Raises
        ------
        ValueError
            If one has no annotation, or can't be read or segmented.
        """
        with progress("probabilities") as shown:
            for number, case in enumerate(cases.cases):
                shown.update(number / len(cases), case.name)
                try:
                    self._ask(case)
                except ValueError as error:
                    raise ValueError(f"case {case.name} can't be tuned to: {error}") from error

    def of(self, case: Case) -> Said:
        """What was said of a case."""
        grid = self._grids[case.name]
        with np.load(self._file(case)) as file:
            reference = Labels(file["reference"], grid)
            return Said(
                file["probabilities"], file["values"], file["inside"], reference, self.labels
            )

    def _ask(self, case: Case) -> None:
        plan = getattr(self._method, "plan", None)
        image = case.image(None if plan is None else len(plan.channels))
        reference, mask = case.labels(), case.mask()
        require_match(image.grid, reference.grid, "the annotation")
        found = self._method.probabilities(image, mask=mask)
        self.labels = self._one_order(labels_of_channels(found, names_of(self._method)))
        inside = np.ones(reorient(image).grid.shape, bool)
        if mask is not None:
            inside = canonical(mask) != 0
        self._grids[case.name] = reorient(reference).grid
        np.savez(
            self._file(case),
            probabilities=np.ascontiguousarray(canonical(found)[:, inside].T),
            values=canonical(image)[:, inside],
            inside=inside,
            reference=canonical(reference),
        )

    def _one_order(self, labels: Sequence[int]) -> tuple[int, ...]:
        if self.labels and self.labels != tuple(labels):
            raise ValueError(f"the method knows other labels here, {labels}, not {self.labels}")
        return tuple(labels)

    def _file(self, case: Case) -> Path:
        return self._folder / f"{case.name}.npz"
