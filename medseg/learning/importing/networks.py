"""The architectures of nnU-Net's plans as configs of medseg."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from medseg.networks import NetworkConfig
from medseg.networks.normalisation import EPSILON, SLOPE
from medseg.networks.residual_unet import ResidualUNet
from medseg.networks.unet import UNet

_PLAIN, _RESIDUAL = "PlainConvUNet", "ResidualEncoderUNet"
_SHAPE = {"n_stages", "features_per_stage", "kernel_sizes", "strides", "n_conv_per_stage_decoder"}
# What all of medseg's U-Nets have; biases before a normalisation make no difference.
_FIXED = {"conv_op", "conv_bias", "norm_op", "norm_op_kwargs", "nonlin", "nonlin_kwargs"}
_NONE = {"dropout_op", "dropout_op_kwargs", "deep_supervision"}
_DEPTH = {_PLAIN: "n_conv_per_stage", _RESIDUAL: "n_blocks_per_stage"}

Turned = Callable[[Sequence[int]], tuple[int, ...]]


def network_of(settings: Mapping[str, Any], turned: Turned) -> NetworkConfig:
    """Config of the network of a configuration.

    Parameters
    ----------
    settings : mapping
        A configuration of plans.json.
    turned : function
        Brings what there is for each axis in the order of the volume.

    Raises
    ------
    ValueError
        If medseg has no such network.
    """
    name, given = _architecture(settings)
    if name not in _DEPTH:
        raise ValueError(f"its network is {name}; medseg has {' and '.join(_DEPTH)}")
    if odd := given.keys() - _SHAPE - _FIXED - _NONE - {_DEPTH[name]}:
        raise ValueError(f"its {name} has settings that medseg's has not: {', '.join(sorted(odd))}")
    _require_layers(given)
    levels = len(given["features_per_stage"])
    shape: dict[str, Any] = {
        "ndim": len(settings["patch_size"]),
        "features": tuple(given["features_per_stage"]),
        "kernels": _per_level(given["kernel_sizes"], turned, levels),
        "strides": _per_level(given["strides"], turned, levels),
    }
    up = set(_listed(given["n_conv_per_stage_decoder"], levels - 1))
    down = _listed(given[_DEPTH[name]], levels)
    if name == _RESIDUAL:
        if up != {1}:
            raise ValueError(f"its decoder has {up} convolutions a level, medseg's has 1")
        return ResidualUNet(**shape, blocks=down)
    if len(up | set(down)) > 1:
        raise ValueError(
            f"its levels have {sorted(up | set(down))} convolutions; medseg's have all as many"
        )
    return UNet(**shape, convolutions=down[0])


def _architecture(settings: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Name of a network and its settings; until nnU-Net 2.4, they stood among all others."""
    if "architecture" in settings:
        architecture = settings["architecture"]
        return architecture["network_class_name"].split(".")[-1], dict(architecture["arch_kwargs"])
    name = settings["UNet_class_name"]
    depth = settings["n_conv_per_stage_encoder"]
    base, most = settings["UNet_base_num_features"], settings["unet_max_num_features"]
    return name, {
        "features_per_stage": [min(base * 2**level, most) for level in range(len(depth))],
        "kernel_sizes": settings["conv_kernel_sizes"],
        "strides": settings["pool_op_kernel_sizes"],
        _DEPTH.get(name, "depth"): depth,
        "n_conv_per_stage_decoder": settings["n_conv_per_stage_decoder"],
    }


def _require_layers(given: Mapping[str, Any]) -> None:
    """Raise ValueError unless convolutions are followed by what medseg's are followed by."""
    normalised = given.get("norm_op", "InstanceNorm"), given.get("nonlin", "LeakyReLU")
    options = given.get("norm_op_kwargs", {"eps": EPSILON, "affine": True})
    slope = (given.get("nonlin_kwargs") or {}).get("negative_slope", SLOPE)
    usual = "InstanceNorm" in str(normalised[0]) and str(normalised[1]).endswith("LeakyReLU")
    if not usual or options != {"eps": EPSILON, "affine": True} or slope != SLOPE:
        raise ValueError(
            f"its convolutions are followed by {normalised[0]} {options} and {normalised[1]} of "
            f"slope {slope}; medseg's by InstanceNorm of eps {EPSILON} and LeakyReLU of {SLOPE}"
        )
    if present := [name for name in sorted(_NONE) if given.get(name)]:
        raise ValueError(f"its network has {' and '.join(present)}, medseg's has none")


def _per_level(given: Any, turned: Turned, levels: int) -> tuple[tuple[int, ...], ...]:
    return tuple(
        turned(level) if isinstance(level, list | tuple) else level
        for level in _listed(given, levels)
    )


def _listed(given: Any, count: int) -> tuple[Any, ...]:
    """One entry a level; a single number stands for all."""
    return (given,) * count if isinstance(given, int) else tuple(given)
