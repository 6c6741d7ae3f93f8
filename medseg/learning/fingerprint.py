"""What the cases of a data set are like, in numbers that people can read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from hashlib import blake2b
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medseg.dataset import Case, Dataset
from medseg.io import replace_file
from medseg.volume import BACKGROUND, Image, Labels, orientation, reorient

# Of each case, so many intensities at most are looked at inside the labels.
_SAMPLES = 5000


@dataclass(frozen=True)
class LabelFacts:
    """A label in a case.

    Parameters
    ----------
    voxels : int
    centre : tuple of float
        Mean place of its voxels, mm from the first voxel; to the right first.
    """

    voxels: int
    centre: tuple[float, ...]


@dataclass(frozen=True)
class CaseFacts:
    """What a case is like; all that has axes is in the orientation nearest to RAS+.

    Parameters
    ----------
    name : str
    shape : tuple of int
    spacing : tuple of float, mm
    orientation : str
        As it is stored, RAS or LPI.
    content : tuple of int
        Size of the box of all that is not 0 in all channels.
    zeros : float
        Share of voxels that are 0 in all channels.
    outside : int
        Voxels of labels outside of this box.
    lowest, highest : tuple of float
        Intensities, one a channel.
    whole : bool
        Whether all of them are whole numbers.
    labels : mapping of int to LabelFacts
    digest : str
        The same for the same image.
    ignored : int
        Voxels that are not annotated.
    """

    name: str
    shape: tuple[int, ...]
    spacing: tuple[float, ...]
    orientation: str
    content: tuple[int, ...]
    zeros: float
    outside: int
    lowest: tuple[float, ...]
    highest: tuple[float, ...]
    whole: bool
    labels: Mapping[int, LabelFacts]
    digest: str
    ignored: int = 0

    @property
    def share(self) -> float:
        """Of the volume, in (0, 1], the box of all that is not 0."""
        return prod(self.content) / prod(self.shape)


@dataclass(frozen=True)
class Intensities:
    """Intensities of a channel inside the labels of all cases.

    Parameters
    ----------
    mean, median, deviation, lowest, highest : float
    low, high : float
        Percentiles 0.5 and 99.5.
    """

    mean: float
    median: float
    deviation: float
    lowest: float
    highest: float
    low: float
    high: float


@dataclass(frozen=True)
class Fingerprint:
    """What planning knows of a data set.

    Parameters
    ----------
    cases : tuple of CaseFacts
    names : mapping of int to str
        What each label stands for: as the data set says, or by its number.
    channels : tuple of str
    intensities : tuple of Intensities
        One a channel; empty where no case has a label.
    named : bool
        Whether the data set says what its channels show.
    regions, written, ignore
        As of the `Dataset`; the regions are there only if a network is to learn them.
    """

    cases: tuple[CaseFacts, ...]
    names: Mapping[int, str]
    channels: tuple[str, ...]
    intensities: tuple[Intensities, ...]
    named: bool = True
    regions: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    written: tuple[int, ...] = ()
    ignore: int | None = None

    @property
    def spacings(self) -> NDArray[np.float64]:
        """(cases, axes) array, mm."""
        return np.array([case.spacing for case in self.cases])

    @property
    def shapes(self) -> NDArray[np.int64]:
        """(cases, axes) array, voxels."""
        return np.array([case.shape for case in self.cases])

    @property
    def contents(self) -> NDArray[np.int64]:
        """(cases, axes) array, voxels of the boxes of all that is not 0."""
        return np.array([case.content for case in self.cases])

    def save(self, path: Path) -> None:
        """Write as JSON, a case a line."""
        content = json.loads(json.dumps(asdict(self)))
        cases = ",\n  ".join(json.dumps(case) for case in content.pop("cases"))
        head = json.dumps(content, indent=2).rstrip("\n}")
        replace_file(path, f'{head},\n  "cases": [\n  {cases}\n  ]\n}}\n')


def fingerprint_of(dataset: Dataset, *, allow_empty: bool = False) -> Fingerprint:
    """Read every case once, check it as `Dataset.check` does, and say what it is like.

    Raises
    ------
    ValueError
        If the data set has no cases, or has problems.
    """
    if not dataset.cases:
        raise ValueError("a plan is made from at least one case, the data set has none")
    seen = dataset.visit(partial(_look, ignore=dataset.ignore), allow_empty=allow_empty)
    cases = tuple(facts for facts, _ in seen)
    found = sorted({label for case in cases for label in case.labels})
    inside = np.concatenate([samples for _, samples in seen], axis=1)
    return Fingerprint(
        cases=cases,
        names=dict(dataset.names) or {label: f"label {label}" for label in found},
        channels=dataset.channels or tuple(f"channel {k}" for k in range(len(inside))),
        intensities=tuple(map(_statistics, inside)) if inside.size else (),
        named=bool(dataset.channels),
        regions=dataset.regions if dataset.written else {},
        written=dataset.written,
        ignore=dataset.ignore,
    )


def _look(
    case: Case, image: Image, labels: Labels, ignore: int | None
) -> tuple[CaseFacts, NDArray[np.float32]]:
    """Facts of a case, and (C, some) intensities inside its labels."""
    stored, image, labels = orientation(image.grid), reorient(image), reorient(labels)
    content = (image.array != 0).any(axis=0)
    box = _box(content)
    ignored = labels.array == ignore  # all False, where nothing is
    labelled = ~ignored & (labels.array != BACKGROUND)
    inside = image.array[:, labelled]
    axes = tuple(range(1, image.array.ndim))
    facts = CaseFacts(
        name=case.name,
        shape=image.grid.shape,
        spacing=image.grid.spacing,
        orientation=stored,
        content=tuple(part.stop - part.start for part in box),
        zeros=float(1 - content.mean()),
        outside=int(labelled.sum() - labelled[box].sum()),
        lowest=tuple(image.array.min(axes).tolist()),
        highest=tuple(image.array.max(axes).tolist()),
        whole=bool((image.array == np.rint(image.array)).all()),
        labels=_label_facts(labels, labelled),
        digest=_digest(image),
        ignored=int(np.count_nonzero(ignored)),
    )
    return facts, inside[:, :: max(inside.shape[1] // _SAMPLES, 1)]


def _box(content: NDArray[np.bool_]) -> tuple[slice, ...]:
    """Smallest box of all that is True; all of it, where nothing is."""
    axes = range(content.ndim)
    along = [content.any(axis=tuple(k for k in axes if k != axis)) for axis in axes]
    if not content.any():
        return tuple(slice(0, n) for n in content.shape)
    ends = [np.flatnonzero(line)[[0, -1]].tolist() for line in along]
    return tuple(slice(first, last + 1) for first, last in ends)


def _label_facts(labels: Labels, labelled: NDArray[np.bool_]) -> dict[int, LabelFacts]:
    values, at, voxels = np.unique(labels.array[labelled], return_inverse=True, return_counts=True)
    places = [
        np.bincount(at, line * mm, len(values)) / voxels
        for line, mm in zip(np.nonzero(labelled), labels.grid.spacing, strict=True)
    ]
    centres = np.round(places, 2).T.tolist()
    found = zip(values.tolist(), voxels.tolist(), centres, strict=True)
    return {value: LabelFacts(count, tuple(centre)) for value, count, centre in found}


def _digest(image: Image) -> str:
    digest = blake2b(repr(image.array.shape).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(image.array).data)
    return digest.hexdigest()


def _statistics(values: NDArray[np.float32]) -> Intensities:
    low, median, high = np.percentile(values, [0.5, 50, 99.5]).tolist()
    return Intensities(
        mean=float(values.mean()),
        median=median,
        deviation=float(values.std()),
        lowest=float(values.min()),
        highest=float(values.max()),
        low=low,
        high=high,
    )
