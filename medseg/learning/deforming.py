"""The deformations with which the first U-Net and the V-Net were trained."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from medseg.learning.placing import Warp

_KNOTS, _PIXELS = 3, 10.0
_SPANS, _VOXELS, _SHARE = 2, 15.0, 0.5


def elastic_2015(warp: Warp, rng: np.random.Generator) -> Warp:
    """Bend every patch at a grid of 3 knots a side, by about 10 pixels along each axis.

    The knots are spread over all that the network sees; between them bends are bicubic in 2D and
    linear in 3D.

    References
    ----------
    O. Ronneberger, P. Fischer, T. Brox, "U-Net: convolutional networks for biomedical image
    segmentation", MICCAI 2015, doi:10.1007/978-3-319-24574-4_28
    """
    pixels = rng.normal(scale=_PIXELS, size=(len(warp.seen), *(_KNOTS,) * len(warp.seen)))
    return replace(warp, bend=_in_mm(pixels, warp))


def b_spline(warp: Warp, rng: np.random.Generator) -> Warp:
    """Bend half of the patches by a cubic B-spline of 2 spans a side, and about 15 voxels.

    So much are the coefficients; what they add up to is some 5 voxels along each axis in 3D.
    Axes coarser than the finest are left alone, as in the authors' code, which spares the slices.

    References
    ----------
    F. Milletari, N. Navab, S.-A. Ahmadi, "V-Net: fully convolutional neural networks for
    volumetric medical image segmentation", 3DV 2016, doi:10.1109/3DV.2016.79
    """
    if rng.random() >= _SHARE:
        return warp
    sides = warp.seen
    control = _SPANS + 3
    voxels = rng.normal(scale=_VOXELS, size=(len(sides), *(control,) * len(sides)))
    for axis, side in enumerate(sides, start=1):
        voxels = np.moveaxis(np.tensordot(_basis(side), voxels, (1, axis)), 0, axis)
    finest = np.isclose(warp.spacing, min(warp.spacing), rtol=1e-2)
    return replace(warp, bend=_in_mm(voxels * finest.reshape(-1, *[1] * len(sides)), warp))


def _in_mm(voxels: NDArray[np.float64], warp: Warp) -> NDArray[np.float64]:
    mm: NDArray[np.float64] = voxels * np.reshape(warp.spacing, (-1, *[1] * len(warp.spacing)))
    return mm


def _basis(side: int) -> NDArray[np.float64]:
    """(side, coefficients) shares that each coefficient has in each voxel; rows add up to 1."""
    at = np.linspace(0, _SPANS, side)
    span = np.minimum(at.astype(int), _SPANS - 1)
    t = at - span
    shares = [(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, 3 * (t + t**2 - t**3) + 1, t**3]
    basis = np.zeros((side, _SPANS + 3))
    for k, share in enumerate(shares):
        basis[np.arange(side), span + k] = share / 6
    return basis
