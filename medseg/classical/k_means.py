"""Classes around means, of any number of channels."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from medseg.classical.demands import no_seeds
from medseg.device import computing_threads
from medseg.parameter import parameter, require_legal
from medseg.segmenter import segment_with
from medseg.volume import Image, Labels

if TYPE_CHECKING:
    from torch import Tensor

# Points that a thread does in one go; the same for any number of threads, as sums depend on it.
_BLOCK = 2**16
# Points from which the first means are drawn.
_MOST_DRAWN = 2**18
# Means have settled once they move by less than this part of the deviation of their channel.
_SETTLED = 1e-4


@dataclass(frozen=True)
class KMeans:
    """Part the voxels into classes so that they lie near the means of their classes.

    Labels run from 0, the class with the lowest mean in the first channel, to `classes` - 1.
    With a mask, only the intensities inside count. Classes come out about as wide as each
    other, whatever they are; for classes of different width or number, and for noise, take
    `gaussian-mixture`. In one channel `otsu` finds the best classes for sure, while this one
    depends on where it starts. Channels are compared as they are: unless they have the same
    unit, put `normalise` before.

    Parameters
    ----------
    classes : int
        How many, 2 or more.
    seed : int
        Of the draw of the first means.
    iterations : int
        At most; it ends when the means have settled.
    device : str
        auto, cpu, cuda or cuda:N.

    References
    ----------
    S. P. Lloyd, "Least squares quantization in PCM", IEEE Trans. Inf. Theory 28(2):129-137,
    1982. doi:10.1109/TIT.1982.1056489. D. Arthur, S. Vassilvitskii, "k-means++: the advantages
    of careful seeding", SODA, 2007. doi:10.5555/1283383.1283494
    """

    classes: int = parameter(3, "[2, 255]", usual=(2, 6))
    seed: int = parameter(0, "[0, inf)")
    iterations: int = parameter(100, "[1, inf)")
    device: str = "auto"

    def __post_init__(self) -> None:
        require_legal(self)

    def segment(
        self, image: Image, seeds: Labels | None = None, mask: Labels | None = None
    ) -> Labels:
        """Label each voxel with its class; `image` has any number of channels, and no seeds."""
        return segment_with(self.run, image, seeds, mask, self.device)

    def run(
        self, image: Tensor, spacing: tuple[float, ...], seeds: Tensor | None, mask: Tensor | None
    ) -> Tensor:
        """Classes of a (C, ...) tensor."""
        import torch

        no_seeds(seeds, "k-means")
        points = image.flatten(1) if mask is None else image[:, mask]
        rng = np.random.default_rng(self.seed)
        centres = first_means(points, self.classes, rng, "k-means")
        found, _ = settled(points, centres, self.iterations)
        if mask is None:
            return found.view(image.shape[1:])
        classes = torch.zeros_like(mask, dtype=torch.int32)
        classes[mask] = found
        return classes


def first_means(
    points: Tensor, classes: int, rng: np.random.Generator, method: str
) -> NDArray[np.float32]:
    """Points that lie apart: each drawn with the square of its distance to those before.

    Parameters
    ----------
    points : (C, n) float32 tensor
    method : str
        Its name, for the error.

    Returns
    -------
    (classes, C) float32 array

    Raises
    ------
    ValueError
        If there are fewer different points than classes.
    """
    step = -(-points.shape[1] // _MOST_DRAWN)
    for drawn in (points[:, ::step], points) if step > 1 else (points,):
        found = _apart(drawn.cpu().numpy(), classes, rng)
        if len(found) == classes:
            return found
    only = "the image is constant" if len(found) == 1 else f"only {len(found)} differ"
    raise ValueError(f"{method} can't make {classes} classes of the intensities: {only}")


def _apart(
    points: NDArray[np.float32], classes: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """As many different points as `classes`, or as there are, (k, C)."""
    found = [points[:, int(rng.integers(points.shape[1]))]]
    away = np.full(points.shape[1], np.inf)
    while len(found) < classes:
        away = np.minimum(away, ((points - found[-1][:, None]) ** 2).sum(axis=0))
        reached = np.cumsum(away, dtype=np.float64)
        if not reached[-1]:
            break
        # Nothing that is 0 away is drawn: there `reached` does not rise.
        place = np.searchsorted(reached, rng.random() * reached[-1], side="right")
        found.append(points[:, place])
    return np.array(found, np.float32)


def settled(
    points: Tensor, centres: NDArray[np.float32], iterations: int
) -> tuple[Tensor, NDArray[np.float32]]:
    """Classes (n,) int32 of (C, n) points, and means (K, C) that no longer move, in order.

    The order is that of the means in the first channel; of equals, in the next.
    """
    enough = _SETTLED * points.std(dim=1, correction=0).cpu().numpy()
    classes, counts, totals = assigned(points, centres)
    for _ in range(iterations):
        # What nothing is near to stays where it is.
        means = totals / np.maximum(counts, 1)[:, None]
        moved = np.where(counts[:, None] > 0, means, centres).astype(np.float32)
        still = bool((np.abs(moved - centres) <= enough).all())
        centres = moved
        classes, counts, totals = assigned(points, centres)
        if still:
            break
    order = np.lexsort(centres.T[::-1])
    rank = np.argsort(order).astype(np.int32)
    return classes.new_tensor(rank)[classes.long()], centres[order]


def assigned(
    points: Tensor, centres: NDArray[np.float32]
) -> tuple[Tensor, NDArray[np.int64], NDArray[np.float64]]:
    """Class of each of (C, n) points, and how many each class has and their sum, (K, C)."""
    if points.is_cuda:
        return assigned_in_torch(points, centres)
    import torch

    from medseg.classical import _means_kernels

    values = points.numpy()
    starts = range(0, values.shape[1], _BLOCK)
    classes = np.empty(values.shape[1], np.int32)
    counts = np.zeros((len(starts), len(centres)), np.int64)
    totals = np.zeros((len(starts), *centres.shape))

    def do(block: int) -> None:
        part = slice(starts[block], starts[block] + _BLOCK)
        own = np.ascontiguousarray(values[:, part])
        _means_kernels.assign(own, centres, classes[part], counts[block], totals[block])

    with ThreadPoolExecutor(computing_threads()) as pool:
        list(pool.map(do, range(len(starts))))
    return torch.from_numpy(classes), counts.sum(axis=0), totals.sum(axis=0)


def assigned_in_torch(
    points: Tensor, centres: NDArray[np.float32]
) -> tuple[Tensor, NDArray[np.int64], NDArray[np.float64]]:
    """Do what `assigned` does in torch alone, on any device."""
    import torch

    least = torch.full_like(points[0], torch.inf)
    classes = torch.zeros_like(points[0], dtype=torch.int32)
    for k, centre in enumerate(torch.from_numpy(centres).to(points.device)):
        away = torch.zeros_like(least)
        for channel, value in zip(points, centre, strict=True):
            away += (channel - value).square_()
        nearer = away < least
        classes[nearer] = k
        least = torch.minimum(least, away)
    # A product with the classes adds in the same order each time, unlike scattering on CUDA.
    counts, totals = [], []
    for k in range(len(centres)):
        own = classes == k
        counts.append(int(own.sum()))
        totals.append((points * own).sum(dim=1, dtype=torch.float64).cpu().numpy())
    return classes, np.array(counts, np.int64), np.array(totals)
