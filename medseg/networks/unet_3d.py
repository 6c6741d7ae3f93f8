"""The 3D U-Net as first published, its convolutions valid."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

from torch import nn

from medseg.networks.cropping import CroppingConfig, CroppingUNet, Padding, convolutions

_WIDTHS = (64, 128, 256, 512)


@dataclass(frozen=True)
class UNet3D(CroppingConfig):
    """The U-Net in 3D: one level less, batch normalisation, wide before each halving.

    On the way down, the first convolution of a level gives half as many features as the second,
    and up-convolutions keep the width of the level below, so that there is no bottleneck. It
    gives no logits for the outer 44 voxels: of 132 by 132 by 116 voxels, the 44 by 44 by 28 in
    the middle.

    Parameters
    ----------
    features : tuple of int
        Width of each level, finest first.
    padding : str
        "valid", or "same" for convolutions padded with 0, which give logits for all voxels.

    References
    ----------
    O. Cicek et al., "3D U-Net: learning dense volumetric segmentation from sparse annotation",
    MICCAI 2016, doi:10.1007/978-3-319-46723-8_49
    """

    ndims: ClassVar[tuple[int, ...]] = (3,)

    features: tuple[int, ...] = _WIDTHS
    padding: Padding = "valid"

    @classmethod
    def small(cls) -> dict[str, Any]:
        """Fields for a sixteenth of the width, as the smallest image has 92 voxels a side."""
        return {"features": tuple(width // 16 for width in _WIDTHS)}

    def build(self, channels: int, classes: int) -> nn.Module:
        """Make the network, with He-initialised weights."""

        def level(*widths: int) -> nn.Sequential:
            return convolutions(nn.Conv3d, widths, self.padding, _normed)

        encoder = [level(a, b // 2, b) for a, b in pairwise((channels, *self.features))]
        below = [*pairwise(reversed(self.features))]
        # The published count of parameters leaves these no bias.
        up = (nn.ConvTranspose3d(a, a, 2, 2, bias=False) for a, _ in below)
        decoder = (level(a + b, b, b) for a, b in below)
        head = nn.Conv3d(self.features[0], classes, 1)
        return CroppingUNet(self, encoder, up, decoder, head)


def _normed(width: int) -> Iterable[nn.Module]:
    return nn.BatchNorm3d(width), nn.ReLU(inplace=True)
