"""The weights of nnU-Net's networks under the names, and on the axes, of medseg's."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from torch import Tensor

# A convolution stands before its normalisation, in nnU-Net by name and here by number.
_PLACE = {"conv": 0, "norm": 1}
_RULES: tuple[tuple[str, Callable[..., str]], ...] = (
    (
        r"encoder\.stages\.(\d+)\.0\.convs\.(\d+)\.(conv|norm)",
        lambda level, k, part: f"encoder.{level}.{2 * int(k) + _PLACE[part]}",
    ),
    (r"encoder\.stem\.convs\.0\.(conv|norm)", lambda part: f"encoder.0.0.{_PLACE[part]}"),
    (
        r"encoder\.stages\.(\d+)\.blocks\.(\d+)\.conv([12])\.(conv|norm)",
        lambda level, block, k, part: (
            f"{_blocks(level)}.{block}.{('first', 'second')[int(k) - 1]}.{_PLACE[part]}"
        ),
    ),
    (
        r"encoder\.stages\.(\d+)\.blocks\.(\d+)\.skip\.([01])\.(conv|norm)",
        lambda level, block, k, part: f"{_blocks(level)}.{block}.past.{int(k) + _PLACE[part]}",
    ),
    (
        r"decoder\.stages\.(\d+)\.convs\.(\d+)\.(conv|norm)",
        lambda level, k, part: f"decoder.{level}.{2 * int(k) + _PLACE[part]}",
    ),
    (r"decoder\.transpconvs\.(\d+)", lambda level: f"up.{level}"),
)
# The same tensors once more, and biases that the normalisation behind them takes away.
_TWICE = re.compile(r"decoder\.encoder\.|.*\.all_modules\.")
_VOID = re.compile(r".*\.conv\.bias")
_HEAD = re.compile(r"decoder\.seg_layers\.(\d+)")


def renamed(weights: Mapping[str, Tensor], order: Sequence[int]) -> dict[str, Tensor]:
    """Weights of a `UNet` or a `ResidualUNet`.

    Parameters
    ----------
    weights : mapping of str to Tensor
        Of nnU-Net's PlainConvUNet or ResidualEncoderUNet.
    order : sequence of int
        For each axis of the result, that of the tensors which it was.

    Raises
    ------
    ValueError
        If there are others among them.
    """
    finest = max((int(head[1]) for name in weights if (head := _HEAD.match(name))), default=0)
    found = {}
    for name, tensor in weights.items():
        if _TWICE.match(name) or _VOID.fullmatch(name):
            continue
        module, _, kind = name.rpartition(".")
        if head := _HEAD.fullmatch(module):
            if int(head[1]) == finest:
                found[f"heads.0.{kind}"] = _turned(tensor, order)
            continue
        found[f"{_name_of(module)}.{kind}"] = _turned(tensor, order)
    return found


def _name_of(module: str) -> str:
    for pattern, name in _RULES:
        if match := re.fullmatch(pattern, module):
            return name(*match.groups())
    raise ValueError(f"{module} is no part of nnU-Net's plain or residual-encoder U-Net")


def _blocks(level: str) -> str:
    """Where the blocks of a level are; the first level has the stem before them."""
    return "encoder.0.1" if int(level) == 0 else f"encoder.{level}"


def _turned(tensor: Tensor, order: Sequence[int]) -> Tensor:
    """Kernels (outputs, inputs, ...) with their axes in another order."""
    if tensor.ndim < 3:
        return tensor
    return tensor.permute(0, 1, *(axis + 2 for axis in order)).contiguous()
