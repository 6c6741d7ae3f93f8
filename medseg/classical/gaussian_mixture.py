"""Bell-shaped classes, and neighbours that mostly belong together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from medseg.classical.demands import no_seeds
from medseg.classical.k_means import first_means, settled
from medseg.classical.mixture import Mixture, fitted
from medseg.classical.random_field import swept, weights_of
from medseg.cleanup.boxes import boxes_of
from medseg.parameter import parameter, require_legal
from medseg.segmenter import probabilities_with, segment_with
from medseg.volume import Image, Labels

if TYPE_CHECKING:
    from torch import Tensor

# Points to which the first classes are fitted by k-means, spread over all, and its steps.
_MOST_AT_FIRST, _STEPS_AT_FIRST = 2**16, 20
# The field has settled once beliefs change by less in the mean of all voxels and classes.
_SETTLED = 1e-3


@dataclass(frozen=True)
class GaussianMixture:
    """Part the voxels into classes whose intensities are bell-shaped.

    The mixture of Gaussians under which the intensities are most likely, by expectation and
    maximisation from a start by k-means; each voxel gets its most probable class. Labels run
    from 0, the class with the lowest mean in the first channel, to `classes` - 1. With a mask,
    only the intensities inside count. For tissues in the mask of an organ, such as grey and
    white matter and CSF of a brain, in one or several channels. It assumes that a tissue has
    the same intensity everywhere: put `n4` before. Without a mask, the ground is a class too,
    or several. Where histograms have gaps, `otsu` is as good and has nothing to settle.

    With `smoothness`, voxels prefer the class of their face neighbours, the more the nearer
    these are in mm (a Potts field, by mean-field sweeps that take turns with the fit of the
    classes): against noise, at the cost of what is a voxel thin.

    Parameters
    ----------
    classes : int
        How many, 2 or more.
    smoothness : float
        How much a neighbour of mean distance adds to the log probability of its class; 0 is a
        plain mixture.
    iterations : int
        At most: of the fit, and of the sweeps; both end when they have settled.
    seed : int
        Of the start.
    device : str
        auto, cpu, cuda or cuda:N.

    References
    ----------
    A. P. Dempster, N. M. Laird, D. B. Rubin, "Maximum likelihood from incomplete data via the
    EM algorithm", J. R. Stat. Soc. B 39(1):1-38, 1977. doi:10.1111/j.2517-6161.1977.tb01600.x.
    Y. Zhang, M. Brady, S. Smith, "Segmentation of brain MR images through a hidden Markov
    random field model and the expectation-maximization algorithm", IEEE Trans. Med. Imaging
    20(1):45-57, 2001. doi:10.1109/42.906424
    """

    classes: int = parameter(3, "[2, 255]", usual=(2, 6))
    smoothness: float = parameter(0.0, "[0, inf)", usual=(0, 2))
    iterations: int = parameter(200, "[1, inf)")
    seed: int = parameter(0, "[0, inf)")
    device: str = "auto"

    def __post_init__(self) -> None:
        require_legal(self)

    def segment(
        self, image: Image, seeds: Labels | None = None, mask: Labels | None = None
    ) -> Labels:
        """Label each voxel with its class; `image` has any number of channels, and no seeds."""
        return segment_with(self.run, image, seeds, mask, self.device)

    def probabilities(
        self, image: Image, seeds: Labels | None = None, mask: Labels | None = None
    ) -> Image:
        """Probability of each class at each voxel; outside the mask, class 0 is certain."""

        def run(*tensors: Any) -> tuple[list[int], Tensor]:
            shares = self.believe(*tensors)
            return list(range(len(shares))), shares

        return probabilities_with(run, image, seeds, mask, self.device)

    def run(
        self, image: Tensor, spacing: tuple[float, ...], seeds: Tensor | None, mask: Tensor | None
    ) -> Tensor:
        """Classes of a (C, ...) tensor."""
        import torch

        if self.smoothness:
            return self.believe(image, spacing, seeds, mask).argmax(0).to(torch.int32)
        points, mixture = self._fitted(image, seeds, mask)
        found = mixture.most_likely(points)
        if mask is None:
            return found.view(image.shape[1:])
        classes = torch.zeros_like(mask, dtype=torch.int32)
        classes[mask] = found
        return classes

    def believe(
        self, image: Tensor, spacing: tuple[float, ...], seeds: Tensor | None, mask: Tensor | None
    ) -> Tensor:
        """Probabilities (K, ...) of the classes of a (C, ...) tensor."""
        import torch

        points, mixture = self._fitted(image, seeds, mask)
        shape = image.shape[1:]
        inside = torch.ones(shape, dtype=torch.bool, device=image.device) if mask is None else mask
        beliefs = image.new_zeros(self.classes, *shape)
        beliefs[:, inside] = mixture.evidence(points).softmax(0)
        if self.smoothness:
            box = (slice(None), *boxes_of(inside.to(torch.int32))[1])
            beliefs[box] = self._smoothed(points, mixture, beliefs[box], inside[box[1:]], spacing)
        beliefs[0, ~inside] = 1
        return beliefs

    def _fitted(
        self, image: Tensor, seeds: Tensor | None, mask: Tensor | None
    ) -> tuple[Tensor, Mixture]:
        """Points (C, n) inside the mask, and the mixture that fits them."""
        no_seeds(seeds, "gaussian-mixture")
        points = image.flatten(1) if mask is None else image[:, mask]
        rng = np.random.default_rng(self.seed)
        centres = first_means(points, self.classes, rng, "gaussian-mixture")
        step = -(-points.shape[1] // _MOST_AT_FIRST)
        _, centres = settled(points[:, ::step].contiguous(), centres, _STEPS_AT_FIRST)
        return points, fitted(points, centres, self.iterations)

    def _smoothed(
        self,
        points: Tensor,
        mixture: Mixture,
        beliefs: Tensor,
        inside: Tensor,
        spacing: tuple[float, ...],
    ) -> Tensor:
        """Beliefs of voxels that listen to their neighbours."""
        import torch

        evidence = torch.zeros_like(beliefs)
        weights = weights_of(spacing)
        for _ in range(self.iterations):
            evidence[:, inside] = mixture.evidence(points)
            after = swept(beliefs, evidence, inside, self.smoothness, weights)
            moved = float((after - beliefs).abs().mean())
            beliefs = after
            if moved < _SETTLED:
                break
            mixture = mixture.updated(points, beliefs[:, inside])
        return beliefs
