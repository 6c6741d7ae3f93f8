"""The U-Net as first published, in 2D, its convolutions valid."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

from torch import nn

from medseg.networks.cropping import CroppingConfig, CroppingUNet, Padding, convolutions

_WIDTHS = (64, 128, 256, 512, 1024)


@dataclass(frozen=True)
class UNet2015(CroppingConfig):
    """Two convolutions and rectifiers a level, maxima of 2 by 2 going down, no normalisation.

    It gives no logits for the outer 92 pixels: of 572 by 572 pixels, the 388 by 388 in the
    middle. Dropout is at the end of the two coarsest levels of the contracting path. As in the
    network that the authors released, the up-convolutions are rectified too.

    Parameters
    ----------
    features : tuple of int
        Width of each level, finest first.
    padding : str
        "valid", or "same" for convolutions padded with 0, which give logits for all pixels.
    dropout : float in [0, 1)
        Share of the numbers that are dropped.

    References
    ----------
    O. Ronneberger, P. Fischer, T. Brox, "U-Net: convolutional networks for biomedical image
    segmentation", MICCAI 2015, doi:10.1007/978-3-319-24574-4_28
    """

    ndims: ClassVar[tuple[int, ...]] = (2,)

    features: tuple[int, ...] = _WIDTHS
    padding: Padding = "valid"
    dropout: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is a share in [0, 1), got {self.dropout}")

    @classmethod
    def small(cls) -> dict[str, Any]:
        """Fields for an eighth of the width."""
        return {"features": tuple(width // 8 for width in _WIDTHS)}

    def build(self, channels: int, classes: int) -> nn.Module:
        """Make the network, with weights drawn as in the paper."""

        def level(*widths: int) -> nn.Sequential:
            return convolutions(nn.Conv2d, widths, self.padding, _rectified)

        encoder = [level(a, b, b) for a, b in pairwise((channels, *self.features))]
        for block in encoder[-2:]:
            block.append(nn.Dropout(self.dropout))
        below = [*pairwise(reversed(self.features))]
        up = (nn.Sequential(nn.ConvTranspose2d(a, b, 2, 2), *_rectified(b)) for a, b in below)
        decoder = (level(2 * b, b, b) for _, b in below)
        head = nn.Conv2d(self.features[0], classes, 1)
        return CroppingUNet(self, encoder, up, decoder, head)


def _rectified(_: int) -> Iterable[nn.Module]:
    return (nn.ReLU(inplace=True),)
