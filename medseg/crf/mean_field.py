"""Mean-field inference in a fully connected conditional random field."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from medseg.crf.lattice import lattice_of

Filter = Callable[[Tensor], Tensor]

# A class of probability 0 could never come back; pydensecrf's limit.
_LEAST = 1e-5


@dataclass(frozen=True, eq=False)
class Kernel:
    """A Gaussian over all pairs of points, normalised symmetrically.

    Parameters
    ----------
    weight : float
    filter : function of (N, C) values
        Sums over all points, each times the Gaussian of its distance.
    norm : (N, 1) tensor
        One over the root of what the filter makes of ones.
    """

    weight: float
    filter: Filter
    norm: Tensor

    @classmethod
    def of(cls, weight: float, filter: Filter, points: Tensor) -> Kernel:  # noqa: A002
        """Kernel of a filter of as many points as `points` (N, d) has."""
        ones = torch.ones(len(points), 1, device=points.device)
        return cls(weight, filter, (filter(ones) + 1e-20).rsqrt())

    @classmethod
    def gaussian(cls, weight: float, features: Tensor) -> Kernel:
        """Kernel of points (N, d) whose coordinates are in standard deviations."""
        return cls.of(weight, lattice_of(features).filter, features)

    def message(self, beliefs: Tensor) -> Tensor:
        """What all points say to each: (N, C), of their beliefs."""
        return self.filter(self.norm * beliefs).mul_(self.norm).mul_(self.weight)


def mean_field(probabilities: Tensor, kernels: Sequence[Kernel], iterations: int) -> Tensor:
    """Probabilities (N, C) after so many rounds in which points that are close agree.

    Points agree or they don't (Potts); the message of a point to itself is not left out, and
    all points change at once.

    References
    ----------
    P. Kraehenbuehl, V. Koltun, "Efficient inference in fully connected CRFs with Gaussian edge
    potentials", NIPS 2011, arXiv:1210.5644
    """
    evidence = probabilities.clamp_min(_LEAST).log()
    beliefs = evidence.softmax(1)
    for _ in range(iterations):
        energy = evidence.clone()
        for kernel in kernels:
            energy += kernel.message(beliefs)
        beliefs = energy.softmax(1)
    return beliefs
