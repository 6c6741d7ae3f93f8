"""What is to be known of a metric beside its number."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Metric(Generic[T]):
    """A number for a comparison, its unit and which way is better.

    Parameters
    ----------
    name : str
        As in its dict, with the parameter in it where that is not the usual one.
    compute : function of a Pair, of a Partition or of a Reliability
        nan where it is not defined.
    unit : str
        "1", "mm" or "ml".
    higher_is_better : bool or None
        None if the number alone is neither good nor bad.
    symmetric : bool
        Whether it stays the same when prediction and reference change places.
    at : function of a number, optional
        The same metric at another tolerance in mm, or of `PARTITION` at another IoU; None if it
        has neither.
    """

    name: str
    compute: Callable[[T], float]
    unit: str
    higher_is_better: bool | None
    symmetric: bool
    at: Callable[[float], Metric[T]] | None = None
