"""Architectures, one to a file; `NETWORKS` lists them.

A network is a frozen config: `config.build(channels, classes)` gives the `nn.Module`.
`NetworkConfig` says what the two promise.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from medseg.networks.config import NetworkConfig
from medseg.registry import Registry, build

if TYPE_CHECKING:
    from medseg.networks.topology import Topology


NETWORKS: Registry[Any] = Registry(
    "network",
    {
        "unet": ("medseg.networks.unet:UNet", "U-Net in 2D or 3D, of any depth and width"),
        "residual-unet": (
            "medseg.networks.residual_unet:ResidualUNet",
            "U-Net with an encoder of residual blocks, as nnU-Net's ResEnc",
        ),
        "unet-2015": (
            "medseg.networks.unet_2015:UNet2015",
            "the first U-Net, 2D: valid convolutions, dropout, no normalisation",
        ),
        "unet-3d": (
            "medseg.networks.unet_3d:UNet3D",
            "the first U-Net in 3D: valid convolutions, batch normalisation",
        ),
        "vnet": (
            "medseg.networks.vnet:VNet",
            "3D: residual stages of convolutions of 5, no normalisation",
        ),
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
        If there is no such network, it has no such field, or not as many axes.
    """
    family, _, member = name.partition(":")
    config: type[NetworkConfig] = NETWORKS.pick(family)
    if topology.ndim not in config.ndims:
        axes = " or ".join(map(str, config.ndims))
        raise ValueError(
            f"network {name} takes {axes} axes, got a patch of {topology.ndim}; choose another "
            "network, or a patch with 1 along the axes that it does not take"
        )
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


__all__ = ["NETWORKS", "NetworkConfig", "network_from_json", "network_to_json", "plan_network"]
