"""Padding to the multiple that a network wants is never the caller's business."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


def padded_to(x: Tensor, multiple: tuple[int, ...]) -> Tensor:
    """(B, C, ...) with 0 behind each axis, so that its size is a multiple.

    A network that would see a single voxel at its coarsest level gets two: of one, no
    normalisation can take a variance.
    """
    missing = [-size % m for size, m in zip(x.shape[2:], multiple, strict=True)]
    if all(size + more == m for size, more, m in zip(x.shape[2:], missing, multiple, strict=True)):
        missing[-1] += multiple[-1]
    return _longer_by(x, missing)


def at_least(x: Tensor, size: tuple[int, ...]) -> Tensor:
    """(B, C, ...) with 0 behind each axis that is shorter than `size`."""
    return _longer_by(x, [max(least - n, 0) for n, least in zip(x.shape[2:], size, strict=True)])


def cropped(x: Tensor, size: tuple[int, ...]) -> Tensor:
    """First `size` voxels of each axis of (B, C, ...)."""
    if x.shape[2:] == size:
        return x
    for axis, length in enumerate(size, start=2):
        x = x.narrow(axis, 0, length)
    return x


class Padded(nn.Module):
    """A network that takes any size, made of one that takes multiples only."""

    def __init__(self, network: nn.Module, multiple: tuple[int, ...]) -> None:
        super().__init__()
        self.network = network
        self.multiple = multiple

    def forward(self, x: Tensor) -> Tensor | list[Tensor]:
        """Map (B, channels, ...) to logits of the same size; in training perhaps a list."""
        size = x.shape[2:]
        output = self.network(padded_to(x, self.multiple))
        if isinstance(output, tuple | list):
            return [cropped(level, size) if not k else level for k, level in enumerate(output)]
        if output.ndim > x.ndim:  # DynUNet stacks its levels, all of the finest size
            return [cropped(level, size) for level in output.unbind(1)]
        logits: Tensor = cropped(output, size)
        return logits


def _longer_by(x: Tensor, missing: list[int]) -> Tensor:
    if not any(missing):
        return x
    return functional.pad(x, [side for more in reversed(missing) for side in (0, more)])
