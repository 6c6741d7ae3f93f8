"""Architectures, one to a file; `NETWORKS` lists them.

A network is a frozen config: `config.build(channels, classes)` gives the `nn.Module`. The
module takes (B, channels, ...) of any size and gives logits (B, classes, ...) of the same
size; in training mode it may give a list of them, finest first, for deep supervision.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from medseg.registry import Registry, build

if TYPE_CHECKING:
    from torch import nn

    from medseg.networks.topology import Topology


class NetworkConfig(Protocol):
    """What a plan knows of its network."""

    @property
    def ndim(self) -> int:
        """Number of spatial axes that the network takes."""
        ...

    @property
    def multiple(self) -> tuple[int, ...]:
        """Sizes that need no padding inside the network are multiples of these."""
        ...

    def build(self, channels: int, classes: int) -> nn.Module:
        """Make the network, with random weights."""
        ...


NETWORKS: Registry[Any] = Registry(
    "network",
    {
        "unet": ("medseg.networks.unet:UNet", "U-Net in 2D or 3D, of any depth and width"),
        "monai": (
            "medseg.networks.from_monai:MonaiNetwork",
            "monai:NAME is any network of MONAI: monai:SegResNet, monai:DynUNet, ...",
        ),
    },
)


def plan_network(name: str, topology: Topology, settings: Mapping[str, Any]) -> NetworkConfig:
    """Config of the network called `name` for a topology; `settings` override its fields.

    Raises
    ------
    ValueError
        If there is no such network, or it has no such field.
    """
    family, _, member = name.partition(":")
    config = NETWORKS.pick(family)
    planned: dict[str, Any] = config.planned(topology, member)
    network: NetworkConfig = build(config, {**planned, **settings}, f"network {name}")
    return network


def network_to_json(network: NetworkConfig) -> dict[str, Any]:
    """Fields of a config, and the name under which it is found again."""
    return NETWORKS.to_json(network)


def network_from_json(content: Mapping[str, Any]) -> NetworkConfig:
    """Config from what `network_to_json` gave."""
    network: NetworkConfig = NETWORKS.from_json(content)
    return network
