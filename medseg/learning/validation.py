"""Segment whole volumes while training, and measure the real Dice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from statistics import fmean
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from medseg.dataset import Case
from medseg.device import available_threads, free_memory
from medseg.learning.framing import frame
from medseg.learning.model import Model
from medseg.learning.partial import missing_of
from medseg.learning.plan import Plan
from medseg.learning.preparing import Prepared, class_indices, prepare
from medseg.segmenter import canonical


class _Made(NamedTuple):
    """A case as it is judged: all but `prepared` on the native grid.

    Parameters
    ----------
    prepared : Prepared
        What the network sees.
    truth : (...) integer array
        Classes.
    inside : (...) bool array, optional
        The mask.
    missing : tuple of int
        Classes that nobody looked for, and of which nothing is said.
    """

    prepared: Prepared
    truth: NDArray[np.unsignedinteger]
    inside: NDArray[np.bool_] | None
    missing: tuple[int, ...]


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
        needed = len(cases) * (first.prepared.image.nbytes + first.truth.nbytes)
        if needed < free_memory(torch.device("cpu")) // 4:
            with ThreadPoolExecutor(available_threads()) as pool:
                self._kept = [first, *pool.map(self._read, cases[1:])]

    def dice(self, model: Model) -> dict[str, float]:
        """Mean Dice of each label, or of each region, by name, and their "mean".

        Over the cases that have it, or to which the model gives it. What never occurs is left
        out, and so are voxels that are not annotated, and labels of cases
        in which nobody looked for them; without held-out cases there is nothing.
        """
        found: dict[str, list[float]] = {}
        of_case = self._of_regions if self._plan.regions else self._of_labels
        for made in self._made():
            for name, value in of_case(model, made).items():
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
        found = case.earlier() if self._plan.earlier else None
        earlier = None if found is None else framed.part(found)
        prepared = prepare(framed.image, self._plan, framed.mask, earlier)
        inside = None if framed.mask is None else canonical(framed.mask) != 0
        truth = class_indices(framed.part(case.labels()), self._plan)
        return _Made(prepared, truth, inside, missing_of(case, self._plan))

    def _of_labels(self, model: Model, made: _Made) -> dict[str, float]:
        prepared, truth, inside, missing = made
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
            if c and c not in missing and sizes[0][c] + sizes[1][c]
        }

    def _of_regions(self, model: Model, made: _Made) -> dict[str, float]:
        prepared, truth, inside, missing = made
        masks, known, found = model.inside(prepared), truth != self._plan.ignored, {}
        for predicted, name, classes in zip(
            masks, self._plan.regions, self._plan.members, strict=True
        ):
            if set(classes) & set(missing):
                continue
            drawn = np.isin(truth, classes)
            said = predicted & known if inside is None else predicted & known & inside
            if total := int(said.sum()) + int(drawn.sum()):
                found[name] = 2 * float((said & drawn).sum()) / total
        return found
