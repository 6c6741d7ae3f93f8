"""Mixtures of Gaussians, and how they are fitted."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from medseg.classical.histogram import Histogram

if TYPE_CHECKING:
    from torch import Tensor

# Points that are looked at together on the CPU: what is made of them stays in the cache, and is
# too little for torch to share out among threads, which would wait for each other all the time.
_AT_ONCE = 2**13
# Points to which a mixture of several channels is fitted first, spread over all.
_MOST_AT_FIRST = 2**17
# Bins that stand for the intensities of a single channel.
_BINS = 2**13
# A fit has settled once a step raises the mean log likelihood of a point by less.
_SETTLED = 1e-6
# Added to the variances, as part of those of all points: no class shrinks to a point.
_LEAST = 1e-6


@dataclass(frozen=True, eq=False)
class Mixture:
    """Gaussian classes in C channels.

    Parameters
    ----------
    shares : (K,) float64 array
        Of each class; they add up to 1.
    means : (K, C) float64 array
    covariances : (K, C, C) float64 array
    """

    shares: NDArray[np.float64]
    means: NDArray[np.float64]
    covariances: NDArray[np.float64]

    @classmethod
    def about(cls, centres: NDArray[np.float32], points: Tensor) -> Mixture:
        """Mixture to begin with: centres (K, C) of (C, n) points, all as large and as wide."""
        many = len(centres)
        wide = np.diag(_variances(points) / many**2)
        return cls(np.full(many, 1 / many), centres.astype(np.float64), np.array([wide] * many))

    def evidence(self, points: Tensor) -> Tensor:
        """Log of share times density of each class, (K, n), at (C, n) points, in their dtype."""
        import torch

        parts = points.split(_at_once(points), dim=1)
        return torch.cat([self._evidence(self._away(part)) for part in parts], dim=1)

    def most_likely(self, points: Tensor) -> Tensor:
        """Class of the highest evidence at (C, n) points, (n,) int32."""
        import torch

        parts = points.split(_at_once(points), dim=1)
        return torch.cat([self.evidence(part).argmax(0).to(torch.int32) for part in parts])

    def updated(self, points: Tensor, beliefs: Tensor) -> Mixture:
        """Mixture of (C, n) points of which (K, n) shares belong to the classes."""
        size = _at_once(points)
        parts = zip(points.split(size, dim=1), beliefs.split(size, dim=1), strict=True)
        found = [_moments(self._away(part), shares) for part, shares in parts]
        return self._moved(_summed(found), _LEAST * _variances(points))

    def climbed(self, points: Tensor, iterations: int, number: Tensor | None = None) -> Mixture:
        """Mixture after steps of expectation and maximisation, until it settles.

        Parameters
        ----------
        points : (C, n) tensor
        iterations : int
            At most.
        number : (n,) tensor, optional
            How often each point counts.
        """
        mixture, before = self, -math.inf
        least = _LEAST * _variances(points, number)
        for _ in range(iterations):
            likelihood, moments = mixture._expected(points, number)
            mixture = mixture._moved(moments, least)
            if likelihood - before < _SETTLED:
                break
            before = likelihood
        return mixture

    def ordered(self) -> Mixture:
        """Mixture with its classes in the order of their means: first channel, then the next."""
        order = np.lexsort(self.means.T[::-1])
        return Mixture(self.shares[order], self.means[order], self.covariances[order])

    def _away(self, points: Tensor) -> Tensor:
        """How far points lie from the mean of each class: (K, C, n)."""
        import torch

        return points - torch.from_numpy(self.means).to(points)[:, :, None]

    def _evidence(self, away: Tensor) -> Tensor:
        import torch

        roots = np.linalg.cholesky(self.covariances)
        constants = np.log(np.maximum(self.shares, 1e-300))
        constants -= np.log(np.diagonal(roots, axis1=1, axis2=2)).sum(axis=1)
        constants -= self.means.shape[1] * math.log(2 * math.pi) / 2
        whiten = torch.from_numpy(np.linalg.inv(roots) / math.sqrt(2)).to(away)
        evidence = torch.from_numpy(constants).to(away)[:, None].repeat(1, away.shape[2])
        # By hand, as a product of such small matrices is slow.
        for row in range(whiten.shape[1]):
            away_from = away[:, 0] * whiten[:, row, 0, None]
            for channel in range(1, row + 1):
                away_from += away[:, channel] * whiten[:, row, channel, None]
            evidence -= away_from.square_()
        return evidence

    def _expected(self, points: Tensor, number: Tensor | None) -> tuple[float, Moments]:
        """Mean log likelihood, and the moments of the classes as this mixture divides points."""
        import torch

        size = _at_once(points)
        likelihood, found = 0.0, []
        for first in range(0, points.shape[1], size):
            away = self._away(points[:, first : first + size])
            evidence = self._evidence(away)
            total = torch.logsumexp(evidence, dim=0)
            beliefs = (evidence - total).exp_()
            if number is not None:
                beliefs *= number[first : first + size]
                total *= number[first : first + size]
            likelihood += float(total.sum(dtype=torch.float64))
            found.append(_moments(away, beliefs))
        moments = _summed(found)
        return likelihood / float(moments[0].sum()), moments

    def _moved(self, moments: Moments, least: NDArray[np.float64]) -> Mixture:
        """Mixture that has these moments about the means of this one; what is empty stays."""
        counts, sums, squares = moments
        empty = counts < np.finfo(np.float32).tiny
        many = np.where(empty, 1, counts)
        step = sums / many[:, None]
        spread = squares / many[:, None, None] - step[:, :, None] * step[:, None, :]
        spread += np.diag(least)
        return Mixture(
            counts / counts.sum(),
            self.means + step,
            np.where(empty[:, None, None], self.covariances, spread),
        )


# Of classes: how many points, the sum of their steps from a mean, and the sum of products of these.
Moments = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]


def fitted(points: Tensor, centres: NDArray[np.float32], iterations: int) -> Mixture:
    """Mixture under which points are most likely, as far as it goes from `centres`; in order.

    Points of one channel are counted in narrow bins, which are fitted in their place; of
    several channels, every so-many-th is fitted before all are.

    Parameters
    ----------
    points : (C, n) float32 tensor
    centres : (K, C) float32 array
    iterations : int
        At most.
    """
    import torch

    start = Mixture.about(centres, points)
    if len(points) == 1:
        histogram = Histogram.of(points[0], _BINS, "gaussian-mixture")
        (occupied,) = np.nonzero(histogram.counts)
        places = torch.from_numpy(histogram.low + (occupied + 0.5) * histogram.width)
        number = torch.from_numpy(histogram.counts[occupied].astype(np.float64))
        return start.climbed(places[None], iterations, number).ordered()
    step = -(-points.shape[1] // _MOST_AT_FIRST)
    if step > 1:
        start = start.climbed(points[:, ::step].contiguous(), iterations)
    return start.climbed(points, iterations).ordered()


def _at_once(points: Tensor) -> int:
    return points.shape[1] if points.is_cuda else _AT_ONCE


def _moments(away: Tensor, beliefs: Tensor) -> Moments:
    """Moments of (K, C, n) steps, of which (K, n) belong to the classes."""
    import torch

    weighted = away * beliefs[:, None]
    # Channel by channel, as a product of such flat matrices is slow.
    products = torch.stack([(weighted * channel[:, None]).sum(2) for channel in away.unbind(1)], 1)
    parts = beliefs.sum(dim=1), weighted.sum(dim=2), products
    counts, sums, squares = (part.double().cpu().numpy() for part in parts)
    return counts, sums, squares


def _summed(found: list[Moments]) -> Moments:
    counts, sums, squares = (np.sum(parts, axis=0) for parts in zip(*found, strict=True))
    return counts, sums, squares


def _variances(points: Tensor, number: Tensor | None = None) -> NDArray[np.float64]:
    """Variance of each channel of (C, n) points, never quite 0."""
    values = points.double()
    if number is None:
        found = values.var(dim=1, correction=0)
    else:
        mean = (values * number).sum(dim=1) / number.sum()
        found = ((values - mean[:, None]).square() * number).sum(dim=1) / number.sum()
    variances: NDArray[np.float64] = np.maximum(found.cpu().numpy(), np.finfo(np.float32).tiny)
    return variances
