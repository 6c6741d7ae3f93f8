"""Two label maps in, scores out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from medseg.evaluation.scores import Score, Scores
from medseg.metrics import find_metric, pairs
from medseg.volume import Labels

DEFAULT_METRICS = ("dice", "jaccard", "hd", "hd95", "assd", "nsd")


def evaluate(
    predicted: Labels,
    reference: Labels,
    case: str = "",
    metrics: Iterable[str] = DEFAULT_METRICS,
    regions: Mapping[str, Iterable[int]] | None = None,
    *,
    tolerance_mm: float = 1.0,
) -> Scores:
    """Score every label that either has or that `reference` has a name for, and every region.

    Parameters
    ----------
    predicted, reference : Labels
        On the same grid.
    case : str
        What the rows are called.
    metrics : iterable of str
        Names in `medseg.METRICS`; `nsd_2mm` is `nsd` at 2 mm.
    regions : mapping of str to iterable of int, optional
        Name -> labels that make up the region.
    tolerance_mm : float
        Of `nsd`.

    Raises
    ------
    ValueError
        If the two lie on different grids, or there is no such metric.
    """
    chosen = {
        metric.name: metric for metric in (find_metric(name, tolerance_mm) for name in metrics)
    }
    for region in regions or {}:
        if not region or region.isdigit():
            raise ValueError(f"a region has a name, not a number, got {region!r}")
    found = pairs(predicted, reference, regions=regions)
    names = {**predicted.names, **reference.names}
    return Scores(
        tuple(
            Score(case, label, name, metric.name, metric.compute(pair), pair.status)
            for label, pair in found.items()
            for name in [label if isinstance(label, str) else names.get(label, "")]
            for metric in chosen.values()
        )
    )
