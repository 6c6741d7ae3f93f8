"""Which voxels of its input each voxel of a network's output depends on.

The network is run on voxels that hold, instead of intensities, the first or the last position
along an axis on which they depend. What weighs voxels takes the maximum over the same voxels,
and what pads with 0 pads with nothing: so the answer is exact, from a single pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

_NOTHING = -torch.inf
_MAX_POOL: dict[int, Any] = {2: functional.max_pool2d, 3: functional.max_pool3d}


def seen(
    module: nn.Module, size: tuple[int, ...], axis: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First and last position along an axis on which each position of the output depends.

    Parameters
    ----------
    module : module
        Maps (B, 1, ...) to (B, features, ...). Its weights may be on the meta device: they are
        never read.
    size : tuple of int
        Of the input.
    axis : int

    Raises
    ------
    ValueError
        If it computes in a way that is not known here, such as attention.
    """
    along = torch.arange(size[axis], dtype=torch.float64)
    # The maximum over positions is the last one, and over negative positions the first.
    ends = torch.stack([-along, along])  # (2, n)
    ends = ends.reshape(2, 1, *(-1 if k == axis else 1 for k in range(len(size))))
    with torch.no_grad():
        output = module(ends.expand(2, 1, *size).as_subclass(_Positions))
    others = [1, *(k + 2 for k in range(len(size)) if k != axis)]
    first, last = _plain(output).amax(others).to(torch.int64).numpy()
    return -first, last


class _Positions(Tensor):
    """(2, C, ...): negative first and last position. All channels are taken to be alike."""

    @classmethod
    def __torch_function__(
        cls,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Do with positions what corresponds to what torch does with intensities."""
        name, kwargs = func.__name__, kwargs or {}
        with torch._C.DisableTorchFunctionSubclass():
            if name == "__get__" or name in _FACTS:
                return func(*args, **kwargs)
            if name in _VOXELWISE:
                return _voxelwise(args, kwargs)
            if name in _MOVES:
                return _marked(func(*args, **kwargs))
            if name in _KNOWN:
                return _KNOWN[name](*args, **kwargs)
        raise ValueError(f"what a voxel sees is not known where a network uses {name} of torch")


# What is asked of a tensor, and does not depend on its values.
_FACTS = {"size", "dim", "numel", "stride", "is_floating_point", "is_contiguous", "__len__"}

# What moves voxels about as they are.
_MOVES = {
    *("__getitem__", "narrow", "select", "chunk", "split", "unbind", "flip", "roll"),
    *("permute", "transpose", "movedim", "squeeze", "unsqueeze", "reshape", "view", "flatten"),
    *("expand", "repeat", "repeat_interleave", "contiguous", "clone", "detach"),
    *("to", "float", "double"),
}

# What computes each voxel from the same voxel of one or several tensors. That the mean and
# variance of a normalisation depend on all voxels is left out on purpose.
_VOXELWISE = {
    *("add", "sub", "mul", "div", "true_divide", "maximum", "__add__", "__radd__"),
    *("__sub__", "__rsub__", "__mul__", "__rmul__", "__truediv__", "neg", "sqrt", "rsqrt"),
    *("relu", "relu_", "leaky_relu", "leaky_relu_", "prelu", "elu", "gelu", "silu", "mish"),
    *("sigmoid", "tanh", "clamp"),
    *("dropout", "dropout2d", "dropout3d", "feature_dropout"),
    *("batch_norm", "instance_norm", "group_norm"),
}


def _voxelwise(args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Positions:
    found = [_plain(value) for value in (*args, *kwargs.values()) if _is(value)]
    return _positions(_union(found))


def _voxelwise_in_place(x: Any, *others: Any, **named: Any) -> Any:
    return x.set_(_plain(_voxelwise((x, *others), named)))


def _convolution(  # noqa: PLR0913 - torch's own signature
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> _Positions:
    axes = x.ndim - 2
    kernel, dilations = weight.shape[2:], _each(dilation, axes)
    if padding == "same":
        total = [d * (k - 1) for d, k in zip(dilations, kernel, strict=True)]
        sides = [(n // 2, n - n // 2) for n in total]
    else:
        sides = [(p, p) for p in _each(0 if padding == "valid" else padding, axes)]
    x = _with_nothing(_one_channel(x), sides)
    return _of_channels(_in_windows(x, kernel, _each(stride, axes), dilations), len(weight))


def _transposed_convolution(  # noqa: PLR0913 - torch's own signature
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> _Positions:
    axes = x.ndim - 2
    strides, dilations = _each(stride, axes), _each(dilation, axes)
    kernel = weight.shape[2:]
    spread = x.new_full(
        (len(x), 1, *((n - 1) * s + 1 for n, s in zip(x.shape[2:], strides, strict=True))), _NOTHING
    )
    heads: tuple[Any, ...] = (..., *(slice(None, None, s) for s in strides))
    spread[heads] = _one_channel(x)
    ends = [d * (k - 1) for d, k in zip(dilations, kernel, strict=True)]
    more = zip(ends, _each(padding, axes), _each(output_padding, axes), strict=True)
    spread = _with_nothing(spread, [(end - p, end - p + extra) for end, p, extra in more])
    found = _in_windows(spread, kernel, (1,) * axes, dilations)
    return _of_channels(found, weight.shape[1] * groups)


def _max_pool(x: Tensor, *geometry: Any, **named: Any) -> _Positions:
    named.pop("return_indices", None)
    pooled = _MAX_POOL[x.ndim - 2](_one_channel(x), *geometry, **named)
    return _of_channels(pooled, x.shape[1])


def _max_pool_and_places(x: Tensor, *geometry: Any, **named: Any) -> tuple[_Positions, ...]:
    pooled = _max_pool(x, *geometry, **named)
    # Where the maximum is depends on the same voxels as how much it is.
    return pooled, pooled


def _average_pool(x: Tensor, *geometry: Any, **named: Any) -> _Positions:
    names = ("kernel_size", "stride", "padding", "ceil_mode")
    given = dict(zip(names, geometry, strict=False)) | named
    return _max_pool(x, **{name: given[name] for name in names if name in given})


def _max_unpooling(
    x: Tensor, indices: Tensor, kernel_size: Any, *, output_size: Any = None, **_: Any
) -> _Positions:
    """Anywhere in its block is where the maximum might have been."""
    blocks = _one_channel(_union([_plain(x), _plain(indices)]))
    for axis, width in enumerate(_each(kernel_size, x.ndim - 2), start=2):
        blocks = blocks.repeat_interleave(width, axis)
    size = output_size or blocks.shape[2:]
    more = [(0, n - have) for n, have in zip(size[2 - x.ndim :], blocks.shape[2:], strict=True)]
    return _of_channels(_with_nothing(blocks, more), x.shape[1])


def _pad(x: Tensor, pad: Any, mode: str = "constant", value: Any = None) -> _Positions:
    if mode == "constant":
        return _positions(functional.pad(_plain(x), list(pad), value=_NOTHING))
    return _positions(functional.pad(_plain(x), list(pad), mode=mode))


def _interpolate(
    x: Tensor, size: Any = None, scale_factor: Any = None, mode: str = "nearest", **rest: Any
) -> _Positions:
    one = _one_channel(x)
    if mode not in ("nearest", "bilinear", "trilinear") or rest.get("antialias"):
        raise ValueError(f"what a voxel sees is not known of interpolation by {mode}")
    if mode == "nearest":
        return _of_channels(functional.interpolate(one, size, scale_factor, mode), x.shape[1])
    scales = _each(scale_factor, x.ndim - 2)
    sizes = size or [int(n * s) for n, s in zip(x.shape[2:], scales, strict=True)]
    for axis, (length, n) in enumerate(zip(_each(sizes, x.ndim - 2), x.shape[2:], strict=True), 2):
        at = torch.arange(length, dtype=torch.float64)
        if rest.get("align_corners"):
            at = at * (n - 1) / max(length - 1, 1)
        else:
            at = ((at + 0.5) * n / length - 0.5).clamp(0, n - 1)
        one = torch.maximum(
            one.index_select(axis, at.floor().long()), one.index_select(axis, at.ceil().long())
        )
    return _of_channels(one, x.shape[1])


def _cat(tensors: Iterable[Tensor], dim: int = 0) -> _Positions:
    parts = [_plain(t) if _is(t) else torch.full_like(t, _NOTHING) for t in tensors]
    if dim % parts[0].ndim != 1:
        return _positions(torch.cat(parts, dim))
    return _of_channels(_union([_one_channel(p) for p in parts]), sum(p.shape[1] for p in parts))


def _set(x: Tensor, place: Any, value: Any) -> None:
    if not _is(x):
        raise ValueError("what a voxel sees is lost where a network writes into another tensor")
    _plain(x)[place] = _plain(value) if _is(value) else _NOTHING


def _empty(x: Tensor, *size: Any, **named: Any) -> _Positions:
    return _positions(_plain(x).new_zeros(*size, **named).fill_(_NOTHING))


_KNOWN: dict[str, Callable[..., Any]] = {
    **dict.fromkeys(("add_", "sub_", "mul_", "div_"), _voxelwise_in_place),
    **dict.fromkeys(("conv2d", "conv3d"), _convolution),
    **dict.fromkeys(("conv_transpose2d", "conv_transpose3d"), _transposed_convolution),
    **dict.fromkeys(("max_pool2d", "max_pool3d"), _max_pool),
    **dict.fromkeys(("max_pool2d_with_indices", "max_pool3d_with_indices"), _max_pool_and_places),
    **dict.fromkeys(("avg_pool2d", "avg_pool3d"), _average_pool),
    **dict.fromkeys(("max_unpool2d", "max_unpool3d"), _max_unpooling),
    **dict.fromkeys(("cat", "concat", "concatenate"), _cat),
    "pad": _pad,
    "interpolate": _interpolate,
    "new_zeros": _empty,
    "__setitem__": _set,
}


def _is(value: Any) -> bool:
    return isinstance(value, _Positions)


def _plain(x: Tensor) -> Tensor:
    return x.as_subclass(Tensor)


def _positions(x: Tensor) -> _Positions:
    marked: _Positions = x.as_subclass(_Positions)
    return marked


def _marked(result: Tensor | tuple[Tensor, ...]) -> _Positions | tuple[_Positions, ...]:
    return _positions(result) if isinstance(result, Tensor) else tuple(map(_positions, result))


def _union(tensors: list[Tensor]) -> Tensor:
    """What one of several sees is what all together see."""
    union = tensors[0]
    for tensor in tensors[1:]:
        union = torch.maximum(union, tensor)
    return union


def _one_channel(x: Tensor) -> Tensor:
    plain = _plain(x)
    # A stride of 0: copies of one channel, which need not be looked at.
    return plain[:, :1] if plain.stride(1) == 0 else plain.amax(1, keepdim=True)


def _of_channels(x: Tensor, channels: int) -> _Positions:
    return _positions(x.expand(-1, channels, *x.shape[2:]))


def _in_windows(
    x: Tensor, kernel: Iterable[int], strides: tuple[int, ...], dilations: tuple[int, ...]
) -> Tensor:
    """Maximum in each window, along one axis after the other, as large windows take long."""
    axes = x.ndim - 2
    for axis, (width, stride, dilation) in enumerate(zip(kernel, strides, dilations, strict=True)):
        if (width, stride) != (1, 1):
            along = [tuple(n if k == axis else 1 for k in range(axes)) for n in (width, stride)]
            x = _MAX_POOL[axes](x, *along, 0, dilation)
    return x


def _with_nothing(x: Tensor, sides: Iterable[tuple[int, int]]) -> Tensor:
    """Longer, or shorter, at both ends of each axis."""
    flat = [*chain.from_iterable(reversed([*sides]))]
    return functional.pad(x, flat, value=_NOTHING) if any(flat) else x


def _each(value: Any, axes: int) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, tuple | list) else (value,) * axes
