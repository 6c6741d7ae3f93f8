"""What is decided about a model before it is trained, and needed whenever it is used."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from medseg import strict_json
from medseg.dataset.regions import require_regions
from medseg.intensity import Normalisation, normalisation_from_json, normalisation_to_json
from medseg.io import replace_file
from medseg.learning.conventions import OURS, Conventions
from medseg.networks import NetworkConfig, network_from_json, network_to_json
from medseg.registry import build
from medseg.volume import BACKGROUND

_MM = 1e-6, 1e6
_LISTS = "channels", "normalisations", "spacing", "patch", "labels", "mirror", "written", "earlier"
_MOST_CLASSES, _HIGHEST = 2**16, 2**31 - 1


@dataclass(frozen=True)
class Plan:
    """How images reach the network and what it says about them.

    Parameters
    ----------
    network : NetworkConfig
    channels : tuple of str
        Names of the channels, in order.
    normalisations : tuple of Normalisation
        One a channel.
    spacing : tuple of float
        Mm; images are resampled to it, in the orientation that is nearest to RAS+.
    patch : tuple of int
        Voxels that the network sees at once; a 1 marks the slice axis of a 2D network.
    labels : tuple of int
        Value of each class, background (0) first.
    names : mapping of int to str
        What each label stands for.
    mirror : tuple of int
        Axes along which a mirrored image is as plausible as the image itself; never the
        first (left-right) unless the user says so.
    conventions : Conventions
        What a network that was not trained by medseg wants done otherwise.
    batch : int
        Patches of an update, where the training does not say; 0 leaves that to it too.
    regions : mapping of str to tuple of int
        Labels of each region, where the network says of each voxel which regions it is in, in
        place of which label it has: they may overlap.
    written : tuple of int
        Label that each region is written as, later ones on top.
    ignore : int, optional
        Label of voxels that nobody has annotated, from which nothing is learned.
    earlier : tuple of int
        Labels that a network before this one has found, at a lower resolution: where each of
        them is, is one more channel, after those of the image.
    notes : mapping
        For people: why, and how long a step takes. Plans that differ in them alone are equal.
    """

    network: NetworkConfig
    channels: tuple[str, ...]
    normalisations: tuple[Normalisation, ...]
    spacing: tuple[float, ...]
    patch: tuple[int, ...]
    labels: tuple[int, ...]
    names: Mapping[int, str]
    mirror: tuple[int, ...] = ()
    conventions: Conventions = OURS
    batch: int = 0
    regions: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    written: tuple[int, ...] = ()
    ignore: int | None = None
    earlier: tuple[int, ...] = ()
    notes: Mapping[str, Any] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        n = len(self.spacing)
        fits = n in (2, 3) and len(self.patch) == n and min(self.patch) >= 1
        if not fits or not all(_MM[0] <= mm <= _MM[1] for mm in self.spacing):
            raise ValueError(
                f"a plan has a positive spacing and patch side an axis, got {self.spacing} "
                f"and {self.patch}"
            )
        if self.network.ndim != len(self.axes):
            raise ValueError(
                f"a network of {self.network.ndim} axes needs a patch with as many sides over "
                f"1, got {self.patch}"
            )
        if len(self.normalisations) != len(self.channels) or not self.channels:
            raise ValueError(
                f"{len(self.channels)} channels need as many normalisations, "
                f"got {len(self.normalisations)}"
            )
        self._check_labels()
        for axes in (self.mirror, self.conventions.mirrored):
            if any(axis not in range(n) for axis in axes):
                raise ValueError(f"mirror names axes below {n}, got {axes}")
        if not 0 <= self.batch <= _HIGHEST or not isinstance(self.notes, Mapping):
            raise ValueError(
                f"a plan has a batch of 0 or more and notes by name, got {self.batch} and "
                f"{self.notes!r}"
            )

    def _check_labels(self) -> None:
        if self.labels[:1] != (BACKGROUND,) or len(set(self.labels)) < max(len(self.labels), 2):
            raise ValueError(f"labels are 0 and at least one other, each once; got {self.labels}")
        highest = max(map(abs, (*self.labels, self.ignore or 0)))
        if len(self.labels) > _MOST_CLASSES or highest > _HIGHEST:
            raise ValueError(
                f"labels are at most {_MOST_CLASSES} numbers up to {_HIGHEST}, got "
                f"{len(self.labels)} up to {highest}"
            )
        if self.ignore in self.labels:
            raise ValueError(f"the label to ignore is none of {self.labels}, got {self.ignore}")
        if BACKGROUND in self.earlier or len(set(self.earlier)) < len(self.earlier):
            raise ValueError(f"an earlier network finds labels but 0, once, got {self.earlier}")
        require_regions(self.regions, self.written)
        inside = {label for members in self.regions.values() for label in members}
        if unknown := sorted({*inside, *self.written} - set(self.labels)):
            raise ValueError(
                f"regions are made of and written as labels of the plan, {self.labels}; got "
                f"{unknown}"
            )

    @property
    def inputs(self) -> int:
        """Channels that the network sees: those of the image, then of what an earlier one found."""
        return len(self.channels) + len(self.earlier)

    @property
    def outputs(self) -> int:
        """Channels of the logits: a region each, or a label each, background first."""
        return len(self.regions) or len(self.labels)

    @property
    def values(self) -> tuple[int, ...]:
        """Label of each class that a model finds, background first."""
        return (BACKGROUND, *self.written) if self.regions else self.labels

    @property
    def outputs_named(self) -> tuple[str, ...]:
        """What each of the outputs is of: a region, or a label, background first."""
        named = (self.names.get(label, f"label {label}") for label in self.labels[1:])
        return tuple(self.regions) or ("background", *named)

    @property
    def members(self) -> tuple[tuple[int, ...], ...]:
        """Of each region, the classes of its labels."""
        return tuple(tuple(map(self.labels.index, labels)) for labels in self.regions.values())

    @property
    def ignored(self) -> int:
        """Class of the voxels that nobody has annotated; no label has it."""
        return len(self.labels)

    @property
    def axes(self) -> tuple[int, ...]:
        """Axes that the network sees: all, or all but the slice axis."""
        kept = tuple(axis for axis, side in enumerate(self.patch) if side > 1)
        return kept or tuple(range(len(self.patch)))

    def agrees(self, other: Plan) -> bool:
        """Whether another plan decides the same, in the words of its file."""
        return replace(self, notes={}).to_json() == replace(other, notes={}).to_json()

    def save(self, path: Path) -> None:
        """Write as JSON."""
        replace_file(path, json.dumps(self.to_json(), indent=2) + "\n")

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON knows them."""
        content = {each.name: getattr(self, each.name) for each in fields(self)}
        content |= {
            "network": network_to_json(self.network),
            "normalisations": [normalisation_to_json(n) for n in self.normalisations],
            "names": {str(label): name for label, name in self.names.items()},
            "regions": dict(self.regions),
            "conventions": asdict(self.conventions),
        }
        # With lists for tuples, or a plan would differ from itself read again.
        plain: dict[str, Any] = json.loads(json.dumps(content))
        return plain

    @classmethod
    def load(cls, path: Path) -> Plan:
        """Read from JSON.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If it is no plan.
        """
        if not path.is_file():
            raise FileNotFoundError(f"{path} does not exist")
        try:
            return cls.from_json(strict_json.parse(path.read_text(encoding="utf-8")))
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            raise ValueError(f"{path} is no plan: {error}") from error

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Plan:
        """Plan from what `to_json` gave."""
        known = {each.name for each in fields(cls)}
        # Plans that were made before there were these have none.
        later = {"conventions": {}, "batch": 0, "notes": {}}
        content = {**later, "regions": {}, "written": [], "ignore": None, "earlier": [], **content}
        if content.keys() != known:
            odd = sorted(content.keys() ^ known)
            raise ValueError(f"a plan has the fields {', '.join(sorted(known))}; check {odd}")
        listed = {}
        for key in _LISTS:
            if not isinstance(content[key], list | tuple):
                raise ValueError(f"{key} is a list, got {content[key]!r}")
            listed[key] = tuple(content[key])
        listed["normalisations"] = tuple(map(normalisation_from_json, listed["normalisations"]))
        made = {
            "network": network_from_json(content["network"]),
            "names": {int(label): str(name) for label, name in content["names"].items()},
            "conventions": Conventions.from_json(content["conventions"]),
            "regions": {name: tuple(labels) for name, labels in content["regions"].items()},
            "batch": content["batch"],
            "notes": content["notes"],
            "ignore": content["ignore"],
        }
        return build(cls, {**listed, **made}, "a plan")
