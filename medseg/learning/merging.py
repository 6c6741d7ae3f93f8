"""How the members of an ensemble become one: each is added once, and then forgotten."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

_LEAST = float(np.finfo(np.float32).eps)  # no member is so sure that it overrules all others
_MOST_ROUNDS = 1000


class Merging(Protocol):
    """Takes the members one after the other, and then says what they make together."""

    def begin(self, weight: float) -> None:
        """Be told that a member comes, and how much it counts."""
        ...

    def add(self, first: int, part: NDArray[np.float32]) -> None:
        """Take its probabilities (classes, n) of the voxels from `first` on; they stay as they are.

        The parts of a member come in order and are those of all voxels.
        """
        ...

    def merged(self) -> NDArray[np.float32]:
        """Probabilities (classes, voxels) of all members together; asked for once."""
        ...


class _Summed:
    """Weighted mean of something that is made of each member."""

    def __init__(
        self,
        classes: int,
        voxels: int,
        of_member: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    ) -> None:
        self._of_member = of_member
        self._total = np.zeros((classes, voxels), np.float32)
        self._all, self._weight = 0.0, np.float32(0)

    def begin(self, weight: float) -> None:
        self._all += weight
        self._weight = np.float32(weight)

    def add(self, first: int, part: NDArray[np.float32]) -> None:
        sums = self._total[:, first : first + part.shape[1]]
        for total, one in zip(sums, self._of_member(part), strict=True):
            total += one * self._weight  # class by class, to hold only one more

    def merged(self) -> NDArray[np.float32]:
        self._total /= np.float32(self._all)
        return self._total


class _Geometric(_Summed):
    """Weighted geometric mean, of sum 1."""

    def __init__(self, classes: int, voxels: int) -> None:
        super().__init__(classes, voxels, lambda some: np.log(np.maximum(some, np.float32(_LEAST))))

    def merged(self) -> NDArray[np.float32]:
        mean = super().merged()
        np.exp(mean, out=mean)
        mean /= mean.sum(0)
        return mean


class _Staple:
    """How probable each class is if members err as often as they seem to: STAPLE.

    The members' labels are all that counts. What they said of a voxel together is kept as one
    number, so memory does not grow with them.

    References
    ----------
    S. K. Warfield, K. H. Zou, W. M. Wells, "Simultaneous truth and performance level estimation
    (STAPLE): an algorithm for the validation of image segmentation", IEEE Trans. Med. Imaging
    23(7):903-921, 2004, doi:10.1109/TMI.2004.828354
    """

    def __init__(self, classes: int, voxels: int) -> None:
        self._classes = classes
        self._said = np.zeros((1, 0), np.intp)  # (codes, members) class that each member chose
        self._code = np.zeros(voxels, np.int64)  # of each voxel
        self._chosen: NDArray[np.intp] | None = None  # by the last member

    def begin(self, weight: float) -> None:
        if weight != 1:
            raise ValueError("staple finds out how far it trusts each member; give no weights")
        self._fold()
        self._chosen = np.zeros(len(self._code), np.intp)

    def add(self, first: int, part: NDArray[np.float32]) -> None:
        assert self._chosen is not None
        self._chosen[first : first + part.shape[1]] = part.argmax(0)

    def merged(self) -> NDArray[np.float32]:
        self._fold()
        counts = np.bincount(self._code, minlength=len(self._said)).astype(np.float64)
        return _staple(self._said, counts, self._classes).astype(np.float32)[:, self._code]

    def _fold(self) -> None:
        """Put what the last member said to what all before it said."""
        if self._chosen is None:
            return
        codes, self._code = np.unique(
            self._code * self._classes + self._chosen, return_inverse=True
        )
        before, chosen = np.divmod(codes, self._classes)
        self._said = np.column_stack([self._said[before], chosen])
        self._chosen = None


def _staple(said: NDArray[np.intp], counts: NDArray[np.float64], classes: int) -> NDArray:
    """Probability (classes, patterns) of each class, by expectation and maximisation.

    Parameters
    ----------
    said : (patterns, members) array
        Class that each member chose.
    counts : (patterns,) array
        How many voxels have that pattern.
    classes : int
    """
    chosen = np.eye(classes)[said]  # (patterns, members, classes)
    prior = np.einsum("p,pmc->c", counts, chosen) / (counts.sum() * said.shape[1])
    believed = chosen.mean(1)  # the members' votes
    for _ in range(_MOST_ROUNDS):
        joint = np.einsum("p,pmc,pt->mct", counts, chosen, believed)
        total = joint.sum(1, keepdims=True)
        rates = np.divide(joint, total, out=np.zeros_like(joint), where=total > 0)
        # Of each member: how often it says what it said here, where each class is the true one.
        found = prior * np.einsum("pmc,mct->pmt", chosen, rates).prod(1)
        found /= found.sum(1, keepdims=True)
        change, believed = np.abs(found - believed).max(), found
        if change < 1e-7:
            break
    shares: NDArray[np.float64] = believed.T
    return shares


def _votes(probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
    classes = np.arange(len(probabilities), dtype=np.intp)[:, None]
    chosen: NDArray[np.bool_] = probabilities.argmax(0) == classes
    return chosen.astype(np.float32)


MERGES: dict[str, Callable[[int, int], Merging]] = {
    "mean": lambda classes, voxels: _Summed(classes, voxels, lambda some: some),
    "geometric": _Geometric,
    "vote": lambda classes, voxels: _Summed(classes, voxels, _votes),
    "staple": _Staple,
}
"""What merges the members, made for so many classes and voxels."""
