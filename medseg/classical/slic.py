"""Supervoxels by SLIC."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from medseg.classical.demands import no_seeds
from medseg.classical.local_means import Field
from medseg.components import components, labels_of, sizes
from medseg.parameter import parameter, require_legal
from medseg.segmenter import segment_with
from medseg.volume import Image, Labels

if TYPE_CHECKING:
    from torch import Tensor

# Steps into which the span of a channel is divided, so that sums are of whole numbers.
_LEVELS = 2**16


@dataclass(frozen=True)
class SLIC:
    """Part the image into supervoxels: small compact regions of similar intensity.

    k-means in intensity and place, each centre looking only around itself, from centres on a
    lattice; then every supervoxel is made one piece, by giving what is cut off to the
    neighbour with which it shares most faces. For work on some thousand regions in place of
    millions of voxels, such as marking, sorting or graph methods. It names no tissue: all
    voxels are in supervoxels, numbered from 1. Regions whose borders follow edges at any size
    are `basins`.

    Parameters
    ----------
    size : float
        Width of a supervoxel, mm; on the lattice they are as near to cubes of it as goes.
    compactness : float
        How many standard deviations of intensity weigh as much as a supervoxel's width: high
        ones make cubes, low ones follow the image.
    iterations : int
        At most; it ends when no voxel changes.
    device : str
        auto, cpu, cuda or cuda:N.

    References
    ----------
    R. Achanta, A. Shaji, K. Smith, A. Lucchi, P. Fua, S. Süsstrunk, "SLIC superpixels compared
    to state-of-the-art superpixel methods", IEEE Trans. Pattern Anal. Mach. Intell.
    34(11):2274-2282, 2012. doi:10.1109/TPAMI.2012.120
    """

    size: float = parameter(10.0, "(0, inf)", usual=(3, 50), log=True, unit="mm")
    compactness: float = parameter(
        0.5, "(0, inf)", usual=(0.05, 5), log=True, unit="standard deviations"
    )
    iterations: int = parameter(10, "[1, inf)")
    device: str = "auto"

    def __post_init__(self) -> None:
        require_legal(self)

    def segment(
        self, image: Image, seeds: Labels | None = None, mask: Labels | None = None
    ) -> Labels:
        """Supervoxels of `image`, of any number of channels; there are no seeds."""
        return segment_with(self.run, image, seeds, mask, self.device)

    def run(
        self, image: Tensor, spacing: tuple[float, ...], seeds: Tensor | None, mask: Tensor | None
    ) -> Tensor:
        """Supervoxels of a (C, ...) tensor, from 1 on."""
        import torch

        no_seeds(seeds, "slic")
        shape = image.shape[1:]
        lead = (1,) * (3 - len(shape))
        inside = torch.ones(shape, dtype=torch.bool, device=image.device) if mask is None else mask
        inside = inside.view(*lead, *shape)
        steps = (*(1.0 for _ in lead), *spacing)
        numbers = _lattice(inside.shape, steps, self.size)
        levels, scales = _levels(image.view(len(image), *lead, *shape), inside)
        own = np.array(
            [*(scales / self.compactness), *(step / self.size for step in steps)], np.float32
        )
        reach = (-(-np.array(inside.shape) // np.array(numbers))).astype(np.float32)
        field = Field(levels, inside, own, reach)
        labels = field.settled(_cells(inside, numbers), int(np.prod(numbers)), self.iterations)
        return in_one_piece(torch.where(inside, labels + 1, 0)).view(shape)


def in_one_piece(labels: Tensor) -> Tensor:
    """Labels of one piece each, numbered from 1 without gaps; 0 stays 0.

    The largest piece of a label keeps it. Any other goes to the label with which it shares
    most faces, of those that have their place already; what has no neighbour but 0 gets a
    label of its own.

    Parameters
    ----------
    labels : (...) int32 tensor
    """
    import torch

    piece_of, count = components(labels)
    number = sizes(piece_of, count)
    label_of = labels_of(piece_of, count, labels).long()
    settled = torch.zeros_like(label_of, dtype=torch.bool)
    # By label, then the largest first, then the first.
    order = torch.argsort(number, descending=True, stable=True)
    order = order[torch.argsort(label_of[order], stable=True)]
    settled[order[1:]] = label_of[order][1:] != label_of[order][:-1]
    settled[0] = True
    first, second, faces = _borders(piece_of, settled, count)
    while len(first):
        near = settled[second]
        if not near.any():
            break
        piece, label, shared = first[near], label_of[second[near]], faces[near]
        # Pieces of one label on both sides count together.
        many = int(label_of.max()) + 1
        pairs, place = (piece * many + label).unique(return_inverse=True)
        together = torch.zeros_like(pairs).index_add_(0, place, shared)
        best = _best(pairs // many, together, count)
        # Of labels with as many faces, the lowest.
        chosen = pairs[together == best[pairs // many]]
        lowest = torch.full_like(label_of, torch.iinfo(torch.int64).max)
        lowest.scatter_reduce_(0, chosen // many, chosen % many, "amin")
        label_of[piece] = lowest[piece]
        settled[piece] = True
        left = ~settled[first]
        first, second, faces = first[left], second[left], faces[left]
    alone = ~settled
    label_of[alone] = label_of.max() + 1 + torch.arange(int(alone.sum()), device=labels.device)
    found = torch.unique(label_of, return_inverse=True)[1]  # label 0 is there, as that of piece 0
    numbered: Tensor = found.to(torch.int32)[piece_of.long()]
    return numbered


def _borders(piece_of: Tensor, settled: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Pieces without a place, pieces beside them, and how many faces they share: (pairs,) each."""
    import torch

    pairs = []
    for axis, size in enumerate(piece_of.shape):
        before, after = piece_of.narrow(axis, 0, size - 1), piece_of.narrow(axis, 1, size - 1)
        meet = (before != after) & (before != 0) & (after != 0)
        one, other = before[meet].long(), after[meet].long()
        for own, beside in ((one, other), (other, one)):
            homeless = ~settled[own]
            pairs.append(own[homeless] * (count + 1) + beside[homeless])
    found, faces = torch.cat(pairs).unique(return_counts=True)
    return found // (count + 1), found % (count + 1), faces


def _best(pieces: Tensor, faces: Tensor, count: int) -> Tensor:
    """Most faces that each piece shares with a label."""
    best = faces.new_zeros(count + 1)
    return best.scatter_reduce_(0, pieces, faces, "amax")


def _lattice(shape: tuple[int, ...], spacing: tuple[float, ...], size: float) -> tuple[int, ...]:
    """How many cells of about `size` mm go along each axis."""
    return tuple(
        min(n, max(1, round(n * step / size))) for n, step in zip(shape, spacing, strict=True)
    )


def _cells(inside: Tensor, numbers: tuple[int, ...]) -> Tensor:
    """Number of the cell of a lattice that each voxel lies in, (i, j, k) int32."""
    import torch

    cell = torch.zeros(inside.shape, dtype=torch.int64, device=inside.device)
    for axis, (size, number) in enumerate(zip(inside.shape, numbers, strict=True)):
        along = torch.arange(size, device=inside.device) * number // size
        shape = [1] * inside.ndim
        shape[axis] = size
        cell = cell * number + along.view(shape)
    return cell.to(torch.int32)


def _levels(image: Tensor, inside: Tensor) -> tuple[Tensor, NDArray[np.float64]]:
    """Channels in whole steps from 0 on, and how many standard deviations a step is."""
    import torch

    levels, scales = [], []
    for channel in image:
        values = channel[inside].double()
        low, span = float(values.min()), float(values.max() - values.min())
        deviation = float(values.std(correction=0))
        step = span / _LEVELS
        scales.append(step / deviation if deviation else 0.0)
        levels.append(((channel - low) / (step or 1.0)).round_().clamp_(0, _LEVELS))
    return torch.stack(levels), np.array(scales)
