"""The dense CRF as a step after anything that gives probabilities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from medseg.parameter import parameter, require_legal
from medseg.segmenter import Frame, put_back, require_place
from medseg.volume import Image, Labels, require_match

if TYPE_CHECKING:
    from torch import Tensor

    from medseg.crf.mean_field import Kernel


@dataclass(frozen=True)
class DenseCRF:
    """Let all voxels talk with all others: what is near, and what is near and alike, agrees.

    Parameters
    ----------
    smooth_mm, smooth_weight : float
        Standard deviation of the distance at which voxels agree whatever they look like, and
        how much that counts.
    alike_mm, alike_weight : float
        The same for voxels that look alike.
    intensity : float, or tuple of float
        Standard deviation of the difference at which voxels look alike, of all channels or one
        a channel; its unit is the channel's own standard deviation, inside the mask.
    iterations : int
    mode : str
        "multiclass", or "whole-foreground": all but background is one class, so that false
        positives go and the shares of the labels inside stay as they are.
    device : str

    References
    ----------
    P. Kraehenbuehl, V. Koltun, "Efficient inference in fully connected CRFs with Gaussian edge
    potentials", NIPS 2011, arXiv:1210.5644;
    K. Kamnitsas et al., "Efficient multi-scale 3D CNN with fully connected CRF for accurate
    brain lesion segmentation", Medical Image Analysis 36, 2017, doi:10.1016/j.media.2016.10.004
    """

    smooth_mm: float = parameter(3.0, "(0, inf)", usual=(1, 10), log=True, unit="mm")
    smooth_weight: float = parameter(3.0, "[0, inf)", usual=(0.5, 10), log=True)
    alike_mm: float = parameter(12.0, "(0, inf)", usual=(3, 40), log=True, unit="mm")
    alike_weight: float = parameter(5.0, "[0, inf)", usual=(0.5, 30), log=True)
    intensity: float | tuple[float, ...] = parameter(
        0.1, "(0, inf)", usual=(0.05, 1), log=True, unit="standard deviations"
    )
    iterations: int = parameter(5, "[0, 1000]", usual=(2, 10))
    mode: Literal["multiclass", "whole-foreground"] = "multiclass"
    device: str = "auto"

    def __post_init__(self) -> None:
        if isinstance(self.intensity, list):  # as JSON has it
            object.__setattr__(self, "intensity", tuple(self.intensity))
        require_legal(self)
        widths = self._widths
        if not widths or not all(0 < width < float("inf") for width in widths):
            raise ValueError(
                f"intensity is a number above 0, or one a channel, got {self.intensity!r}"
            )

    def refine(self, probabilities: Image, image: Image, mask: Labels | None = None) -> Image:
        """Probabilities after the voxels have talked; outside the mask, as they were.

        Parameters
        ----------
        probabilities : Image
            A channel a class, background first.
        image : Image
            On the same grid.
        mask : Labels, optional
            0 is outside; those voxels take no part, which saves time and memory.

        Raises
        ------
        ValueError
            If the grids differ, the mask is empty, or there are not as many intensities as
            channels.
        """
        import torch

        require_match(image.grid, probabilities.grid, "the probabilities")
        require_place(image, None, mask)
        frame = Frame.of(image, self.device)
        inside = None if mask is None else frame.upload(mask, torch.bool)
        found = self.run(
            frame.upload(probabilities, torch.float32),
            frame.upload(image, torch.float32),
            frame.spacing,
            inside,
        )
        return put_back(frame.download(found), probabilities)

    def run(
        self, probabilities: Tensor, image: Tensor, spacing: tuple[float, ...], mask: Tensor | None
    ) -> Tensor:
        """Refined probabilities (classes, ...) of those of a (C, ...) tensor."""
        import torch

        inside = torch.ones_like(image[0], dtype=torch.bool) if mask is None else mask
        beliefs = self.believe(
            probabilities[:, inside].T.contiguous(), image[:, inside], places_of(inside, spacing)
        )
        refined = probabilities.clone()
        refined[:, inside] = beliefs.T
        return refined

    def believe(self, probabilities: Tensor, values: Tensor, places: Tensor) -> Tensor:
        """Refined probabilities of scattered voxels, all of which talk with all.

        Parameters
        ----------
        probabilities : (N, classes) float32 tensor
        values : (C, N) tensor
            Intensities.
        places : (N, d) float64 tensor, mm

        Returns
        -------
        (N, classes) float32 tensor
        """
        import torch

        from medseg.crf.mean_field import mean_field

        kernels = self._kernels(values.double(), places)
        if self.mode == "multiclass":
            return mean_field(probabilities, kernels, self.iterations)
        labels = probabilities[:, 1:]
        rest = labels.sum(1, keepdim=True)
        parted = mean_field(torch.cat([probabilities[:, :1], rest], 1), kernels, self.iterations)
        shares = labels / rest.clamp_min(torch.finfo(rest.dtype).tiny)
        # Where nothing but background was possible, no label is likelier than another.
        shares = torch.where(rest > 0, shares, 1 / max(shares.shape[1], 1))
        return torch.cat([parted[:, :1], parted[:, 1:] * shares], 1)

    def likeliest(self, probabilities: NDArray[np.float32]) -> NDArray[np.intp]:
        """Class of each voxel, of refined probabilities (classes, ...).

        The likeliest one; where the whole foreground was one class, background where that is
        more probable than not, else the likeliest of the others.
        """
        if self.mode == "multiclass":
            chosen: NDArray[np.intp] = probabilities.argmax(0)
            return chosen
        return np.where(probabilities[0] > 0.5, 0, 1 + probabilities[1:].argmax(0))

    @property
    def _widths(self) -> tuple[float, ...]:
        return self.intensity if isinstance(self.intensity, tuple) else (self.intensity,)

    def _kernels(self, values: Tensor, places: Tensor) -> list[Kernel]:
        """Kernels of voxels; those that weigh nothing are left out."""
        import torch

        from medseg.crf.mean_field import Kernel

        widths = self._widths * (len(values) if len(self._widths) == 1 else 1)
        if len(widths) != len(values):
            raise ValueError(
                f"intensity is one number, or one for each of {len(values)} channels, "
                f"got {self.intensity}"
            )
        kernels = []
        if self.smooth_weight:
            kernels.append(Kernel.gaussian(self.smooth_weight, places / self.smooth_mm))
        if self.alike_weight:
            deviation = values.std(1, correction=0, keepdim=True)
            wide = torch.tensor(widths, dtype=torch.float64, device=values.device)[:, None]
            # A channel that is the same everywhere tells no voxels apart.
            looks = values / torch.where(deviation > 0, deviation * wide, 1)
            features = torch.cat([places / self.alike_mm, looks.T], dim=1)
            kernels.append(Kernel.gaussian(self.alike_weight, features))
        return kernels


def places_of(inside: Tensor, spacing: tuple[float, ...]) -> Tensor:
    """Where voxels are, (N, d) float64, mm, of a bool tensor that says which are meant."""
    import torch

    step = torch.tensor(spacing, dtype=torch.float64, device=inside.device)
    return inside.nonzero() * step
