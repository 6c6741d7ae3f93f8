"""The pairs of label maps that are tensors already, as in validation: all of it in torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from medseg.metrics.comparison import Searched
from medseg.metrics.distances import Distances
from medseg.metrics.offsets import Offsets, neighbours, offsets
from medseg.metrics.pair import Masks, Pair, present_axes
from medseg.volume import BACKGROUND

if TYPE_CHECKING:
    from torch import Tensor

# Numbers that are made at a time where everything is compared with everything.
_AT_ONCE = 2**24
# Steps that are looked at together.
_TOGETHER = 32


def pairs_of_tensors(
    predicted: Tensor,
    reference: Tensor,
    spacing: tuple[float, ...],
    labels: Iterable[int] | None = None,
    *,
    connectivity: int = 1,
) -> dict[int, Pair]:
    """Pair of each label, as `pairs` makes them, computed where the tensors are.

    Parameters
    ----------
    predicted, reference : (i, j[, k]) integer or bool tensors on one device
        Labels from 0, which is background, to 65535.
    spacing : tuple of float, mm
    labels : iterable of int, optional
        Default: those that either of the two has.
    connectivity : int
        As for `pairs`.

    Raises
    ------
    ValueError
        If shapes, spacing or labels do not fit.
    """
    maps = _required(predicted, reference, spacing)
    highest = max(int(m.max()) if m.numel() else 0 for m in maps)
    compared = _Compared(*maps, highest + 1, spacing, connectivity)
    sizes = compared.sizes
    present = np.flatnonzero(sizes[:2].any(axis=0)).tolist()
    wanted = [label for label in present if label != BACKGROUND] if labels is None else labels
    found = {}
    for label in wanted:
        in_predicted, in_reference, both = (
            sizes[:, label].tolist() if BACKGROUND < label <= highest else (0, 0, 0)
        )
        found[label] = Pair(
            both,
            (in_predicted, in_reference),
            reference.numel(),
            spacing,
            partial(compared.distances, label),
            partial(compared.masks, label),
        )
    return found


def _required(
    predicted: Tensor, reference: Tensor, spacing: tuple[float, ...]
) -> tuple[Tensor, Tensor]:
    """Both in one integer dtype, if they can be compared."""
    import torch

    if predicted.shape != reference.shape:
        raise ValueError(
            f"predicted has shape {tuple(predicted.shape)}, reference {tuple(reference.shape)}"
        )
    if len(spacing) != reference.ndim:
        raise ValueError(f"spacing needs {reference.ndim} values (mm), got {spacing}")
    maps = predicted.to(torch.int32), reference.to(torch.int32)
    for labels in maps:
        if labels.numel() and not 0 <= int(labels.min()) <= int(labels.max()) < 2**16:
            raise ValueError("labels in tensors are 0 to 65535, got others")
    return maps


@dataclass(frozen=True, eq=False)
class _Compared:
    """What `Comparison` is, of tensors.

    Parameters
    ----------
    predicted, reference : (i, j[, k]) int32 tensors
    codes : int
        Above any label.
    spacing : tuple of float, mm
    connectivity : int
    """

    predicted: Tensor
    reference: Tensor
    codes: int
    spacing: tuple[float, ...]
    connectivity: int

    @cached_property
    def sizes(self) -> NDArray[np.int64]:
        """(3, codes): voxels predicted, annotated, and both."""
        import torch

        first, second = self.predicted.reshape(-1), self.reference.reshape(-1)
        both = first[first == second]
        counts = [torch.bincount(labels, minlength=self.codes) for labels in (first, second, both)]
        return np.asarray(torch.stack(counts).cpu().numpy())

    def masks(self, label: int) -> Masks:
        """What `Pair.masks` is, for one label."""
        masks = (self.predicted == label).cpu().numpy(), (self.reference == label).cpu().numpy()
        return Masks.cut(*masks, self.spacing)

    def distances(self, label: int) -> tuple[Distances, Distances]:
        """What `Pair.distances` is, for one label."""
        return self._searched.distances(label)

    @cached_property
    def _searched(self) -> Searched:
        present = self.sizes[:2] > 0
        present[:, BACKGROUND] = False
        either = np.flatnonzero(present.any(axis=0))
        rows = np.full(self.codes, -1, np.int32)
        rows[either] = np.arange(len(either))
        axes = present_axes(tuple(self.reference.shape))
        spacing = (1.0,) * (3 - len(axes)) + tuple(self.spacing[axis] for axis in axes)
        along = (False,) * (3 - len(axes)) + (True,) * len(axes)
        table = offsets(spacing, along)
        shape = (1,) * (3 - len(axes)) + tuple(self.reference.shape[axis] for axis in axes)
        around = neighbours(along, self.connectivity)
        borders = [
            _border(labels.reshape(shape), around, table.reach)
            for labels in (self.predicted, self.reference)
        ]
        search = _Search(rows, present, table, spacing)
        sides = [search.between(borders[side], borders[1 - side], side) for side in (0, 1)]
        counts = np.stack([counted for counted, _ in sides])
        return Searched(rows, table.mm, counts, tuple(far for _, far in sides))


def _border(labels: Tensor, around: NDArray[np.int64], reach: tuple[int, ...]) -> Tensor:
    """Labels of border voxels, 0 elsewhere, with as much background around as steps reach."""
    import torch

    ends = [end for axis in reversed(reach) for end in (axis, axis)]
    padded = torch.nn.functional.pad(labels, ends)
    differs = torch.zeros_like(padded, dtype=torch.bool)
    for step in around.tolist():
        differs |= padded != padded.roll(step, (0, 1, 2))
    return padded * differs


@dataclass(frozen=True, eq=False)
class _Search:
    """How far border voxels are from the same label of another border.

    Parameters
    ----------
    rows : (codes,) integer array
        Row of each label in the counts, -1 for one that does not occur.
    present : (2, codes) bool array
        Labels that are predicted and annotated.
    table : Offsets
    spacing : tuple of float, mm
    """

    rows: NDArray[np.int32]
    present: NDArray[np.bool_]
    table: Offsets
    spacing: tuple[float, ...]

    def between(
        self, border: Tensor, other: Tensor, side: int
    ) -> tuple[NDArray[np.int64], dict[int, NDArray[np.float64]]]:
        """Counts by row and rank, the last for no other border; and distances beyond them."""
        import torch

        device, missing = border.device, len(self.table.mm)
        rows = torch.from_numpy(self.rows).to(device, torch.int64)
        there = torch.from_numpy(self.present[1 - side]).to(device)
        flat = border.reshape(-1)
        places = flat.nonzero()[:, 0]
        codes = flat[places].to(torch.int64)
        cells = (int(self.rows.max()) + 1) * (missing + 1)
        counts = torch.zeros(cells, dtype=torch.int64, device=device)
        absent = rows[codes[~there[codes]]] * (missing + 1) + missing
        counts += torch.bincount(absent, minlength=len(counts))
        places, codes = places[there[codes]], codes[there[codes]]
        for near, ranks, left in self._homes(places, codes, other):
            counts += torch.bincount(rows[near] * (missing + 1) + ranks, minlength=len(counts))
            places, codes = left
        far = self._beyond(places, codes, other)
        return counts.reshape(-1, missing + 1).cpu().numpy(), far

    def _homes(
        self, places: Tensor, codes: Tensor, other: Tensor
    ) -> Iterator[tuple[Tensor, Tensor, tuple[Tensor, Tensor]]]:
        """Labels and ranks of those that some steps lead home, and those that are left."""
        import torch

        strides = np.array([other.stride(axis) for axis in range(3)])
        steps = torch.from_numpy(self.table.steps @ strides).to(other.device)
        ranks = torch.from_numpy(self.table.ranks).to(other.device)
        flat = other.reshape(-1)
        for some, their_ranks in zip(steps.split(_TOGETHER), ranks.split(_TOGETHER), strict=True):
            first = [
                _first(flat[part[:, None] + some] == code[:, None])
                for part, code in _parts(len(some), places, codes)
            ]
            place = torch.cat(first)
            home = place < len(some)
            yield codes[home], their_ranks[place[home]], (places[~home], codes[~home])
            places, codes = places[~home], codes[~home]

    def _beyond(
        self, places: Tensor, codes: Tensor, other: Tensor
    ) -> dict[int, NDArray[np.float64]]:
        """Label -> mm from each of the voxels to the nearest one of all of its other border."""
        import torch

        spacing = torch.tensor(self.spacing, dtype=torch.float64, device=other.device)
        flat, found = other.reshape(-1), {}
        for code in codes.unique().tolist():
            targets = _voxels((flat == code).nonzero()[:, 0], other)
            points = _voxels(places[codes == code], other)
            apart = [
                (((part[:, None] - targets) * spacing) ** 2).sum(dim=-1).amin(dim=1).sqrt()
                for (part,) in _parts(3 * len(targets), points)
            ]
            found[code] = torch.cat(apart).cpu().numpy()
        return found


def _first(hits: Tensor) -> Tensor:
    """(n,): first true column of each row of (n, m), m where there is none."""
    import torch

    # Of several largest values max may give the place of any, so each place has its own.
    left = torch.arange(hits.shape[1], 0, -1, device=hits.device)
    return hits.shape[1] - (hits * left).amax(dim=1)


def _parts(columns: int, *tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Rows of the tensors, so many at a time that their columns fit into memory."""
    rows = max(1, _AT_ONCE // columns)
    yield from zip(*(tensor.split(rows) for tensor in tensors), strict=True)


def _voxels(flat: Tensor, grid: Tensor) -> Tensor:
    """(n, 3): place of flat indices along each axis."""
    import torch

    return torch.stack(torch.unravel_index(flat, grid.shape), dim=1)
