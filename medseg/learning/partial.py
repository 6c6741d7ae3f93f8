"""Cases of which only some labels were looked for: there, background may be any of the others.

Its voxels are of classes of their own, beyond those of the plan, one for each set of labels that
may be there; so they are turned and cropped with all others, and the loss knows them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medseg.dataset import Case
from medseg.learning.plan import Plan


@dataclass(frozen=True)
class Unsure:
    """Kinds of background in which other labels may hide.

    Parameters
    ----------
    missing : tuple of tuple of int
        Of each kind, the classes that may be there.
    first : int
        Class of the first kind; those of the others follow.
    """

    missing: tuple[tuple[int, ...], ...] = ()
    first: int = 0

    @classmethod
    def of(cls, cases: Iterable[Case], plan: Plan) -> Unsure:
        """Return the kinds of some cases.

        Raises
        ------
        ValueError
            If a case says of other labels than those of the plan that they were looked for.
        """
        found = {missing_of(case, plan) for case in cases} - {()}
        return cls(tuple(sorted(found)), plan.ignored + 1)

    def numbered(self) -> Iterator[tuple[int, tuple[int, ...]]]:
        """Class of each kind, and the classes that may be there."""
        return enumerate(self.missing, start=self.first)

    def marked(
        self, classes: NDArray[np.unsignedinteger], case: Case, plan: Plan
    ) -> NDArray[np.unsignedinteger]:
        """Classes of a case, its background being of its kind."""
        missing = missing_of(case, plan)
        if not missing:
            return classes
        number = self.first + self.missing.index(missing)
        dtype = np.promote_types(classes.dtype, np.min_scalar_type(number))
        return np.where(classes == 0, dtype.type(number), classes).astype(dtype)


def missing_of(case: Case, plan: Plan) -> tuple[int, ...]:
    """Classes of a plan that were not looked for in a case."""
    if not case.annotated:
        return ()
    if unknown := sorted(set(case.annotated) - set(plan.labels)):
        raise ValueError(
            f"case {case.name} says that {unknown} were looked for, the plan has {plan.labels}"
        )
    return tuple(k for k, label in enumerate(plan.labels) if k and label not in case.annotated)
