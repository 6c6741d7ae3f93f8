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
        "pixel-classifier": (
            "medseg.networks.pixel_classifier:PixelClassifier",
            "2D: the class of the middle of a window of 95, for all pixels at once",
        ),
        "fcn-32s": (
            "medseg.networks.fcn:FCN32s",
            "2D: VGG16 at stride 32, interpolated to the image",
        ),
        "fcn-16s": (
            "medseg.networks.fcn:FCN16s",
            "2D: the same, with the scores of a finer stage added",
        ),
        "fcn-8s": (
            "medseg.networks.fcn:FCN8s",
            "2D: the same, with the scores of two finer stages added",
        ),
        "segnet": (
            "medseg.networks.segnet:SegNet",
            "2D: VGG16 down and back up, maxima put back where they were",
        ),
        "deconvnet": (
            "medseg.networks.deconvnet:DeconvNet",
            "2D: VGG16 down to a vector, and its mirror image back up",
        ),
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
        "deepmedic": (
            "medseg.networks.deepmedic:DeepMedic",
            "3D: paths of full, a third and a fifth of the resolution, residual",
        ),
        "deepmedic-original": (
            "medseg.networks.deepmedic:DeepMedicOriginal",
            "two paths, as in the article of 2017",
        ),
        "deepmedic-residual": (
            "medseg.networks.deepmedic:DeepMedicResidual",
            "two paths, residual",
        ),
        "deepmedic-wide": (
            "medseg.networks.deepmedic:DeepMedicWide",
            "three paths of up to 100 features, residual",
        ),
        "deepmedic-tiny": (
            "medseg.networks.deepmedic:DeepMedicTiny",
            "two paths of three layers, to try things on",
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
