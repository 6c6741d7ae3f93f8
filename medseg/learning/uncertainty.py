"""How unsure a segmenter is of each voxel, and how much its members disagree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr

from medseg.dataset.beside import UNCERTAINTY
from medseg.learning.merging import MERGES
from medseg.segmenter import Probabilistic
from medseg.volume import Image, Labels

ENTROPY, *OF_MEMBERS = UNCERTAINTY


@dataclass(frozen=True, eq=False)
class Uncertain:
    """What a segmenter says of an image, and how sure it is.

    Parameters
    ----------
    probabilities : Image
    maps : mapping of str to Image
        One channel each: "entropy" of the probabilities in nats, from 0 to log(classes); where
        there are members also their "mutual_information", in nats: how much of the entropy of
        their mean comes from their disagreement; and their "variance", summed over the classes.
    """

    probabilities: Image
    maps: Mapping[str, Image]


@runtime_checkable
class Doubting(Protocol):
    """Has members, and so can say more than the entropy."""

    def uncertain(
        self, image: Image, seeds: Labels | None = None, mask: Labels | None = None
    ) -> Uncertain:
        """Probabilities and all maps; the members speak once."""
        ...


def uncertainty_of(
    segmenter: Probabilistic,
    image: Image,
    seeds: Labels | None = None,
    mask: Labels | None = None,
) -> Uncertain:
    """Probabilities and maps of a segmenter; of an `Ensemble`, also those of its members.

    Outside the mask, nothing is unsure.

    Raises
    ------
    ValueError
        If it is a model of regions.

    References
    ----------
    A. Kendall, Y. Gal, "What uncertainties do we need in Bayesian deep learning for computer
    vision?", NeurIPS 2017
    N. Houlsby, F. Huszár, Z. Ghahramani, M. Lengyel, "Bayesian active learning for
    classification and preference learning", arXiv:1112.5745, 2011
    """
    require_labels(segmenter)
    if isinstance(segmenter, Doubting):
        return segmenter.uncertain(image, seeds, mask)
    found = segmenter.probabilities(image, seeds, mask)
    return Uncertain(found, {ENTROPY: Image(entropy(found.array)[None], found.grid, (ENTROPY,))})


def require_labels(segmenter: Probabilistic) -> None:
    """Raise ValueError if a segmenter knows regions, of which several may be at one voxel."""
    plan = getattr(segmenter, "plan", None)
    if plan is not None and plan.regions:
        raise ValueError(
            "uncertainty and calibration are of labels that exclude each other, and the model "
            "knows regions that overlap; its --probabilities say how sure it is of each"
        )


def entropy(probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
    """(...) entropy, in nats, of (classes, ...) probabilities."""
    total = np.zeros(probabilities.shape[1:], np.float32)
    for of_class in probabilities:  # one after the other, as they may be large
        total += entr(of_class)
    return np.maximum(total, 0)


class Spread:
    """What members say together, and how much they differ.

    It takes them as a `Merging` does, and keeps two numbers a voxel beside it.

    Parameters
    ----------
    merge : str
        Of `MERGES`.
    classes, voxels : int
    """

    def __init__(self, merge: str, classes: int, voxels: int) -> None:
        self._merging = MERGES[merge](classes, voxels)
        self._mean = None if merge == "mean" else MERGES["mean"](classes, voxels)
        self._entropies = np.zeros(voxels, np.float32)
        self._squares = np.zeros(voxels, np.float32)
        self._all, self._weight = 0.0, np.float32(0)

    def begin(self, weight: float) -> None:
        """Be told that a member comes, and how much it counts."""
        self._all += weight
        self._weight = np.float32(weight)
        for merging in filter(None, (self._merging, self._mean)):
            merging.begin(weight)

    def add(self, first: int, part: NDArray[np.float32]) -> None:
        """Take its probabilities (classes, n) of the voxels from `first` on."""
        place = slice(first, first + part.shape[1])
        self._entropies[place] += self._weight * entropy(part)
        for of_class in part:
            self._squares[place] += self._weight * of_class**2
        for merging in filter(None, (self._merging, self._mean)):
            merging.add(first, part)

    def told(self) -> tuple[NDArray[np.float32], dict[str, NDArray[np.float32]]]:
        """(classes, voxels) merged probabilities; (voxels,) mutual information and variance."""
        merged = self._merging.merged()
        mean = merged if self._mean is None else self._mean.merged()
        information = entropy(mean) - self._entropies / np.float32(self._all)
        variance = self._squares / np.float32(self._all)
        for of_class in mean:
            variance -= of_class**2
        # Both are 0 or more but for rounding.
        both = (np.maximum(values, 0) for values in (information, variance))
        return merged, dict(zip(OF_MEMBERS, both, strict=True))
