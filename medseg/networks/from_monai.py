"""Any network of MONAI."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from inspect import signature
from typing import Any

from torch import nn

from medseg.networks.config import NetworkConfig
from medseg.networks.padding import Padded
from medseg.networks.topology import Topology
from medseg.registry import build, pick

# Of any parameter: no width or depth is larger, and a file may say anything.
_LARGEST = 2**14


@dataclass(frozen=True)
class MonaiNetwork(NetworkConfig):
    """A network of `monai.networks.nets`.

    Parameters
    ----------
    network : str
        Name of its class: SegResNet, DynUNet, UNETR, ...
    ndim : int
        2 or 3.
    multiple : tuple of int
        Its input is padded to multiples of these, along each axis.
    parameters : mapping
        Keyword arguments of the class, beside its dimension, channels and classes.

    References
    ----------
    M. J. Cardoso et al., "MONAI: an open-source framework for deep learning in healthcare",
    2022, arXiv:2211.02701
    """

    network: str
    ndim: int = 3
    multiple: tuple[int, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.ndim not in (2, 3):
            raise ValueError(f"a network has 2 or 3 axes, got ndim={self.ndim}")
        multiple = tuple(int(n) for n in self.multiple) or (16,) * self.ndim
        if len(multiple) != self.ndim or min(multiple) < 1:
            raise ValueError(
                f"multiple has {self.ndim} positive numbers, one an axis, got {multiple}"
            )
        object.__setattr__(self, "multiple", multiple)
        if any(n > _LARGEST for n in _numbers(self.parameters)):
            raise ValueError(f"parameters are numbers up to {_LARGEST}, got {self.parameters}")
        # Tuples, though JSON has lists, so that a config read from a file equals its original.
        object.__setattr__(self, "parameters", {k: _fixed(v) for k, v in self.parameters.items()})

    @classmethod
    def planned(cls, topology: Topology, network: str, /) -> dict[str, Any]:
        """Fields that fit a topology, where the class takes such a thing."""
        strides, kernels = topology.strides, topology.kernels
        parameters: dict[str, Any] = {}
        if network == "DynUNet":
            parameters = {
                "kernel_size": kernels,
                "strides": strides,
                "upsample_kernel_size": strides[1:],
                "filters": topology.features,
            }
        elif "strides" in signature(_find(network)).parameters:
            parameters = {"channels": topology.features, "strides": strides[1:]}
        multiple = topology.multiple if parameters else (16,) * topology.ndim
        return {
            "network": network,
            "ndim": topology.ndim,
            "multiple": multiple,
            "parameters": parameters,
        }

    def build(self, channels: int, classes: int) -> nn.Module:
        """Make the network, with MONAI's random weights."""
        make = _find(self.network)
        known = signature(make).parameters
        basics = {"spatial_dims": self.ndim, "in_channels": channels, "out_channels": classes}
        given = {name: value for name, value in basics.items() if name in known}
        module: nn.Module = build(make, {**given, **self.parameters}, f"monai:{self.network}")
        return Padded(module, self.multiple)


def _find(name: str) -> Any:
    import monai.networks.nets as nets  # takes seconds

    classes = {
        key: value
        for key, value in vars(nets).items()
        if isinstance(value, type) and issubclass(value, nn.Module)
    }
    return pick(classes, name, "network of MONAI")


def _numbers(value: Any) -> Iterator[float]:
    """All numbers in a nest of mappings and lists."""
    if isinstance(value, Mapping | list | tuple):
        for part in value.values() if isinstance(value, Mapping) else value:
            yield from _numbers(part)
    elif isinstance(value, int | float):
        yield value


def _fixed(value: Any) -> Any:
    return tuple(map(_fixed, value)) if isinstance(value, list | tuple) else value
