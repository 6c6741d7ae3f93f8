"""Several members made of one trained model: of its image moved, or with dropout left on.

`medseg.learning.VARIANTS` lists the ways. A way is a frozen dataclass that makes the members; an
`Ensemble` of them is what is called test-time augmentation, or Monte-Carlo dropout.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import isfinite
from typing import Protocol, runtime_checkable

from medseg.learning import VARIANTS
from medseg.learning.dropping import Dropping, require_dropout
from medseg.learning.moving import Flipped, Turned
from medseg.learning.plan import Plan
from medseg.registry import build
from medseg.segmenter import Probabilistic

_MOST_SAMPLES = 10_000


@runtime_checkable
class Variants(Protocol):
    """Makes several members of one."""

    def __call__(self, member: Probabilistic) -> tuple[Probabilistic, ...]:
        """Members that say what `member` says, each a little otherwise.

        Raises
        ------
        ValueError
            If there are no such variants of it.
        """
        ...


@dataclass(frozen=True)
class Augmented:
    """The image as it is, mirrored as the plan allows, and turned a little.

    It is mirrored along all choices of the axes that the plan allows, and turned by the angle
    both ways in each plane that the network sees: in 3D these are 2^n and 6 members.

    Parameters
    ----------
    degrees : float
        Angle; 0 for mirroring alone.
    """

    degrees: float = 5.0

    def __post_init__(self) -> None:
        if not 0 <= self.degrees <= 45:
            raise ValueError(f"images are turned by 0 to 45 degrees, got {self.degrees}")

    def __call__(self, member: Probabilistic) -> tuple[Probabilistic, ...]:
        """Members for each flip and each turn; the first is `member` itself."""
        plan: Plan | None = getattr(member, "plan", None)
        if plan is None:
            raise ValueError(
                "the plan of a trained model says how images may be mirrored, and "
                f"{type(member).__name__} has none"
            )
        flips = [
            axes for n in range(1, len(plan.mirror) + 1) for axes in combinations(plan.mirror, n)
        ]
        angles = (-self.degrees, self.degrees) if self.degrees else ()
        turns = [(plane, angle) for plane in combinations(plan.axes, 2) for angle in angles]
        return (
            member,
            *(Flipped(member, axes) for axes in flips),
            *(Turned(member, plane, angle) for plane, angle in turns),
        )


@dataclass(frozen=True)
class Dropout:
    """The network with its dropout left on, its numbers drawn anew for each member.

    Parameters
    ----------
    samples : int
        Members.
    seed : int
        Of the first; that of each other is one higher.

    References
    ----------
    Y. Gal, Z. Ghahramani, "Dropout as a Bayesian approximation: representing model uncertainty
    in deep learning", ICML 2016, PMLR 48:1050-1059
    """

    samples: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.samples <= _MOST_SAMPLES or self.seed < 0 or not isfinite(self.seed):
            raise ValueError(
                f"dropout has 1 to {_MOST_SAMPLES} samples and a seed from 0 on, got "
                f"{self.samples} and {self.seed}"
            )

    def __call__(self, member: Probabilistic) -> tuple[Probabilistic, ...]:
        """As many members as there are samples; ValueError if there is no dropout to leave on."""
        model = require_dropout(member)
        return tuple(Dropping(model, self.seed + k) for k in range(self.samples))


def variants_called(name: str, **parameters: object) -> Variants:
    """Build the variants called `name`.

    Raises
    ------
    ValueError
        If there are none of this name, or they have no such parameter, or refuse its value.
    """
    found: Variants = build(VARIANTS.pick(name), parameters, name)
    return found


def varied(member: Probabilistic, variants: Sequence[Variants]) -> tuple[Probabilistic, ...]:
    """All variants of a member; without any, the member itself."""
    found = dict.fromkeys(each for make in variants for each in make(member))
    return tuple(found) or (member,)
