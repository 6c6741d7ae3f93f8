"""What counts in an evaluation, and how."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args, get_type_hints

Empty = Literal["undefined", "worst"]
Missing = Literal["refuse", "worst"]
Resample = Literal["refuse", "nearest"]


@dataclass(frozen=True)
class Rules:
    """What counts in an evaluation, and how.

    Parameters
    ----------
    tolerance_mm : float
        Of `nsd`, where its name does not say.
    ignore : int, optional
        Label of the reference whose voxels count for nothing, whatever is predicted there.
        Structures end at its edge. The label itself is not scored: predicted elsewhere, it is
        as wrong as background.
    empty : str
        Score of a structure that only one side has, where there is no finite one: "undefined"
        leaves it infinite or nan; "worst" takes the worst: 0 where more is better, else 1, or
        the diagonal of the image (shape times spacing) for what is measured in mm. A structure
        that neither side has stays undefined, and so do metrics that are neither good nor bad.
    missing : str
        Without a prediction of a case, "refuse" to score any; or take an empty one, scored as
        with `empty` "worst".
    resample : str
        A prediction on another grid than its reference: "refuse" it, or put it on the grid of
        the reference, each voxel with the label "nearest" to it.

    Raises
    ------
    ValueError
        If a field has another value than these.
    """

    tolerance_mm: float = 1.0
    ignore: int | None = None
    empty: Empty = "undefined"
    missing: Missing = "refuse"
    resample: Resample = "refuse"

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self))
        for name in ("empty", "missing", "resample"):
            if (value := getattr(self, name)) not in get_args(hints[name]):
                raise ValueError(f"{name} is {' or '.join(get_args(hints[name]))}, got {value!r}")
        if self.ignore == 0:
            raise ValueError("the label to ignore is not 0, which is background")
