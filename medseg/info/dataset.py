"""Facts of a data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medseg.dataset import LAYOUTS, Case, Dataset
from medseg.device import available_threads
from medseg.measuring import counted, voxel_size
from medseg.volume import Grid

_Seen = tuple[Grid, dict[int, float]]


@dataclass(frozen=True)
class LabelShare:
    """One label over the cases.

    Parameters
    ----------
    label : int
    name : str
    cases : int
        In how many it occurs.
    low, median, high : float
        Of its size in those cases.
    unit : str
        Of the size: "ml", in 2D "cm2".
    """

    label: int
    name: str
    cases: int
    low: float
    median: float
    high: float
    unit: str


@dataclass(frozen=True)
class DatasetInfo:
    """What a data set holds.

    Parameters
    ----------
    path, layout : str
    cases, patients : int
    channels : tuple of str
        Their names, or "channel 0", ... where the data set has none.
    labels : tuple of LabelShare
    shapes : (3, n) of int
        Smallest, median and largest size along each axis; empty if no image can be read.
    spacings : (3, n) of float, mm
        The same of the spacing.
    problems : tuple of str
        What training would stumble over.
    """

    path: str
    layout: str
    cases: int
    patients: int
    channels: tuple[str, ...]
    labels: tuple[LabelShare, ...]
    shapes: tuple[tuple[int, ...], ...]
    spacings: tuple[tuple[float, ...], ...]
    problems: tuple[str, ...]


def dataset_info(path: Path) -> DatasetInfo:
    """Read all cases of a data set and say what they are."""
    data = Dataset.read(path)
    layout = next(name for name, layout in LAYOUTS.items() if layout.recognises(path))
    with ThreadPoolExecutor(available_threads()) as pool:
        seen = [one for one in pool.map(_seen, data.cases) if one is not None]
    grids = [grid for grid, _ in seen]
    count = len(data.cases[0].channels)
    return DatasetInfo(
        path=str(path),
        layout=layout,
        cases=len(data),
        patients=len({case.patient or case.name for case in data.cases}),
        channels=data.channels or tuple(f"channel {k}" for k in range(count)),
        labels=_shares(seen, data.names),
        shapes=tuple(
            tuple(round(x) for x in row) for row in _spread([grid.shape for grid in grids])
        ),
        spacings=_spread([grid.spacing for grid in grids]),
        problems=data.problems(),
    )


def _seen(case: Case) -> _Seen | None:
    """Grid of a label map and the size of each label; None if it can't be read."""
    try:
        labels = case.labels()
    except (ValueError, OSError):
        return None  # `problems` says why
    voxel, _ = voxel_size(labels.grid)
    return labels.grid, {
        value: count * voxel for value, count in counted(labels.array).items() if value
    }


def _shares(seen: Sequence[_Seen], names: Mapping[int, str]) -> tuple[LabelShare, ...]:
    volumes = [one for _, one in seen]
    unit = voxel_size(seen[0][0])[1] if seen else "ml"
    known = sorted({*names, *(label for one in volumes for label in one)})
    shares = []
    for label in known:
        found = [one[label] for one in volumes if label in one] or [0.0]
        low, middle, high = (round(float(x), 4) for x in np.quantile(found, (0, 0.5, 1)))
        cases = sum(label in one for one in volumes)
        shares.append(LabelShare(label, names.get(label, ""), cases, low, middle, high, unit))
    return tuple(shares)


def _spread(rows: list[tuple[float, ...]]) -> tuple[tuple[float, ...], ...]:
    """Smallest, median and largest of each column."""
    if not rows or len({len(row) for row in rows}) > 1:
        return ()
    found = np.quantile(np.array(rows, dtype=float), (0, 0.5, 1), axis=0)
    return tuple(tuple(round(float(x), 6) for x in row) for row in found)
