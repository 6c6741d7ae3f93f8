"""Two label maps in, scores out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from medseg.evaluation.rules import Rules
from medseg.evaluation.scores import Score, Scores
from medseg.metrics import Metric, Pair, find_metric, pairs
from medseg.resampling import resample
from medseg.volume import BACKGROUND, Labels, require_match

DEFAULT_METRICS = ("dice", "jaccard", "hd", "hd95", "assd", "nsd")
_PLAIN = Rules()


def evaluate(
    predicted: Labels,
    reference: Labels,
    case: str = "",
    metrics: Iterable[str] = DEFAULT_METRICS,
    regions: Mapping[str, Iterable[int]] | None = None,
    *,
    rules: Rules = _PLAIN,
) -> Scores:
    """Score every label that either has or that `reference` has a name for, and every region.

    Each label is scored against all the others together.

    Parameters
    ----------
    predicted, reference : Labels
        On the same grid, unless the rules say otherwise.
    case : str
        What the rows are called.
    metrics : iterable of str
        Names in `medseg.METRICS`; `nsd_2mm` is `nsd` at 2 mm.
    regions : mapping of str to iterable of int, optional
        Name -> labels that make up the region.
    rules : Rules
        What counts, and how: a label to ignore, structures that one side lacks, other grids.

    Raises
    ------
    ValueError
        If the two lie on different grids, or there is no such metric.
    """
    chosen = [find_metric(name, rules.tolerance_mm) for name in metrics]
    return Scores(tuple(Compared.of(predicted, reference, regions or {}, rules).rows(case, chosen)))


@dataclass(frozen=True, eq=False)
class Compared:
    """Two label maps made ready by the rules, and what they have in common.

    Parameters
    ----------
    predicted, reference : Labels
        On one grid; 0 where the rules ignore what is there.
    pairs : mapping of int or str to Pair
        By label and by name of a region.
    rules : Rules
    """

    predicted: Labels
    reference: Labels
    pairs: Mapping[int | str, Pair]
    rules: Rules

    @classmethod
    def of(
        cls,
        predicted: Labels,
        reference: Labels,
        regions: Mapping[str, Iterable[int]],
        rules: Rules = _PLAIN,
    ) -> Compared:
        """Compare two label maps; see `evaluate`."""
        for region in regions:
            if not region or region.isdecimal():
                raise ValueError(f"a region has a name, not a number, got {region!r}")
        first, second, counts = fitted(predicted, reference, rules)
        found = pairs(first, second, regions=regions)
        if counts is not None:
            left_out = counts.size - int(np.count_nonzero(counts))
            found = {
                label: replace(pair, total=pair.total - left_out)
                for label, pair in found.items()
                if label != rules.ignore
            }
        return cls(first, second, found, rules)

    def rows(self, case: str, metrics: Iterable[Metric]) -> Iterator[Score]:
        """Scores of every label and region."""
        chosen = {metric.name: metric for metric in metrics}
        names = {**self.predicted.names, **self.reference.names}
        for label, pair in self.pairs.items():
            name = label if isinstance(label, str) else names.get(label, "")
            for metric in chosen.values():
                yield Score(case, label, name, metric.name, self._value(metric, pair), pair.status)

    def _value(self, metric: Metric, pair: Pair) -> float:
        value = metric.compute(pair)
        one_sided = pair.status in ("missed", "spurious")
        if isfinite(value) or not one_sided or self.rules.empty != "worst":
            return value
        if metric.higher_is_better is None:
            return value
        if metric.higher_is_better:
            return 0.0
        return self._diagonal if metric.unit == "mm" else 1.0

    @cached_property
    def _diagonal(self) -> float:
        """Of the image, from edge to edge, in mm; 373.13 for the 240 x 240 x 155 mm of BRATS."""
        grid = self.reference.grid
        return float(np.linalg.norm(np.multiply(grid.shape, grid.spacing)))


def fitted(
    predicted: Labels, reference: Labels, rules: Rules
) -> tuple[Labels, Labels, NDArray[np.bool_] | None]:
    """Both on one grid and 0 where the rules ignore them; and which voxels count, if not all.

    Raises
    ------
    ValueError
        If they lie on different grids and the rules refuse that.
    """
    if rules.resample == "nearest":
        predicted = resample(predicted, reference.grid)
    require_match(reference.grid, predicted.grid, "the prediction", "the reference")
    if rules.ignore is None:
        return predicted, reference, None
    counts = np.asarray(reference.array != rules.ignore)
    return _where(counts, predicted), _where(counts, reference, rules.ignore), counts


def _where(counts: NDArray[np.bool_], labels: Labels, ignored: int = BACKGROUND) -> Labels:
    """Labels where voxels count, and background elsewhere."""
    names = {label: name for label, name in labels.names.items() if label != ignored}
    return Labels(np.where(counts, labels.array, BACKGROUND), labels.grid, names)
