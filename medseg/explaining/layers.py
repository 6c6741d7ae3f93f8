"""The layers of a network, as they are run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

_CONVOLUTIONS = (nn.Conv2d, nn.Conv3d)


@dataclass(frozen=True)
class Layer:
    """A module of a network, and what it gives.

    Parameters
    ----------
    name : str
        As in `named_modules`.
    kind : str
        Its class.
    features : int
    size : tuple of int
        Voxels.
    """

    name: str
    kind: str
    features: int
    size: tuple[int, ...]


def layers_of(network: nn.Module, run: Callable[[], Any], ndim: int) -> tuple[Layer, ...]:
    """Layers that `run` runs once and that give maps of `ndim` axes, in the order they end."""
    ended: list[Layer] = []

    def note(name: str, module: nn.Module, _: object, output: object) -> None:
        if isinstance(output, Tensor) and output.ndim == ndim + 2:
            size = tuple(output.shape[2:])
            ended.append(Layer(name, type(module).__name__, output.shape[1], size))

    hooks = [
        module.register_forward_hook(partial(note, name))
        for name, module in network.named_modules()
        if name
    ]
    try:
        with torch.no_grad():
            run()
    finally:
        for hook in hooks:
            hook.remove()
    times = Counter(layer.name for layer in ended)
    return tuple(layer for layer in ended if times[layer.name] == 1)


def telling_layers(layers: tuple[Layer, ...]) -> tuple[str, ...]:
    """The coarsest layer, and the one before the last convolution."""
    if not layers:
        return ()
    fewest = min(prod(layer.size) for layer in layers)
    coarsest = [layer.name for layer in layers if prod(layer.size) == fewest][-1]
    ends = [k for k, layer in enumerate(layers) if layer.kind in ("Conv2d", "Conv3d")]
    last = [layers[ends[-1] - 1].name] if ends and ends[-1] else []
    return tuple(dict.fromkeys([coarsest, *last]))


def first_convolutions(network: nn.Module, run: Callable[[], Any]) -> dict[str, Tensor]:
    """Kernels (features, channels, ...) of the convolutions that see the image itself.

    `run` runs the network on something that requires a gradient.
    """
    first: dict[str, Tensor] = {}

    def look(name: str, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if inputs[0].requires_grad and not _convolved(inputs[0]):
            assert isinstance(module, _CONVOLUTIONS)
            first.setdefault(name, module.weight.detach())

    hooks = [
        module.register_forward_pre_hook(partial(look, name))
        for name, module in network.named_modules()
        if isinstance(module, _CONVOLUTIONS)
    ]
    try:
        run()
    finally:
        for hook in hooks:
            hook.remove()
    return first


def _convolved(x: Tensor) -> bool:
    """Whether there is a convolution in the history of a tensor."""
    todo, known = [x.grad_fn], set()
    while todo:
        node = todo.pop()
        if node is None or node in known:
            continue
        if "Convolution" in node.name():
            return True
        known.add(node)
        todo += [before for before, _ in node.next_functions]
    return False
