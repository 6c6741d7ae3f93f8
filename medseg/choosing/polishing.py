"""Which clean-ups help, tried on predictions of cases that were held out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from math import isfinite, nan
from statistics import fmean

from medseg.cleanup.cleaning import cleaned
from medseg.cleanup.islands import DropSmall, FillHoles, KeepLargest
from medseg.dataset import Case
from medseg.device import computing_threads
from medseg.evaluation import Rules, Scores, evaluate
from medseg.io import read_labels
from medseg.learning.configurations import HeldOut
from medseg.volume import Labels

Island = KeepLargest | FillHoles | DropSmall
_VOLUMES = (10.0, 30.0, 100.0, 300.0, 1000.0)  # mm³; in 2D mm²


@dataclass(frozen=True)
class Tried:
    """A clean-up, the mean Dice without it and with it, and whether it was kept."""

    cleanup: Island
    before: float
    after: float
    kept: bool


@dataclass(frozen=True)
class Polished:
    """What clean-ups made of the predictions of a configuration.

    Parameters
    ----------
    before, after : Scores
        Dice of each case, without and with the clean-ups that were kept.
    cleanups : tuple of clean-ups
        Kept, in their order.
    tried : tuple of Tried
    """

    before: Scores
    after: Scores
    cleanups: tuple[Island, ...]
    tried: tuple[Tried, ...]


def mean_dice(scores: Scores) -> float:
    """Mean over labels or regions of their mean Dice over the cases; nan if none occurs."""
    means = [scores.mean("dice", label) for label in scores.labels]
    defined = [mean for mean in means if isfinite(mean)]
    return fmean(defined) if defined else nan


def helps(before: Scores, after: Scores) -> bool:
    """Whether the mean Dice rises and that of no label falls, as nnU-Net wants it."""
    falls = any(
        after.mean("dice", label) < before.mean("dice", label)
        for label in before.labels
        if isfinite(before.mean("dice", label))
    )
    return mean_dice(after) > mean_dice(before) and not falls


@dataclass(frozen=True)
class Judged:
    """By what predictions are judged.

    Parameters
    ----------
    names : mapping of int to str
        What each label stands for.
    regions : mapping of str to tuple of int
        Where there are some, they are what is judged, in place of the labels.
    ignore : int, optional
        Label of voxels that nobody has annotated.
    """

    names: Mapping[int, str]
    regions: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    ignore: int | None = None

    def dice(self, predicted: Labels, reference: Labels, case: Case) -> Scores:
        """Dice of a case; of what nobody looked for, there is none."""
        rules = Rules(ignore=self.ignore)
        found = evaluate(predicted, reference, case.name, ("dice",), self.regions, rules=rules)
        return Scores(tuple(row for row in found if self._counts(row.label, case)))

    def _counts(self, label: int | str, case: Case) -> bool:
        if isinstance(label, int) and self.regions:
            return False
        members = {label} if isinstance(label, int) else {*self.regions[label]}
        return not case.annotated or members <= {*case.annotated}


def polish(held_out: Mapping[str, HeldOut], judged: Judged, device: str) -> Polished:
    """Try clean-ups one after the other and keep those that help.

    First the largest component of all labels together, then of each label, then the holes of
    each, then dropping what is smaller than some volumes; each on top of what was kept.
    """
    measure = partial(_measured, list(held_out.values()), judged)
    (before,) = measure((), [()])
    kept: tuple[Island, ...] = ()
    current, tried = before, list[Tried]()
    found = [label for label in before.labels if isinstance(label, int)]
    labels = found if not judged.regions else list(judged.names)
    for stage in _stages(labels, device):
        results = measure(kept, [(candidate,) for candidate in stage])
        good = [
            (mean_dice(scores), candidate)
            for candidate, scores in zip(stage, results, strict=True)
            if helps(current, scores)
        ]
        chosen = _joined(_best_of_each(good))
        (after,) = measure(kept, [chosen])
        if not helps(current, after):
            chosen, after = (), current
        told = mean_dice(current)
        members = {label for each in chosen for label in _signs(each)}
        for candidate, scores in zip(stage, results, strict=True):
            was_kept = set(_signs(candidate)) <= members
            tried.append(Tried(candidate, told, mean_dice(scores), was_kept))
        kept, current = (*kept, *chosen), after
    return Polished(before, current, kept, tuple(tried))


def _stages(labels: Sequence[int], device: str) -> Iterable[list[Island]]:
    if len(labels) > 1:
        yield [KeepLargest("all", device=device)]
    yield [KeepLargest(only=(label,), device=device) for label in labels]
    yield [FillHoles(only=(label,), device=device) for label in labels]
    yield [
        DropSmall(volume, only=(label,), device=device) for label in labels for volume in _VOLUMES
    ]


def _best_of_each(good: Iterable[tuple[float, Island]]) -> list[Island]:
    """Best clean-up for each label, or for all together; of equal ones the first."""
    best: dict[tuple[int, ...], tuple[float, Island]] = {}
    for mean, candidate in good:
        if candidate.only not in best or mean > best[candidate.only][0]:
            best[candidate.only] = mean, candidate
    return [candidate for _, candidate in best.values()]


def _joined(cleanups: Iterable[Island]) -> tuple[Island, ...]:
    """One clean-up for all labels that want the same."""
    joined: dict[Island, tuple[int, ...]] = {}
    for cleanup in cleanups:
        alike = replace(cleanup, only=())
        joined[alike] = (*joined.get(alike, ()), *cleanup.only)
    return tuple(replace(cleanup, only=only) for cleanup, only in joined.items())


def _signs(cleanup: Island) -> list[tuple[Island, int]]:
    """The clean-up for each of its labels; 0 stands for all together."""
    return [(replace(cleanup, only=()), label) for label in cleanup.only or (0,)]


def _measured(
    held_out: Sequence[HeldOut],
    judged: Judged,
    kept: Sequence[Island],
    candidates: Sequence[Sequence[Island]],
) -> list[Scores]:
    """Dice of all cases with each of the candidates done after `kept`; each file is read once."""

    def scored(one: HeldOut) -> list[Scores]:
        mask, reference = one.case.mask(), one.case.labels(judged.names)
        begun = cleaned(read_labels(one.prediction, judged.names), kept, mask)
        made = (cleaned(begun, candidate, mask) for candidate in candidates)
        return [judged.dice(labels, reference, one.case) for labels in made]

    with ThreadPoolExecutor(computing_threads()) as pool:
        each = list(pool.map(scored, held_out))
    return [
        Scores(tuple(row for scores in of_cases for row in scores.rows))
        for of_cases in zip(*each, strict=True)
    ]
