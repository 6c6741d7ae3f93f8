"""What a plan, a training and a tiler know of a network before it is built."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

if TYPE_CHECKING:
    from torch import nn

    from medseg.networks.topology import Topology


class NetworkConfig(Protocol):
    """A frozen config that builds its network; every config is a subclass.

    The module takes (B, channels, ...) of any size and gives logits (B, classes, ...) that are
    smaller by `margin` at both ends of each axis; in training mode it may give a list of them,
    finest first, for deep supervision.

    All that a new network says of itself has a default here but `ndim`, `multiple`, `planned`
    and `build`. The contract tests take every name in `NETWORKS`, plan it for each of `ndims`
    with the fields that `small` gives, and run it at its `smallest` size and at odd ones.
    """

    ndims: ClassVar[tuple[int, ...]] = (2, 3)
    """Numbers of spatial axes for which there is such a network."""

    @classmethod
    @abstractmethod
    def planned(cls, topology: Topology, member: str, /) -> dict[str, Any]:
        """Fields that fit a topology.

        `member` is what stands behind the colon of a name such as monai:SegResNet, or empty.
        """

    @classmethod
    def small(cls) -> dict[str, Any]:
        """Fields for an eighth of the width, where a narrow topology does not say it already.

        What they leave out is as in the full network. Tests and quick trials build this one.
        """
        return {}

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
    def smallest(self) -> tuple[int, ...]:
        """Smallest of such sizes. Smaller logits come all the same, from a padded input."""
        return tuple(r or m for r, m in zip(self.remainder, self.multiple, strict=True))

    @property
    def margin(self) -> tuple[int, ...]:
        """Voxels at each end of an axis that the network sees and gives no logits for."""
        return (0,) * self.ndim

    @property
    def period(self) -> tuple[int, ...]:
        """Of a network with a margin: logits of tiles agree if these start on multiples of it."""
        return self.multiple

    @property
    def rim(self) -> tuple[int, ...]:
        """Logits at each end of an axis for which that is not so; inference leaves them out."""
        return (0,) * self.ndim

    @property
    def segment(self) -> tuple[int, ...] | None:
        """Patch of a plan that does not name one; None for as much as fits the budget."""
        return None

    def tile(self, patch: tuple[int, ...]) -> tuple[int, ...]:
        """Logits that inference asks for at once from a network with a margin."""
        return patch

    def fitted(self, size: tuple[int, ...]) -> tuple[int, ...]:
        """Smallest sizes of logits that need no padding and are not smaller than these."""
        sides = zip(size, self.smallest, self.multiple, strict=True)
        return tuple(low + max(-(-(n - low) // m), 0) * m for n, low, m in sides)

    @abstractmethod
    def build(self, channels: int, classes: int) -> nn.Module:
        """Make the network, with random weights."""
