"""What is to be known of a metric beside its number."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from medseg.metrics.pair import Pair


@dataclass(frozen=True)
class Metric:
    """A number for a pair, its unit and which way is better.

    Parameters
    ----------
    name : str
        As in `METRICS`, with the tolerance behind it where that is not the usual one.
    compute : function of a Pair
        nan where it is not defined.
    unit : str
        "1", "mm" or "ml".
    higher_is_better : bool or None
        None if the number alone is neither good nor bad.
    symmetric : bool
        Whether it stays the same when prediction and reference change places.
    at : function of a tolerance in mm, optional
        The same metric at another tolerance; None if it has none.
    """

    name: str
    compute: Callable[[Pair], float]
    unit: str
    higher_is_better: bool | None
    symmetric: bool
    at: Callable[[float], Metric] | None = None
