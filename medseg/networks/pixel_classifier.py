"""The classifier of the pixel in the middle of a window, and the same for all pixels at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn
from torch.nn import functional

from medseg.networks.config import NetworkConfig
from medseg.networks.layout import lay_out
from medseg.networks.topology import Topology

WINDOW = 95
"""Side of the window, whose middle pixel is classified."""

_KERNELS = (4, 5, 4, 4)  # of the convolutions; a pooling of 2 follows on each
_LEFT = 3  # side of what the last pooling leaves of a window
_WIDEST = 4096


@dataclass(frozen=True)
class PixelClassifier(NetworkConfig):
    """Four convolutions and poolings, a hidden layer, and the class of the window's middle.

    It is the network N4 that won the challenge of segmenting membranes under the electron
    microscope in 2012. Its module does it at once for all windows of an image: it computes what
    neighbouring windows have in common only once, with the same weights and the same answers as
    `windows`, which does it for one window after the other. The rectifiers are ours; the
    paper's foveal blur and its sampling off the grid are not done here.

    Parameters
    ----------
    width : int
        Maps of each convolution.
    hidden : int
        Features of the dense layer.

    References
    ----------
    D. C. Ciresan, A. Giusti, L. M. Gambardella, J. Schmidhuber, "Deep neural networks segment
    neuronal membranes in electron microscopy images", NIPS 2012;
    A. Giusti et al., "Fast image scanning with deep max-pooling convolutional neural networks",
    ICIP 2013. doi:10.1109/ICIP.2013.6738831
    """

    width: int = 48
    hidden: int = 200

    ndims: ClassVar[tuple[int, ...]] = (2,)

    def __post_init__(self) -> None:
        if not (1 <= self.width <= _WIDEST and 1 <= self.hidden <= _WIDEST):
            raise ValueError(
                f"a pixel classifier has from 1 to {_WIDEST} maps and hidden features, got width="
                f"{self.width} and hidden={self.hidden}"
            )

    @classmethod
    def planned(cls, topology: Topology, _: str, /) -> dict[str, Any]:
        """Nothing: it is the same for all images."""
        return {}

    @classmethod
    def small(cls) -> dict[str, Any]:
        """An eighth of the width."""
        return {"width": 6, "hidden": 25}

    @property
    def ndim(self) -> int:
        """Always 2."""
        return 2

    @property
    def multiple(self) -> tuple[int, ...]:
        """Any size: there is a window around each pixel."""
        return 1, 1

    @property
    def margin(self) -> tuple[int, ...]:
        """Pixels of a window on each side of its middle."""
        return WINDOW // 2, WINDOW // 2

    def build(self, channels: int, classes: int) -> nn.Module:
        """Make the network, with He's weights."""
        return PixelClassifierModule(self, channels, classes)


class PixelClassifierModule(nn.Module):
    """Gives the answers for all windows of an image, and for windows that are given."""

    def __init__(self, config: PixelClassifier, channels: int, classes: int) -> None:
        super().__init__()
        inputs = (channels, *(config.width,) * (len(_KERNELS) - 1))
        self.convolutions = nn.ModuleList(
            nn.Conv2d(maps, config.width, kernel)
            for maps, kernel in zip(inputs, _KERNELS, strict=True)
        )
        self.hidden = nn.Linear(config.width * _LEFT**2, config.hidden)
        self.head = nn.Linear(config.hidden, classes)
        self.apply(_initialise)
        lay_out(self)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, channels, n) to logits (B, classes, n - 94): a window around each pixel.

        Poolings without stride keep what all windows need, 2 apart after one of them, 4 after
        two; so all that follows reaches as many times as far. Dense layers are convolutions.
        """
        step = 1
        for convolution in self.convolutions:
            weight, bias = convolution.parameters()
            x = functional.conv2d(x, weight, bias, dilation=step)
            x = functional.relu(functional.max_pool2d(x, 2, stride=1, dilation=step), inplace=True)
            step *= 2
        kernel = self.hidden.weight.reshape(len(self.hidden.weight), -1, _LEFT, _LEFT)
        x = functional.relu(functional.conv2d(x, kernel, self.hidden.bias, dilation=step))
        return functional.conv2d(x, self.head.weight[..., None, None], self.head.bias)

    def windows(self, x: Tensor) -> Tensor:
        """Map windows (B, channels, 95, 95) to the logits (B, classes) of their middles."""
        if x.shape[2:] != (WINDOW, WINDOW):
            raise ValueError(
                f"a pixel classifier takes windows of {WINDOW} x {WINDOW} pixels, got "
                f"{tuple(x.shape[2:])}; call the module itself for an image"
            )
        for convolution in self.convolutions:
            x = functional.relu(functional.max_pool2d(convolution(x), 2), inplace=True)
        hidden = functional.relu(self.hidden(x.flatten(1)))
        logits: Tensor = self.head(hidden)
        return logits


def _initialise(module: nn.Module) -> None:
    """Draw weights that keep the variance through rectifiers; biases are 0."""
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        assert module.bias is not None
        nn.init.zeros_(module.bias)
