"""Tensors in the safetensors format: names, a JSON header and plain bytes, no pickle.

Written out here because the format is a few lines, and because a machine that has nothing but
torch, NumPy and SciPy must be able to train.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from medseg import strict_json
from medseg.io import replace_file

_NAME_OF_DTYPE = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
_DTYPE_OF_NAME = {name: dtype for dtype, name in _NAME_OF_DTYPE.items()}
_LONGEST_HEADER = 100_000_000


def save_tensors(tensors: Mapping[str, Tensor], path: Path, facts: Mapping[str, Any]) -> None:
    """Write tensors, and facts that JSON can hold, as one safetensors file."""
    header: dict[str, Any] = {"__metadata__": {"facts": json.dumps(facts)}}
    parts, offset = [], 0
    for name, tensor in tensors.items():
        # A contiguous copy: the format knows no strides.
        plain = tensor.detach().cpu().contiguous()
        content = plain.reshape(-1).view(torch.uint8).numpy().tobytes()
        header[name] = {
            "dtype": _NAME_OF_DTYPE[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [offset, offset + len(content)],
        }
        parts.append(content)
        offset += len(content)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    replace_file(path, b"".join([len(text).to_bytes(8, "little"), text, *parts]))


def named_weights(path: Path, facts: Mapping[str, Any]) -> str:
    """File of weights and what `load_tensors` says of them, in a few words that tell them apart."""
    return f"{path.name} of step {facts.get('step', 'unknown')}"


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `save_tensors`, or the safetensors library, wrote.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is damaged.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist")
    content = path.read_bytes()
    try:
        return _parsed(content)
    except (ValueError, LookupError, TypeError, AttributeError, RuntimeError) as error:
        raise ValueError(f"{path} is damaged, or no safetensors file: {error}") from error


def put_weights(tensors: Mapping[str, Tensor], network: nn.Module) -> None:
    """Give a network the weights of a file.

    Raises
    ------
    ValueError
        If they are not those of such a network, or not finite.
    """
    wanted = network.state_dict()
    if odd := sorted(wanted.keys() ^ tensors.keys()):
        side = "lacks" if odd[0] in wanted else "does not have"
        raise ValueError(f"{len(odd)} names differ; it {side} {odd[0]}")
    for name, tensor in tensors.items():
        require_like(name, tensor, wanted[name])
    network.load_state_dict(tensors)


def require_like(name: str, tensor: Tensor, wanted: Tensor) -> None:
    """Raise ValueError unless `tensor` has the shape of `wanted` and numbers of its kind."""
    floating = wanted.is_floating_point()
    if tensor.shape != wanted.shape or tensor.is_floating_point() != floating:
        raise ValueError(
            f"{name} is {tuple(tensor.shape)} of {tensor.dtype}, expected {tuple(wanted.shape)} "
            f"of {wanted.dtype}"
        )
    if floating and not tensor.isfinite().all():
        raise ValueError(f"{name} has numbers that are NaN or infinite")


def _parsed(content: bytes) -> tuple[dict[str, Tensor], dict[str, Any]]:
    length = int.from_bytes(content[:8], "little")
    if not 2 <= length <= min(len(content) - 8, _LONGEST_HEADER):
        raise ValueError(f"its header claims {length} bytes, the file has {len(content)}")
    header = strict_json.parse(content[8 : 8 + length])
    facts = strict_json.parse(header.pop("__metadata__", {}).get("facts", "{}"))
    if not isinstance(facts, dict):
        raise ValueError(f"its facts are no object, but {facts!r}")
    # One after the other, so that no header can ask for more memory than the file takes.
    begun = 0
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        start, stop = entry["data_offsets"]
        if start != begun:
            raise ValueError(f"{name} begins at byte {start}, where {begun} was expected")
        begun = stop
    if begun != len(content) - 8 - length:
        raise ValueError(f"its tensors take {begun} bytes, it has {len(content) - 8 - length}")
    # One writable copy of all bytes, into which the tensors are views.
    data = bytearray(content[8 + length :])
    return {name: _tensor(entry, data) for name, entry in header.items()}, facts


def _tensor(entry: Mapping[str, Any], data: bytearray) -> Tensor:
    dtype, shape = _DTYPE_OF_NAME[entry["dtype"]], entry["shape"]
    start, stop = entry["data_offsets"]
    if not all(type(n) is int and n >= 0 for n in (*shape, start, stop)):
        raise ValueError(f"shape {shape} and offsets {start}, {stop} are not what they should be")
    count = prod(shape)
    if stop > len(data) or stop - start != count * dtype.itemsize:
        raise ValueError(f"{shape} of {entry['dtype']} at bytes {start} to {stop} of {len(data)}")
    if count == 0:
        return torch.empty(shape, dtype=dtype)
    # frombuffer wants an offset that is a multiple of the item; the slice makes it 0.
    return torch.frombuffer(data[start:stop], dtype=dtype, count=count).reshape(shape)
