"""Clean-ups that go by connected components: keep-largest, drop-small, fill-holes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from medseg.cleanup.boxes import boxes_of
from medseg.cleanup.cleaning import clean_with
from medseg.components import components, labels_of, largest, sizes
from medseg.parameter import parameter
from medseg.volume import BACKGROUND, Labels

if TYPE_CHECKING:
    from torch import Tensor

Together = Literal["each", "all"]


@dataclass(frozen=True)
class KeepLargest:
    """Keep only the largest connected component.

    For organs, of which there is one; not for lesions, of which there may be several.

    Parameters
    ----------
    of : str
        "each": of each label by itself. "all": of all labels taken together, as for a tumour
        whose parts are labels.
    connectivity : int
        What joins voxels: 1 faces, 2 edges too, 3 corners too.
    only : tuple of int
        Labels that are looked at, all others stay; empty, all are.
    device : str
        auto, cpu, cuda or cuda:N.
    """

    of: Together = "each"
    connectivity: int = parameter(1, "[1, 3]")
    only: tuple[int, ...] = ()
    device: str = "auto"

    def __post_init__(self) -> None:
        if self.of not in get_args(Together):
            raise ValueError(f"keep-largest keeps that of each or of all labels, got {self.of!r}")
        _require_connectivity(self.connectivity, "keep-largest")
        object.__setattr__(self, "only", _labels(self.only, "keep-largest"))

    def __call__(self, labels: Labels) -> Labels:
        """Labels without the smaller components; of equally large ones, the first stays."""
        return clean_with(self.run, labels, self.device)

    def run(self, labels: Tensor, spacing: tuple[float, ...]) -> Tensor:
        """Cleaned (...) tensor."""
        return _among(labels, self.only, self._run)

    def _run(self, labels: Tensor) -> Tensor:
        import torch

        if self.of == "all":
            return torch.where(largest(labels != BACKGROUND, self.connectivity), labels, BACKGROUND)
        numbered, count = components(labels, self.connectivity)
        label, size = labels_of(numbered, count, labels), sizes(numbered, count)
        kept = torch.zeros_like(label, dtype=torch.bool)
        # Largest first, then by number: the first of each label in this order is the one to keep.
        order = torch.sort(size[1:], descending=True, stable=True).indices + 1
        by_label = torch.sort(label[order], stable=True)
        firsts = torch.ones_like(by_label.values, dtype=torch.bool)
        firsts[1:] = by_label.values[1:] != by_label.values[:-1]
        kept[order[by_label.indices[firsts]]] = True
        return torch.where(kept[numbered], labels, BACKGROUND)


@dataclass(frozen=True)
class DropSmall:
    """Turn connected components that are too small into background.

    Against specks. A component is of one label; whatever lies around it, background is left.

    Parameters
    ----------
    below : float
        Components of less than so many mm³ go; in 2D, and of a single slice, mm².
    connectivity : int
        What joins voxels: 1 faces, 2 edges too, 3 corners too.
    only : tuple of int
        Labels that are looked at, all others stay; empty, all are.
    device : str
        auto, cpu, cuda or cuda:N.
    """

    below: float = parameter(10.0, "[0, inf)", usual=(1, 10_000), log=True, unit="mm³")
    connectivity: int = parameter(1, "[1, 3]")
    only: tuple[int, ...] = ()
    device: str = "auto"

    def __post_init__(self) -> None:
        if not 0 <= self.below < math.inf:
            raise ValueError(f"drop-small takes a volume of 0 mm³ or more, got below={self.below}")
        _require_connectivity(self.connectivity, "drop-small")
        object.__setattr__(self, "only", _labels(self.only, "drop-small"))

    def __call__(self, labels: Labels) -> Labels:
        """Labels without small components."""
        return clean_with(self.run, labels, self.device)

    def run(self, labels: Tensor, spacing: tuple[float, ...]) -> Tensor:
        """Cleaned (...) tensor."""
        return _among(labels, self.only, lambda some: self._run(some, spacing))

    def _run(self, labels: Tensor, spacing: tuple[float, ...]) -> Tensor:
        import torch

        numbered, count = components(labels, self.connectivity)
        # Eight voxels of 1.25 mm³ are 10 mm³, whatever the rounding of spacings says.
        kept = sizes(numbered, count) * math.prod(spacing) >= self.below * (1 - 1e-6)
        return torch.where(kept[numbered], labels, BACKGROUND)


@dataclass(frozen=True)
class FillHoles:
    """Give background that a label encloses to that label.

    A hole of a label is a connected part of what it is not that does not reach the border of
    the volume. Only the background in it is filled, so that other labels inside stay; what
    several labels enclose goes to the innermost. Holes are those of the volume: what is a
    hole in a slice but open to the next slice is none.

    Parameters
    ----------
    connectivity : int
        What joins voxels of a hole: 1 faces, 2 edges too, 3 corners too, so that less counts
        as enclosed.
    only : tuple of int
        Labels that are looked at, all others stay; empty, all are.
    device : str
        auto, cpu, cuda or cuda:N.
    """

    connectivity: int = parameter(1, "[1, 3]")
    only: tuple[int, ...] = ()
    device: str = "auto"

    def __post_init__(self) -> None:
        _require_connectivity(self.connectivity, "fill-holes")
        object.__setattr__(self, "only", _labels(self.only, "fill-holes"))

    def __call__(self, labels: Labels) -> Labels:
        """Labels without holes."""
        return clean_with(self.run, labels, self.device)

    def run(self, labels: Tensor, spacing: tuple[float, ...]) -> Tensor:
        """Filled (...) tensor."""
        return _among(labels, self.only, self._run)

    def _run(self, labels: Tensor) -> Tensor:
        import torch

        filled = labels.clone()
        smallest = torch.full_like(labels, labels.numel(), dtype=torch.int64)
        # Beyond the box of a label, all is open to the border of the volume.
        for label, box in boxes_of(labels).items():
            outside, count = components(labels[box] != label, self.connectivity)
            size = sizes(outside, count)
            size[_on_faces(outside)] = 0
            size = size[outside]
            # The hole of an inner label is a part of the hole of an outer one.
            inner = (labels[box] == BACKGROUND) & (size > 0) & (size < smallest[box])
            filled[box] = torch.where(inner, label, filled[box])
            smallest[box] = torch.where(inner, size, smallest[box])
        return filled


def _among(labels: Tensor, only: tuple[int, ...], clean: Callable[[Tensor], Tensor]) -> Tensor:
    """Clean some labels, or all if none is named; the others stay where they are."""
    import torch

    if not only:
        return clean(labels)
    wanted = torch.tensor(only, device=labels.device)
    some = torch.where(torch.isin(labels, wanted), labels, BACKGROUND)
    return torch.where(some == labels, clean(some), labels)


def _on_faces(numbered: Tensor) -> Tensor:
    """Numbers that occur on the faces of a box, and 0."""
    import torch

    faces = [numbered.new_zeros(1)]
    for axis, size in enumerate(numbered.shape):
        faces += [numbered.select(axis, place).flatten() for place in (0, size - 1)]
    found: Tensor = torch.cat(faces).unique()
    return found.long()


def _labels(only: object, cleanup: str) -> tuple[int, ...]:
    """Labels of the field `only`, which on the command line may be a single one."""
    labels = (only,) if isinstance(only, int) else only
    if not isinstance(labels, list | tuple) or BACKGROUND in labels:
        raise ValueError(f"{cleanup} takes labels other than {BACKGROUND} as only, got {only!r}")
    return tuple(labels)


def _require_connectivity(connectivity: int, cleanup: str) -> None:
    if connectivity not in (1, 2, 3):
        raise ValueError(f"{cleanup} takes a connectivity of 1, 2 or 3, got {connectivity}")
