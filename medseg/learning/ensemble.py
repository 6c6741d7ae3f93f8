"""Several segmenters as one."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from medseg import strict_json
from medseg.io import replace_file
from medseg.learning.merging import MERGES
from medseg.learning.model import Model
from medseg.learning.plan import Plan
from medseg.learning.run import Run
from medseg.registry import pick
from medseg.segmenter import Probabilistic, labels_of_channels, names_of, require_place
from medseg.volume import Image, Labels

ENSEMBLE_FILE = "ensemble.json"


@dataclass(frozen=True)
class Stored:
    """A trained model that is in memory only while it segments; a `Segmenter`.

    Parameters
    ----------
    folder : Path
        Of the run.
    device : str
    overlap : float
    mirrored : tuple of int, optional
    precision : str
        All as for `Model.load`.
    """

    folder: Path
    device: str = "auto"
    overlap: float = 0.5
    mirrored: tuple[int, ...] | None = None
    precision: str = "auto"

    @property
    def plan(self) -> Plan:
        """Its plan, without its weights."""
        return Plan.load(Run(self.folder).plan)

    def load(self) -> Model:
        """Load the model itself."""
        return Model.load(
            self.folder,
            self.device,
            overlap=self.overlap,
            mirrored=self.mirrored,
            precision=self.precision,
        )

    def segment(
        self, image: Image, seeds: Labels | None = None, mask: Labels | None = None
    ) -> Labels:
        """Load the model and give each voxel its most probable label."""
        return self.load().segment(image, seeds, mask)

    def probabilities(
        self, image: Image, seeds: Labels | None = None, mask: Labels | None = None
    ) -> Image:
        """Load the model and say how probable each label is."""
        return self.load().probabilities(image, seeds, mask)


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Several segmenters that decide together; itself a `Segmenter` and `Probabilistic`.

    They segment one after the other and each is added to what is there, so that memory does
    not grow with them if they are `Stored`. Seeds and mask go to each.

    Parameters
    ----------
    members : tuple of Probabilistic
        Trained models and classical methods alike. Their labels are the same.
    merge : str
        "mean" of the probabilities; "geometric" mean; "vote": the share of members for which a
        label is the likeliest; or "staple", which trusts members as far as they agree.
    weights : tuple of float, optional
        How much each member counts, all the same by default.

    References
    ----------
    K. Kamnitsas et al., "Ensembles of multiple models and architectures for robust brain tumour
    segmentation", BrainLes 2017, LNCS 10670, 2018, doi:10.1007/978-3-319-75238-9_38
    """

    members: tuple[Probabilistic, ...]
    merge: str = "mean"
    weights: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "members", tuple(self.members))
        pick(MERGES, self.merge, "way to merge")
        if not self.members:
            raise ValueError("an ensemble has at least one member, got none")
        for member in self.members:
            if not isinstance(member, Probabilistic):
                raise ValueError(
                    f"a member says how probable each label is, and {type(member).__name__} does "
                    "not; take one that has probabilities()"
                )
            if (plan := _plan_of(member)) is not None and plan.regions:
                raise ValueError("an ensemble merges labels, and a member knows regions")
        self._require_weights()
        self._require_same_plans()

    @classmethod
    def load(
        cls,
        folder: str | Path,
        device: str = "auto",
        *,
        overlap: float = 0.5,
        mirrored: Sequence[int] | None = None,
        precision: str = "auto",
    ) -> Ensemble:
        """Ensemble of the runs that a folder lists, each loaded when it is needed.

        Raises
        ------
        FileNotFoundError
            If there is no ensemble in the folder, or a member has moved away.
        ValueError
            If its file is damaged, or the members do not belong together.
        """
        file = Path(folder) / ENSEMBLE_FILE
        content = strict_json.read(file)
        if not _is_ensemble(content):
            raise ValueError(
                f'{file} holds no ensemble; expected {{"members": ["fold_0", ...], '
                '"merge": "mean", "weights": null}'
            )
        axes = None if mirrored is None else tuple(mirrored)
        runs = [Path(os.path.normpath(file.parent / each)) for each in content["members"]]
        for run in runs:
            if not Run(run).plan.is_file():
                raise FileNotFoundError(f"{run} is no run of medseg train, and {file} lists it")
        members = tuple(Stored(run, device, overlap, axes, precision) for run in runs)
        weights = content["weights"]
        return cls(members, content["merge"], None if weights is None else tuple(weights))

    @property
    def plan(self) -> Plan:
        """Plan of the first trained member: its channels and labels are those of all.

        Raises
        ------
        AttributeError
            If no member is a trained model.
        """
        plans = [plan for member in self.members if (plan := _plan_of(member))]
        if not plans:
            raise AttributeError("no member of the ensemble is a trained model with a plan")
        return plans[0]

    def segment(
        self, image: Image, seeds: Labels | None = None, mask: Labels | None = None
    ) -> Labels:
        """Give each voxel the label that is most probable to all members together."""
        return self.most_probable(self.probabilities(image, seeds, mask), seeds)

    def probabilities(
        self, image: Image, seeds: Labels | None = None, mask: Labels | None = None
    ) -> Image:
        """Probability of each label, background first; outside the mask, that is certain.

        Raises
        ------
        ValueError
            If a member refuses the image, or two have other labels.
        """
        require_place(image, seeds, mask)
        where = np.ones(image.grid.shape, bool) if mask is None else mask.array != 0
        weights = self.weights or (1.0,) * len(self.members)
        merging = MERGES[self.merge]()
        first: tuple[str, ...] = ()
        labels: tuple[int, ...] = ()
        for member, weight in zip(self.members, weights, strict=True):
            found = member.probabilities(image, seeds, mask)
            own = labels_of_channels(found, names_of(member, seeds))
            first, labels = first or found.names, labels or own
            if set(own) != set(labels):
                raise ValueError(f"members have the same labels, got {labels} and {own}")
            inside = found.array.reshape(len(own), -1) if mask is None else found.array[:, where]
            del found  # before the next member needs the memory
            order = [own.index(label) for label in labels]
            merging.add(inside if own == labels else inside[order], weight)
            del inside
        merged = merging.merged()
        if mask is None:
            return Image(merged.reshape(-1, *image.grid.shape), image.grid, first)
        array = np.zeros((len(labels), *image.grid.shape), np.float32)
        array[0] = 1
        array[:, where] = merged
        return Image(array, image.grid, first)

    def most_probable(self, probabilities: Image, seeds: Labels | None = None) -> Labels:
        """Labels of what `probabilities` gave; the same as `segment`."""
        names = names_of(self, seeds)
        values = np.array(labels_of_channels(probabilities, names))
        return Labels(values[probabilities.array.argmax(0)], probabilities.grid, names)

    def _require_weights(self) -> None:
        if self.weights is None:
            return
        object.__setattr__(self, "weights", tuple(self.weights))
        if self.merge == "staple":
            raise ValueError("staple finds out how far it trusts each member; give no weights")
        if len(self.weights) != len(self.members) or not all(
            0 < weight < float("inf") for weight in self.weights
        ):
            raise ValueError(
                f"weights are {len(self.members)} numbers above 0, one a member, got {self.weights}"
            )

    def _require_same_plans(self) -> None:
        plans = [plan for member in self.members if (plan := _plan_of(member))]
        for plan in plans[1:]:
            for what in ("channels", "labels", "names"):
                one, other = getattr(plans[0], what), getattr(plan, what)
                if (set(one) != set(other)) if what == "labels" else (one != other):
                    raise ValueError(f"members have the same {what}, got {one} and {other}")


def save_ensemble(
    folder: str | Path,
    runs: Sequence[str | Path],
    *,
    merge: str = "mean",
    weights: Sequence[float] | None = None,
) -> None:
    """Write an ensemble of trained runs as a folder that lists them, relative to itself.

    Raises
    ------
    FileNotFoundError
        If one of them is no run.
    ValueError
        If they do not belong together.
    """
    place = Path(folder)
    for run in runs:
        if not Run(Path(run)).plan.is_file():
            raise FileNotFoundError(f"{run} is no run of medseg train")
    Ensemble(
        tuple(Stored(Path(run)) for run in runs),
        merge,
        None if weights is None else tuple(weights),
    )
    content = {
        "members": [Path(os.path.relpath(run, place)).as_posix() for run in runs],
        "merge": merge,
        "weights": None if weights is None else list(weights),
    }
    replace_file(place / ENSEMBLE_FILE, json.dumps(content, indent=2) + "\n")


def loader_of(folder: str | Path) -> Callable[..., Model | Ensemble]:
    """Return what loads the folder: that of an ensemble, or of a run."""
    return Ensemble.load if (Path(folder) / ENSEMBLE_FILE).is_file() else Model.load


def _plan_of(member: Probabilistic) -> Plan | None:
    return cast(Plan | None, getattr(member, "plan", None))


def _is_ensemble(content: Any) -> bool:
    if not isinstance(content, Mapping) or set(content) != {"members", "merge", "weights"}:
        return False
    members, weights = content["members"], content["weights"]
    return (
        isinstance(members, list)
        and all(isinstance(each, str) for each in members)
        and isinstance(content["merge"], str)
        and (
            weights is None
            or (isinstance(weights, list) and all(type(each) in (int, float) for each in weights))
        )
    )
