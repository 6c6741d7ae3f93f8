"""How good a segmentation of one case is, as one number."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite, nan
from typing import TYPE_CHECKING, Any

import numpy as np

from medseg.components import components
from medseg.evaluation import Rules, evaluate
from medseg.metrics import PARTITION, Metric, find_metric
from medseg.volume import Labels

if TYPE_CHECKING:
    from numpy.typing import NDArray

_WORST = Rules(empty="worst")


@dataclass(frozen=True)
class Judge:
    """A metric, and the labels that it is the mean of.

    Of a metric of partitions, what is compared are objects: the connected components of each
    label, over faces, on both sides.

    Parameters
    ----------
    metric : str
        In `METRICS` or `PARTITION`.
    labels : tuple of int

    Raises
    ------
    ValueError
        If there is no such metric, or more of it is neither better nor worse.
    """

    metric: str
    labels: tuple[int, ...]

    def __post_init__(self) -> None:
        if self.of.higher_is_better is None:
            raise ValueError(
                f"{self.metric} is neither good nor bad, so nothing can be tuned to it"
            )

    @property
    def of(self) -> Metric[Any]:
        """The metric itself."""
        return PARTITION[self.metric] if self.by_objects else find_metric(self.metric)

    @property
    def by_objects(self) -> bool:
        """Whether it is one of partitions."""
        return self.metric in PARTITION

    def gain(self, score: float) -> float:
        """Score, turned so that more is better."""
        return score if self.of.higher_is_better else -score

    def score(self, predicted: Labels, reference: Labels) -> float:
        """Mean over the labels; of a structure that only one side has, the worst there is.

        nan if no label is on either side.
        """
        if self.by_objects:
            from medseg.metrics.partition import Partition

            partition = Partition.of(_objects(predicted), _objects(reference))
            return float(self.of.compute(partition))
        rows = evaluate(predicted, reference, metrics=[self.metric], rules=_WORST)
        values = [row.value for row in rows if row.label in self.labels and isfinite(row.value)]
        return sum(values) / len(values) if values else nan

    def worst(self, reference: Labels) -> float:
        """Score of a case that could not be segmented."""
        if self.of.higher_is_better:
            return 0.0
        grid = reference.grid
        diagonal = float(np.linalg.norm(np.multiply(grid.shape, grid.spacing)))
        return diagonal if self.of.unit == "mm" else 1.0


def _objects(labels: Labels) -> NDArray[Any]:
    return components(labels.array)[0]
