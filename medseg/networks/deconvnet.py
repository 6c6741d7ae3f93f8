"""DeconvNet: VGG16 down to a single vector, and its mirror image back to the pixels."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional

from medseg.networks.layout import lay_out
from medseg.networks.padding import at_least, cropped
from medseg.networks.vgg import (
    VGGNetwork,
    ascend,
    descend,
    initialise,
    mirrored_stages,
    stage_widths,
    vgg_stages,
)

# The first dense layer sees so many voxels of the fifth pooling along each axis.
_DENSE = 7


@dataclass(frozen=True)
class DeconvNet(VGGNetwork):
    """Unpool at the stored positions, and let transposed convolutions fill in the rest.

    An image of 224 x 224 is 7 x 7 after five poolings and 1 x 1 in the dense layers; of larger
    ones, these are convolutions. Batch normalisation and a rectifier follow on every layer but
    the last.

    Parameters
    ----------
    width : int
        Features of VGG16's first stage, 64 as published; all others are multiples of it.

    References
    ----------
    H. Noh, S. Hong, B. Han, "Learning deconvolution network for semantic segmentation",
    ICCV 2015. doi:10.1109/ICCV.2015.178
    """

    @property
    def smallest(self) -> tuple[int, ...]:
        """Size of the image of which the dense layers make a single vector."""
        return tuple(_DENSE * m for m in self.multiple)

    def build(self, channels: int, classes: int) -> nn.Module:
        """Make the network, with He's weights."""
        return _DeconvNetModule(self, channels, classes)


class _DeconvNetModule(nn.Module):
    def __init__(self, config: DeconvNet, channels: int, classes: int) -> None:
        super().__init__()
        coarsest, dense = stage_widths(config.width)[-1], config.dense
        self.smallest, self.stride = config.smallest, config.multiple[-1]
        self.stages = vgg_stages(channels, config.width, norm=True)
        self.fc6 = nn.Conv2d(coarsest, dense, _DENSE)
        self.fc6_norm = nn.BatchNorm2d(dense)
        self.fc7 = nn.Conv2d(dense, dense, 1)
        self.fc7_norm = nn.BatchNorm2d(dense)
        self.up = nn.ConvTranspose2d(dense, coarsest, _DENSE)
        self.up_norm = nn.BatchNorm2d(coarsest)
        self.decoder = mirrored_stages(config.width, nn.ConvTranspose2d)
        self.head = nn.Conv2d(config.width, classes, 1)
        self.apply(initialise)
        lay_out(self)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, channels, ...) to logits (B, classes, ...)."""
        size = tuple(x.shape[2:])
        x, stored = descend(self.stages, at_least(x, self._least(len(x))))
        x = functional.relu(self.fc6_norm(self.fc6(x)), inplace=True)
        x = functional.relu(self.fc7_norm(self.fc7(x)), inplace=True)
        x = functional.relu(self.up_norm(self.up(x)), inplace=True)
        return cropped(self.head(ascend(self.decoder, x, stored)), size)

    def _least(self, samples: int) -> tuple[int, ...]:
        """Size to which a batch is padded: of a single vector, no norm can take a variance."""
        rows, columns = self.smallest
        return rows, columns + self.stride * (self.training and samples == 1)
