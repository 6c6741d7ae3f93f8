"""Graph cut: the two regions of least energy, exactly."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from medseg.classical.cutting import first_side, first_side_in_torch
from medseg.classical.demands import marked
from medseg.classical.session import Interactive
from medseg.parameter import parameter
from medseg.smoothing import gaussian
from medseg.volume import BACKGROUND

if TYPE_CHECKING:
    from torch import Tensor

    from medseg.classical.box import Box

# The share of a seed's intensity that is spread over all, so that none is impossible.
_UNIFORM = 0.02
_WIDTH = 1 / 32  # of the Gaussian over a histogram, as a share of the bins


@dataclass(frozen=True)
class GraphCut(Interactive):
    """Part one label from background where that costs least, in intensities and in border.

    The energy is the sum over voxels of `regional` · -ln p(intensity), with p learned from
    the seeds of the side on which the voxel is, and over neighbours on different sides, h mm
    apart, of `boundary` / h · exp(-contrast · d²), where d is their difference in standard
    deviations, as the root mean square over the channels. 1 / h is the face between two voxels
    over the volume of one, so that a border costs the same however finely an axis is sampled;
    it is measured along the axes of storage. Seeds are never overruled. The result is the
    global minimum, the smaller region if there are several; what is tied to no seed, and
    preferred by none, is background, or the higher label. Seeds are of one label and
    background, or of two labels.

    For one object whose intensities differ from the rest, with noise and some gaps in its
    border; it takes few seeds, if they have all intensities of their side. With boundaries
    alone (`regional` 0) it shrinks to the seeds where those are few, and `random-walker` is
    the better choice; for several labels at once, take that or `geodesic`.

    On the CPU the cut is exact but for capacities rounded to 1 / 2^20 of the largest; on CUDA a
    convex relaxation comes within 1e-4 of the least energy.

    Parameters
    ----------
    boundary : float
        What a border costs.
    regional : float
        How much intensities count.
    contrast : float
        How much cheaper a border is on an edge.
    bins : int
        Of each channel's histograms of the seeds.
    device : str
        auto, cpu, cuda or cuda:N.

    References
    ----------
    Y. Boykov, M.-P. Jolly, "Interactive graph cuts for optimal boundary & region segmentation
    of objects in N-D images", ICCV 2001. doi:10.1109/ICCV.2001.937505
    """

    name: ClassVar[str] = "graph-cut"

    boundary: float = parameter(5.0, "[0, inf)", usual=(0.1, 1000), log=True, unit="mm")
    regional: float = parameter(1.0, "[0, inf)")
    contrast: float = parameter(100.0, "[0, inf)", usual=(1, 300), log=True)
    bins: int = parameter(64, "[2, 4096]", usual=(16, 256), log=True)
    device: str = "auto"

    def prepare(self, image: Tensor, spacing: tuple[float, ...], mask: Tensor | None) -> _Sides:
        """Costs of borders."""
        return _Sides(image, spacing, mask, self)


class _Sides:
    """What borders cost in an image, and where intensities stand in its histograms."""

    def __init__(
        self,
        image: Tensor,
        spacing: tuple[float, ...],
        mask: Tensor | None,
        method: GraphCut,
    ) -> None:
        self._shape = tuple(image.shape[1:])
        missing = 3 - len(self._shape)
        self._solid = (1,) * missing + self._shape
        self._mask = mask
        inside = None if mask is None else mask.view(self._solid)
        steps = (1.0,) * missing + tuple(spacing)
        self._ties = borders(image.reshape(-1, *self._solid), steps, method.contrast, inside).mul_(
            method.boundary
        )
        self._method = method
        self._places = _binned(image, method.bins, mask)

    def labels(self, seeds: Tensor) -> Tensor:
        """The label of each voxel's side, 0 for background."""
        import torch

        present = sorted(marked(seeds), key=lambda label: (label < 0, label))
        if len(present) > 2:
            raise ValueError(
                f"graph-cut parts two labels, got seeds of {', '.join(map(str, present))}; "
                "part one from all others (-1) at a time, or take random-walker or geodesic"
            )
        first, second = present[0], present[1] if len(present) > 1 else BACKGROUND
        flat = seeds.flatten()
        one = (flat == first).nonzero().flatten()
        two = ((flat != first) & (flat != BACKGROUND)).nonzero().flatten()
        preferences = torch.zeros_like(flat, dtype=torch.float32)
        if len(present) > 1 and self._method.regional:
            for places in self._places:
                likely = self._likely(places[one]).log() - self._likely(places[two]).log()
                table = (self._method.regional * likely).float()
                preferences += table.index_select(0, places)
            if self._mask is not None:
                preferences *= self._mask.flatten()
        preferences[one], preferences[two] = torch.inf, -torch.inf
        way = first_side_in_torch if seeds.is_cuda else first_side
        side = way(self._ties, preferences.view(self._solid)).view(self._shape)
        first, second = max(first, BACKGROUND), max(second, BACKGROUND)
        found = side.int().mul_(first - second).add_(second)
        return found if self._mask is None else found.mul_(self._mask)

    def part(self, box: Box, inside: Tensor) -> _Sides:
        """Sides in a box and a mask of its size; histograms are of the seeds there."""
        part = copy(self)
        part._shape, part._mask = box.size, inside
        part._solid = (1,) * (3 - len(box.size)) + box.size
        part._ties = box.cut_ties(self._ties, inside)
        part._places = [box.cut(places.view(self._shape)).flatten() for places in self._places]
        return part

    def _likely(self, places: Tensor) -> Tensor:
        """Probability of each bin among the seeds in these, smoothed, and none 0."""
        import torch

        bins = self._method.bins
        counts = torch.bincount(places, minlength=bins).double().cpu()
        smooth = gaussian(counts, bins * _WIDTH, (1.0,))
        smooth = (1 - _UNIFORM) * smooth / smooth.sum() + _UNIFORM / bins
        return smooth.to(places.device)


def borders(
    image: Tensor, spacing: tuple[float, ...], contrast: float, mask: Tensor | None = None
) -> Tensor:
    """What it costs to part each voxel from the next along each axis, in 1 / mm.

    Parameters
    ----------
    image : (C, i, j, k) float32 tensor
    spacing : tuple of float, mm
    contrast : float
    mask : (i, j, k) bool tensor, optional
        A border at its end costs nothing.

    Returns
    -------
    (3, i, j, k) float32 tensor
        0 at the end of each axis.
    """
    result = image.new_zeros((3, *image.shape[1:]))
    weights = []
    for channel in image:
        spread = float((channel if mask is None else channel[mask]).double().std(correction=0))
        weights.append(1 / (len(image) * spread**2) if spread > 0 else 0.0)
    for axis, step in enumerate(spacing):
        size = image.shape[axis + 1] - 1
        cost = result[axis].narrow(axis, 0, size)
        for channel, weight in zip(image, weights, strict=True):
            cost.add_(channel.diff(dim=axis).square_(), alpha=weight)
        cost.mul_(-contrast).exp_().div_(step)
        if mask is not None:
            cost.mul_(mask.narrow(axis, 0, size) & mask.narrow(axis, 1, size))
    return result


def _binned(image: Tensor, bins: int, mask: Tensor | None) -> list[Tensor]:
    """Number of the bin (voxels,) int32 of each voxel, for each channel."""
    import torch

    places = []
    for channel in image:
        low, high = (channel if mask is None else channel[mask]).aminmax()
        scale = bins / (high - low) if high > low else torch.zeros_like(low)
        # What lies outside the mask may be anything, and is looked at by nobody.
        places.append(((channel - low) * scale).clamp_(0, bins - 1).int().flatten())
    return places
