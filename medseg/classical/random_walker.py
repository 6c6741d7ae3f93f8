"""The random walker: where a walk that avoids edges would first meet a seed."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from medseg.classical.box import Box
from medseg.classical.demands import some_seeds
from medseg.classical.diffusion import Multigrid
from medseg.classical.region_growing import reachable
from medseg.classical.session import Interactive
from medseg.parameter import parameter
from medseg.segmenter import probabilities_with
from medseg.volume import BACKGROUND, Image, Labels

if TYPE_CHECKING:
    from torch import Tensor

# No edge is so strong that nothing at all gets over it: scikit-image's value.
_LEAST = 1e-10


@dataclass(frozen=True)
class RandomWalker(Interactive):
    """Give each voxel to the label whose seeds a random walker from there is likeliest to meet.

    The walker prefers steps between intensities that are alike. For objects with weak or broken
    borders: where an edge has a gap, the border closes it smoothly, and noise is averaged out.
    Every voxel that a seed can reach gets a label, of equally probable ones the lower,
    background last; so mark background too. Few seeds pull the border towards themselves if
    `contrast` is low; of methods that need only a click, `geodesic` is faster, and
    `region-growing` needs no background.

    Steps from one voxel to the next of distance h mm are weighted by exp(-contrast · g²) / h²,
    where g is the slope in standard deviations of the image per mm, as the root mean square
    over the channels. On isotropic voxels of 1 mm, scikit-image's `beta` of a single channel
    is 10 · `contrast` / standard deviation; its other spacings lack the division by h², which
    makes the result independent of how finely an axis is sampled.

    Parameters
    ----------
    contrast : float
        How strongly edges hold the walker back.
    tolerance : float
        How far a probability may be from its exact value. It is an estimate, from what the
        solver's steps tell of the system, and on the safe side in all that was compared with
        direct solutions.
    device : str
        auto, cpu, cuda or cuda:N.

    References
    ----------
    L. Grady, "Random walks for image segmentation", IEEE Trans. Pattern Anal. Mach. Intell.
    28(11):1768-1783, 2006. doi:10.1109/TPAMI.2006.233
    """

    name: ClassVar[str] = "random-walker"

    contrast: float = parameter(20.0, "[0, inf)", usual=(1, 300), log=True, unit="mm²")
    tolerance: float = parameter(1e-2, "[1e-5, 0.1]")
    device: str = "auto"

    def probabilities(
        self, image: Image, seeds: Labels | None = None, mask: Labels | None = None
    ) -> Image:
        """Probability of each label of the seeds, background first, in [0, 1].

        Outside the mask, and where no seed can be reached, background is certain.
        """
        return probabilities_with(self._shares, image, seeds, mask, self.device)

    def prepare(self, image: Tensor, spacing: tuple[float, ...], mask: Tensor | None) -> _Walks:
        """Ties between the voxels."""
        return _Walks(image, spacing, mask, self)

    def _shares(
        self, image: Tensor, spacing: tuple[float, ...], seeds: Tensor | None, mask: Tensor | None
    ) -> tuple[list[int], Tensor]:
        known = some_seeds(seeds, mask, self.name)
        box = Box.around(mask, tuple(known.shape))
        walks = _Walks(box.cut(image), spacing, None if mask is None else box.cut(mask), self)
        labels, shares = walks.probabilities(box.cut(known))
        return labels, box.put_back(shares)


class _Walks:
    """Ties between the voxels of an image."""

    def __init__(
        self,
        image: Tensor,
        spacing: tuple[float, ...],
        mask: Tensor | None,
        method: RandomWalker,
    ) -> None:
        self._shape = tuple(image.shape[1:])
        missing = 3 - len(self._shape)
        solid = (1,) * missing + self._shape
        self._spacing = (spacing[0],) * missing + tuple(spacing)
        self._mask = None if mask is None else mask.view(solid)
        self._tolerance = method.tolerance
        self._ties = ties(image.view(-1, *solid), self._spacing, method.contrast, self._mask)

    def part(self, box: Box, inside: Tensor) -> _Walks:
        """Walks in a box and a mask of its size."""
        part = copy(self)
        part._shape = box.size
        part._ties = box.cut_ties(self._ties, inside)
        part._mask = inside.view(part._ties.shape[1:])
        return part

    def labels(self, seeds: Tensor) -> Tensor:
        """Most probable labels, 0 for background."""
        import torch

        known = seeds.view(self._ties.shape[1:])
        order, maps, reached = self._solved(known)
        best = 1 - maps.sum(0)
        found = torch.full_like(known, order[-1])
        for label, share in zip(reversed(order[:-1]), maps.flip(0), strict=True):
            better = share >= best
            found[better] = label
            best = torch.where(better, share, best)
        known_too = torch.where(known == BACKGROUND, found, known)
        return (known_too * reached).clamp_(min=BACKGROUND).view(self._shape)

    def probabilities(self, seeds: Tensor) -> tuple[list[int], Tensor]:
        """Labels, 0 for background first, and the probability (labels, ...) of each."""
        import torch

        known = seeds.view(self._ties.shape[1:])
        order, maps, reached = self._solved(known)
        maps = maps.clamp(0, 1)
        rest = (1 - maps.sum(0)).clamp_(min=0)
        shares = torch.cat([maps, rest[None]])
        for share, label in zip(shares, order, strict=True):
            share[known != BACKGROUND] = 0
            share[known == label] = 1
        shares /= shares.sum(0)
        shares *= reached
        ground = shares[-1:] if order[-1] < 0 else torch.zeros_like(rest)[None]
        ground += ~reached
        labels = [label for label in order if label > 0]
        shares = torch.cat([ground, shares[: len(labels)]])
        return [BACKGROUND, *labels], shares.view(-1, *self._shape)

    def _solved(self, known: Tensor) -> tuple[list[int], Tensor, Tensor]:
        """Labels, background last, a map of each but the last, and where seeds can be reached."""
        import torch

        reached = torch.ones_like(known, dtype=torch.bool)
        if self._mask is not None:
            reached = reachable(known != BACKGROUND, self._mask)
        present = known.unique().tolist()
        order = sorted(set(present) - {BACKGROUND}, key=lambda label: (label < 0, label))
        free = (known == BACKGROUND) & reached
        maps = self._ties.new_zeros((len(order) - 1, *known.shape))
        for values, label in zip(maps, order, strict=False):
            values[known == label] = 1
        if len(order) > 1 and bool(free.any()):
            Multigrid(self._ties, free).solve(maps, self._tolerance)
        return order, maps, reached


def ties(
    image: Tensor, spacing: tuple[float, ...], contrast: float, mask: Tensor | None = None
) -> Tensor:
    """How likely a walker steps from each voxel to the next along each axis, relatively.

    Parameters
    ----------
    image : (C, i, j, k) float32 tensor
    spacing : tuple of float, mm
    contrast : float
    mask : (i, j, k) bool tensor, optional
        There are no steps into or out of it.

    Returns
    -------
    (3, i, j, k) float32 tensor
        0 at the end of each axis; 1 over the shortest steps where nothing changes.
    """
    weights = _weights_of_channels(image, mask)
    result = image.new_zeros((3, *image.shape[1:]))
    nearest = min(spacing)
    for axis, step in enumerate(spacing):
        size = image.shape[axis + 1] - 1
        tie = result[axis].narrow(axis, 0, size)
        for channel, weight in zip(image, weights, strict=True):
            tie.add_(channel.diff(dim=axis).square_(), alpha=weight)
        tie.mul_(-contrast / step**2).exp_().add_(_LEAST).mul_((nearest / step) ** 2)
        if mask is not None:
            tie.mul_(mask.narrow(axis, 0, size) & mask.narrow(axis, 1, size))
    return result


def _weights_of_channels(image: Tensor, mask: Tensor | None) -> list[float]:
    """What squared differences count for: together the mean of squared standard deviations."""
    weights = []
    for channel in image:
        spread = float((channel if mask is None else channel[mask]).double().std(correction=0))
        weights.append(1 / (len(image) * spread**2) if spread > 0 else 0.0)
    return weights
