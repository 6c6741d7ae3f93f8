"""The watershed: regions that meet where the relief between them is highest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from medseg.classical.demands import no_seeds, one_channel, some_seeds
from medseg.classical.flooding import flooded, flooded_compactly, lined
from medseg.components import components
from medseg.parameter import parameter, require_legal
from medseg.relief import gradient_magnitude, valleys
from medseg.segmenter import segment_with
from medseg.volume import BACKGROUND, Image, Labels

if TYPE_CHECKING:
    from torch import Tensor

Relief = Literal["gradient", "image"]


@dataclass(frozen=True)
class Watershed:
    """Let each label grow from its seeds until it meets another one at the strongest edge.

    For objects with visible borders that can be marked from inside and outside; every voxel
    that a seed can reach gets a label, so mark background too. Noise inside a region does not
    matter, but a border with a gap leaks: `fast-marching` and `compactness` hold back there.
    Where regions differ by intensity rather than by borders, prefer `region-growing`.

    What happens to voxels that are equally high is said at `medseg.classical.flooding.flooded`.

    Parameters
    ----------
    relief : "gradient" or "image"
        What is flooded: the length of the gradient, of all channels together, or a single
        channel as it is, in which regions are dark and borders bright.
    scale : float
        Standard deviation of the Gaussian under the gradient, mm.
    compactness : float
        By how many standard deviations of the relief each mm from the seeds makes a voxel
        higher. Rounds regions off, but is computed on the CPU, and slowly.
    lines : bool
        Whether the borders between regions become 0, one voxel wide.
    device : str
        auto, cpu, cuda or cuda:N.

    References
    ----------
    S. Beucher, F. Meyer, "The morphological approach to segmentation: the watershed
    transformation", in: Mathematical Morphology in Image Processing, CRC Press 1993,
    doi:10.1201/9781482277234-12

    J. Cousty et al., "Watershed cuts: minimum spanning forests and the drop of water
    principle", IEEE Trans. Pattern Anal. Mach. Intell. 31(8):1362-1374, 2009.
    doi:10.1109/TPAMI.2008.173
    """

    relief: Relief = "gradient"
    scale: float = parameter(1.0, "[0, inf)", usual=(0.5, 4), log=True, unit="mm")
    compactness: float = parameter(0.0, "[0, inf)", unit="standard deviations per mm")
    lines: bool = False
    device: str = "auto"

    def __post_init__(self) -> None:
        require_legal(self)

    def segment(
        self, image: Image, seeds: Labels | None = None, mask: Labels | None = None
    ) -> Labels:
        """Grow each label of `seeds` over the relief."""
        return segment_with(self.run, image, seeds, mask, self.device)

    def run(
        self, image: Tensor, spacing: tuple[float, ...], seeds: Tensor | None, mask: Tensor | None
    ) -> Tensor:
        """Labels of a (C, ...) tensor."""
        markers = some_seeds(seeds, mask, "watershed")
        relief = relief_of(image, self.relief, self.scale, spacing, mask)
        if self.compactness:
            weight = self.compactness * _spread(relief, mask)
            found = flooded_compactly(relief, markers, spacing, weight, mask)
        else:
            found = flooded(relief, markers, mask)
        if self.lines:
            found = lined(found, relief, markers)
        return found.clamp(min=BACKGROUND)


@dataclass(frozen=True)
class Basins:
    """Part an image into the basins of its relief, one around each valley that is deep enough.

    For an over-segmentation whose borders lie on edges, to choose and merge regions from, or
    for cells and grains that are all wanted. Labels run from 1 in the order of storage and
    cover all. Where every region can be marked, `watershed` gives one region for each mark.

    Parameters
    ----------
    relief, scale, lines, device
        As for `watershed`.
    depth : float
        How deep a valley is at least, in standard deviations of the relief; shallower ones
        flow over into their neighbours.

    References
    ----------
    P. Soille, "Morphological Image Analysis", 2nd edition, Springer 2003, chapter 9.
    doi:10.1007/978-3-662-05088-0
    """

    relief: Relief = "gradient"
    scale: float = parameter(1.0, "[0, inf)", usual=(0.5, 4), log=True, unit="mm")
    depth: float = parameter(0.5, "(0, inf)", usual=(0.05, 5), log=True, unit="standard deviations")
    lines: bool = False
    device: str = "auto"

    def __post_init__(self) -> None:
        require_legal(self)

    def segment(
        self, image: Image, seeds: Labels | None = None, mask: Labels | None = None
    ) -> Labels:
        """Number the basins; there are no seeds."""
        return segment_with(self.run, image, seeds, mask, self.device)

    def run(
        self, image: Tensor, spacing: tuple[float, ...], seeds: Tensor | None, mask: Tensor | None
    ) -> Tensor:
        """Labels of a (C, ...) tensor."""
        import torch

        no_seeds(seeds, "basins")
        relief = relief_of(image, self.relief, self.scale, spacing, mask)
        spread = _spread(relief, mask)
        if not spread:  # flat: each connected part is a single basin
            inside = torch.ones_like(relief, dtype=torch.bool) if mask is None else mask
            return components(inside)[0]
        markers, _ = valleys(relief, self.depth * spread, mask)
        found = flooded(relief, markers, mask)
        return lined(found, relief, markers) if self.lines else found


def relief_of(
    image: Tensor, kind: Relief, scale: float, spacing: tuple[float, ...], mask: Tensor | None
) -> Tensor:
    """Relief (...) of a (C, ...) image, as `Watershed` describes it."""
    if kind == "image":
        return one_channel(image, "a watershed on the image itself")
    return gradient_magnitude(image, scale, spacing, mask)


def _spread(relief: Tensor, mask: Tensor | None) -> float:
    """Standard deviation of the relief inside the mask."""
    values = relief.flatten() if mask is None else relief[mask]
    return float(values.double().std(correction=0))
