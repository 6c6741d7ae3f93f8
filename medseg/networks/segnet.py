"""SegNet: VGG16's convolutions, and as many back through unpooling at the stored positions."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from medseg.networks.layout import lay_out
from medseg.networks.padding import at_least, cropped
from medseg.networks.vgg import (
    VGGNetwork,
    ascend,
    descend,
    initialise,
    mirrored_stages,
    vgg_stages,
)


@dataclass(frozen=True)
class SegNet(VGGNetwork):
    """Pool five times and remember where the maxima were; put them back there on the way up.

    Batch normalisation and a rectifier follow on every convolution but the last.

    Parameters
    ----------
    width : int
        Features of VGG16's first stage, 64 as published; all others are multiples of it.

    References
    ----------
    V. Badrinarayanan, A. Kendall, R. Cipolla, "SegNet: a deep convolutional encoder-decoder
    architecture for image segmentation", IEEE TPAMI, 2017. doi:10.1109/TPAMI.2016.2644615
    """

    def build(self, channels: int, classes: int) -> nn.Module:
        """Make the network, with He's weights."""
        return _SegNetModule(self, channels, classes)


class _SegNetModule(nn.Module):
    def __init__(self, config: SegNet, channels: int, classes: int) -> None:
        super().__init__()
        self.smallest = config.smallest
        self.stages = vgg_stages(channels, config.width, norm=True)
        self.decoder = mirrored_stages(config.width, nn.Conv2d)
        # The last convolution of the finest stage gives the classes, and nothing follows on it.
        self.decoder[-1] = nn.Sequential(*[*self.decoder[-1].children()][:3])
        self.head = nn.Conv2d(config.width, classes, 3, padding=1)
        self.apply(initialise)
        lay_out(self)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, channels, ...) to logits (B, classes, ...)."""
        size = tuple(x.shape[2:])
        coarsest, stored = descend(self.stages, at_least(x, self.smallest))
        return cropped(self.head(ascend(self.decoder, coarsest, stored)), size)
