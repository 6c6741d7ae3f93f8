"""Otsu's thresholds, for any number of classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from medseg.classical.demands import no_seeds, one_channel
from medseg.classical.histogram import Histogram
from medseg.parameter import parameter, require_legal
from medseg.segmenter import segment_with
from medseg.volume import Image, Labels

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Otsu:
    """Part the intensities into classes that differ most from each other.

    Labels run from 0, the darkest class, to `classes` - 1, the brightest. With a mask, only
    the intensities inside count. For tissues that differ in brightness everywhere alike: take
    out a bias field before (`n4`). Classes come out about as wide as each other; where one is
    much smaller or narrower than the rest, `kittler-illingworth`, `triangle` (two classes) or
    `gaussian-mixture` find it, where there is noise, the last with its random field.

    Parameters
    ----------
    classes : int
        How many, 2 or more.
    bins : int
        Histogram bins between the lowest and the highest intensity, at most 4096.
    device : str
        auto, cpu, cuda or cuda:N.

    References
    ----------
    N. Otsu, "A threshold selection method from gray-level histograms", IEEE Trans. Syst.
    Man Cybern. 9(1):62-66, 1979. doi:10.1109/TSMC.1979.4310076
    """

    classes: int = parameter(2, "[2, 4096]", usual=(2, 6))
    # The search holds tables of bins x bins numbers.
    bins: int = parameter(256, "[2, 4096]")
    device: str = "auto"

    def __post_init__(self) -> None:
        require_legal(self)
        if self.classes > self.bins:
            raise ValueError(
                "otsu takes as many bins as classes or more, "
                f"got classes={self.classes}, bins={self.bins}"
            )

    def segment(
        self, image: Image, seeds: Labels | None = None, mask: Labels | None = None
    ) -> Labels:
        """Label each voxel with its class; `image` has one channel, and there are no seeds."""
        return segment_with(self.run, image, seeds, mask, self.device)

    def run(
        self, image: Tensor, spacing: tuple[float, ...], seeds: Tensor | None, mask: Tensor | None
    ) -> Tensor:
        """Classes of a (1, ...) tensor."""
        import torch

        no_seeds(seeds, "otsu")
        values = one_channel(image, "otsu")
        inside = values.flatten() if mask is None else values[mask]
        parted_at = torch.tensor(thresholds(inside, self.classes, self.bins), device=values.device)
        return torch.bucketize(values, parted_at, right=True, out_int32=True)


def thresholds(values: Tensor, classes: int = 2, bins: int = 256) -> tuple[float, ...]:
    """Intensities at which the next brighter class begins.

    Exact for the histogram: no other choice has a larger variance between the classes, while
    scikit-image, which adds up in float32, may miss the best by a bin in large images. Each
    threshold lies half-way between the centres of the bins that it parts, so in the middle
    of a gap.

    Parameters
    ----------
    values : (n,) float32 tensor

    Returns
    -------
    tuple of float
        `classes` - 1 of them, rising.

    Raises
    ------
    ValueError
        If there are fewer different intensities than classes.
    """
    histogram = Histogram.of(values, bins, "otsu")
    occupied = np.flatnonzero(histogram.counts)
    if len(occupied) < classes:
        raise ValueError(
            f"otsu can't make {classes} classes: the intensities fill only {len(occupied)} of the "
            f"{bins} bins; ask for fewer classes or more bins"
        )
    firsts = _first_of_each_class(occupied, histogram.counts[occupied], classes)
    middles = (occupied[firsts - 1] + occupied[firsts]) / 2
    return tuple(histogram.centre(float(middle)) for middle in middles)


def _first_of_each_class(
    positions: NDArray[np.integer], counts: NDArray[np.integer], classes: int
) -> NDArray[np.integer]:
    """Index of the first bin of every class but the darkest, by dynamic programme.

    The variance between classes is, but for a constant, the sum of (sum of x)² / n over the
    classes; the best c classes of the first b bins end in a class [a, b) behind the best
    c - 1 classes of the first a bins.
    """
    number = np.concatenate([[0.0], np.cumsum(counts, dtype=np.float64)])
    total = np.concatenate([[0.0], np.cumsum(counts * positions, dtype=np.float64)])
    n, x = (sums[None, :] - sums[:, None] for sums in (number, total))  # (from, to)
    gain = np.full_like(n, -np.inf)  # no class is empty
    np.divide(x**2, n, out=gain, where=n > 0)
    best = gain[0]
    came_from = []
    for _ in range(classes - 1):
        candidates = best[:, None] + gain
        came_from.append(candidates.argmax(axis=0))
        best = candidates.max(axis=0)
    firsts = [len(counts)]
    for step in reversed(came_from):
        firsts.append(int(step[firsts[-1]]))
    return np.array(firsts[:0:-1])
