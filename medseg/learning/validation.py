"""Segment whole volumes while training, and measure the real Dice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from statistics import fmean

import numpy as np
import torch
from numpy.typing import NDArray

from medseg.dataset import Case
from medseg.device import available_threads, free_memory
from medseg.learning.framing import frame
from medseg.learning.model import Model
from medseg.learning.plan import Plan
from medseg.learning.preparing import Prepared, class_indices, prepare
from medseg.segmenter import canonical

# What the network sees, the true classes and the mask, the last two on the native grid.
_Made = tuple[Prepared, NDArray[np.unsignedinteger], NDArray[np.bool_] | None]


class Validation:
    """Held-out cases, prepared once where they fit in memory.

    Parameters
    ----------
    cases : sequence of Case
    plan : Plan
    """

    def __init__(self, cases: Sequence[Case], plan: Plan) -> None:
        self._cases, self._plan = cases, plan
        self._kept: list[_Made] = []
        if not cases:
            return
        first = self._read(cases[0])
        needed = len(cases) * (first[0].image.nbytes + first[1].nbytes)
        if needed < free_memory(torch.device("cpu")) // 4:
            with ThreadPoolExecutor(available_threads()) as pool:
                self._kept = [first, *pool.map(self._read, cases[1:])]

    def dice(self, model: Model) -> dict[str, float]:
        """Mean Dice of each label, or of each region, by name, and their "mean".

        Over the cases that have it, or to which the model gives it. What never occurs is left
        out, and so are voxels that are not annotated; without held-out cases there is nothing.
        """
        found: dict[str, list[float]] = {}
        for prepared, truth, inside in self._made():
            of_case = self._of_regions if self._plan.regions else self._of_labels
            for name, value in of_case(model, prepared, truth, inside).items():
                found.setdefault(name, []).append(value)
        means = {label: fmean(values) for label, values in found.items()}
        return means | {"mean": fmean(means.values())} if means else {}

    def _made(self) -> Iterator[_Made]:
        if self._kept:
            yield from self._kept
        else:
            yield from map(self._read, self._cases)

    def _read(self, case: Case) -> _Made:
        framed = frame(case.image(), case.mask(), self._plan.conventions)
        prepared = prepare(framed.image, self._plan, framed.mask)
        inside = None if framed.mask is None else canonical(framed.mask) != 0
        return prepared, class_indices(framed.part(case.labels()), self._plan), inside

    def _of_labels(
        self,
        model: Model,
        prepared: Prepared,
        truth: NDArray[np.integer],
        inside: NDArray[np.bool_] | None,
    ) -> dict[str, float]:
        predicted = model.classes(prepared)
        if inside is not None:
            predicted = np.where(inside, predicted, 0)
        if self._plan.ignore is not None:
            known = truth != self._plan.ignored
            predicted, truth = predicted[known], truth[known]
        classes = len(self._plan.labels)
        sizes = [np.bincount(x.ravel(), minlength=classes) for x in (predicted, truth)]
        both = np.bincount(truth[predicted == truth].ravel(), minlength=classes)
        return {
            self._plan.names.get(label, str(label)): 2
            * float(both[c] / (sizes[0][c] + sizes[1][c]))
            for c, label in enumerate(self._plan.labels)
            if c and sizes[0][c] + sizes[1][c]
        }

    def _of_regions(
        self,
        model: Model,
        prepared: Prepared,
        truth: NDArray[np.integer],
        inside: NDArray[np.bool_] | None,
    ) -> dict[str, float]:
        masks, known, found = model.inside(prepared), truth != self._plan.ignored, {}
        for predicted, name, classes in zip(
            masks, self._plan.regions, self._plan.members, strict=True
        ):
            drawn = np.isin(truth, classes)
            said = predicted & known if inside is None else predicted & known & inside
            if total := int(said.sum()) + int(drawn.sum()):
                found[name] = 2 * float((said & drawn).sum()) / total
        return found
