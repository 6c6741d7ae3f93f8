"""N4: divide out the bias field of an MRI."""

from __future__ import annotations

from dataclasses import dataclass
from operator import index
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from medseg.filters.filtering import filter_with
from medseg.parameter import parameter
from medseg.volume import Image, Labels

if TYPE_CHECKING:
    from torch import Tensor

_FEWEST = 4  # voxels that are left along an axis, so that the field can bend


@dataclass(frozen=True)
class N4:
    """Divide each channel by its bias field, smooth and near 1, which blurs its histogram.

    For MRI whose tissue is brighter near the coil, before anything that goes by intensity.
    It takes seconds, and with `shrink` 1 minutes. SimpleITK computes it on the CPU; a CUDA
    tensor goes there and back.

    Parameters
    ----------
    shrink : int
        The field is fitted to every `shrink`-th voxel along the axes of the finest spacing,
        and to so many along the others that they are as far apart in mm, or all.
    iterations : int
        At most, on each level.
    levels : int
        From one to the next, the field may bend twice as often.
    device : str
        Where tensors are before and after: auto, cpu, cuda or cuda:N.

    References
    ----------
    N. J. Tustison et al., "N4ITK: improved N3 bias correction", IEEE Trans. Med. Imaging
    29(6):1310-1320, 2010. doi:10.1109/TMI.2010.2046908
    """

    shrink: int = parameter(4, "[1, inf)")
    iterations: int = parameter(50, "[1, inf)")
    levels: int = parameter(4, "[1, inf)")
    device: str = "auto"

    def __post_init__(self) -> None:
        if min(index(self.shrink), index(self.iterations), index(self.levels)) < 1:
            raise ValueError(
                "n4 takes a shrink, iterations and levels of 1 or more, got "
                f"shrink={self.shrink}, iterations={self.iterations}, levels={self.levels}"
            )

    def __call__(self, image: Image, mask: Labels | None = None) -> Image:
        """Image without its bias field."""
        return filter_with(self.run, image, mask, self.device)

    def run(self, image: Tensor, spacing: tuple[float, ...], mask: Tensor | None) -> Tensor:
        """Corrected (C, ...) tensor of 2 or 3 spatial axes.

        The field is fitted to what is brighter than 0, and inside the mask; without a mask, to
        what is brighter than Otsu's threshold.
        """
        import torch

        if len(spacing) < 2:
            raise ValueError("n4 takes images of 2 or 3 axes longer than one voxel, got fewer")
        inside = None if mask is None else mask.cpu().numpy()
        arrays = [self._corrected(c.cpu().numpy(), spacing, inside) for c in image]
        return torch.from_numpy(np.stack(arrays)).to(image.device)

    def _corrected(
        self, array: NDArray[np.float32], spacing: tuple[float, ...], inside: NDArray | None
    ) -> NDArray[np.float32]:
        import SimpleITK as sitk  # noqa: N813

        counted = array > (_otsu(array) if inside is None else 0)
        if inside is not None:
            counted &= inside
        if not counted.any():
            raise ValueError("n4 takes intensities above 0, and found none where it looked")
        if np.ptp(array[counted]) == 0:  # nothing says how it varies
            return array
        image, fitted = _sitk(array, spacing), _sitk(counted.astype(np.uint8), spacing)
        factors = self._factors(array.shape, spacing)[::-1]
        n4 = sitk.N4BiasFieldCorrectionImageFilter()
        n4.SetMaximumNumberOfIterations([self.iterations] * self.levels)
        small = sitk.Shrink(fitted, factors)
        if not sitk.GetArrayViewFromImage(small).any():
            raise ValueError(f"n4 with shrink={self.shrink} steps over all of the mask; take less")
        n4.Execute(sitk.Shrink(image, factors), small)
        field = sitk.GetArrayFromImage(n4.GetLogBiasFieldAsImage(image))
        return np.asarray(array / np.exp(field), dtype=np.float32)

    def _factors(self, shape: tuple[int, ...], spacing: tuple[float, ...]) -> list[int]:
        apart = self.shrink * min(spacing)
        wanted = [max(1, round(apart / step)) for step in spacing]
        return [min(n, max(1, size // _FEWEST)) for n, size in zip(wanted, shape, strict=True)]


def _sitk(array: NDArray, spacing: tuple[float, ...]) -> Any:
    import SimpleITK as sitk  # noqa: N813

    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing[::-1])
    return image


def _otsu(array: NDArray[np.float32]) -> float:
    """Otsu's threshold, at least 0; below everything if that is constant."""
    import SimpleITK as sitk  # noqa: N813

    low, high = float(array.min()), float(array.max())
    if low == high:
        return low - 1 if low > 0 else 0
    otsu = sitk.OtsuThresholdImageFilter()
    otsu.Execute(sitk.GetImageFromArray(array))
    return max(float(otsu.GetThreshold()), 0.0)
