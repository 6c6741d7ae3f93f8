"""What a plan, a training and a tiler know of a network before it is built."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import nn


class NetworkConfig(Protocol):
    """A frozen config that builds its network.

    The module takes (B, channels, ...) of any size and gives logits (B, classes, ...) that are
    smaller by `margin` at both ends of each axis; in training mode it may give a list of them,
    finest first, for deep supervision.
    """

    @property
    @abstractmethod
    def ndim(self) -> int:
        """Number of spatial axes that the network takes."""

    @property
    @abstractmethod
    def multiple(self) -> tuple[int, ...]:
        """Logits of these sizes, and their multiples, need no padding inside the network."""

    @property
    def remainder(self) -> tuple[int, ...]:
        """What such sizes leave over when divided by `multiple`."""
        return (0,) * self.ndim

    @property
    def margin(self) -> tuple[int, ...]:
        """Voxels at each end of an axis that the network sees and gives no logits for."""
        return (0,) * self.ndim

    @abstractmethod
    def build(self, channels: int, classes: int) -> nn.Module:
        """Make the network, with random weights."""
