"""Several segmenters as one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from medseg.learning.ensemble_folder import ENSEMBLE_FILE, EnsembleFolder
from medseg.learning.hearing import E, Hearing
from medseg.learning.merging import MERGES
from medseg.learning.model import Model
from medseg.learning.overlapping import masks_in, written
from medseg.learning.plan import Plan
from medseg.learning.run import Run
from medseg.learning.scaling import Scaling, Use, stored_scaling
from medseg.learning.stored import Stored
from medseg.learning.uncertainty import ENTROPY, Spread, Uncertain, entropy, require_labels
from medseg.learning.variants import Variants, varied
from medseg.registry import pick
from medseg.segmenter import Probabilistic, labels_of_channels, names_of
from medseg.volume import Image, Labels


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Several segmenters that decide together; itself a `Segmenter` and `Probabilistic`.

    They segment one after the other and each is added to what is there, so that memory does
    not grow with them if they are `Stored`. Seeds and mask go to each.

    Parameters
    ----------
    members : tuple of Probabilistic
        Trained models and classical methods alike. Their labels are the same; or all are models
        that know the same regions.
    merge : str
        "mean" of the probabilities; "geometric" mean; "vote": the share of members for which a
        label is the likeliest; or "staple", which trusts members as far as they agree. Of
        regions, it is the mean.
    weights : tuple of float, optional
        How much each member counts, all the same by default.
    scaling : Scaling, optional
        Of what they say together, by which the ensemble was calibrated.

    References
    ----------
    K. Kamnitsas et al., "Ensembles of multiple models and architectures for robust brain tumour
    segmentation", BrainLes 2017, LNCS 10670, 2018, doi:10.1007/978-3-319-75238-9_38
    """

    members: tuple[Probabilistic, ...]
    merge: str = "mean"
    weights: tuple[float, ...] | None = None
    scaling: Scaling | None = None

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
        self._require_weights()
        self._require_same_plans()
        if self._regional and (self.merge != "mean" or self.scaling is not None):
            raise ValueError(
                "members that know regions are merged by their mean, without a scaling, got "
                f"{self.merge!r} and {self.scaling}"
            )

    @classmethod
    def load(
        cls,
        folder: str | Path,
        device: str = "auto",
        *,
        overlap: float = 0.5,
        mirrored: Sequence[int] | None = None,
        precision: str = "auto",
        scaling: Use = "stored",
    ) -> Ensemble:
        """Ensemble of the runs that a folder lists, each loaded when it is needed.

        Parameters
        ----------
        scaling : str
            "stored": as `medseg calibrate` left it for the ensemble or, where it did not, for
            each of its runs; or "none".

        Raises
        ------
        FileNotFoundError
            If there is no ensemble in the folder, or a member has moved away.
        ValueError
            If its file is damaged, or the members do not belong together.
        """
        listed = EnsembleFolder.read(folder)
        axes = None if mirrored is None else tuple(mirrored)
        scaled = stored_scaling(Path(folder), scaling, listed.named())
        # It was fitted to what members say that are not calibrated themselves.
        own = scaling if scaled is None else "none"
        members = tuple(Stored(run, device, overlap, axes, precision, own) for run in listed.runs)
        return cls(members, listed.merge, listed.weights, scaled).varied(listed.variants)

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
        heard = self._heard(Hearing(image, seeds, mask, MERGES[self.merge]))
        outside = 0 if self._regional else 1  # regions have no channel of the background
        return heard.placed(self._scaled(heard.ear.merged()), heard.names, outside)

    def uncertain(
        self, image: Image, seeds: Labels | None = None, mask: Labels | None = None
    ) -> Uncertain:
        """Probabilities, and maps of how unsure they are; see `uncertainty_of`."""
        require_labels(self)
        heard = self._heard(Hearing(image, seeds, mask, partial(Spread, self.merge)))
        merged, maps = heard.ear.told()
        merged = self._scaled(merged)
        maps = {ENTROPY: entropy(merged), **maps}
        return Uncertain(
            heard.placed(merged, heard.names, 1),
            {name: heard.placed(values[None], (name,), 0) for name, values in maps.items()},
        )

    def varied(self, variants: Sequence[Variants]) -> Ensemble:
        """Return an ensemble of the variants of each member; without any, of the same members.

        Those of one member count together as much as it does.

        Raises
        ------
        ValueError
            If a member has no such variants.
        """
        if not variants:
            return self
        each = [varied(member, variants) for member in self.members]
        weights = None
        if self.weights or len(set(map(len, each))) > 1:
            shares = zip(self.weights or (1.0,) * len(each), each, strict=True)
            weights = tuple(weight / len(some) for weight, some in shares for _ in some)
        return replace(self, members=tuple(one for some in each for one in some), weights=weights)

    def most_probable(self, probabilities: Image, seeds: Labels | None = None) -> Labels:
        """Labels of what `probabilities` gave; the same as `segment`."""
        if self._regional:
            return self.written(self.masks_of(probabilities))
        names = names_of(self, seeds)
        values = np.array(labels_of_channels(probabilities, names))
        return Labels(values[probabilities.array.argmax(0)], probabilities.grid, names)

    def masks(self, image: Image, mask: Labels | None = None) -> dict[str, Labels]:
        """Where each region is more probable than not to all members together, by name."""
        return self.masks_of(self.probabilities(image, mask=mask))

    def masks_of(self, probabilities: Image) -> dict[str, Labels]:
        """Masks of what `probabilities` gave."""
        return masks_in(probabilities, self.plan)

    def written(self, masks: Mapping[str, Labels]) -> Labels:
        """Labels of what `masks` gave, later regions on top."""
        return written(masks, self.plan)

    @property
    def _regional(self) -> bool:
        return any(plan.regions for member in self.members if (plan := _plan_of(member)))

    def _heard(self, hearing: Hearing[E]) -> Hearing[E]:
        weights = self.weights or (1.0,) * len(self.members)
        for member, weight in zip(self.members, weights, strict=True):
            hearing.hear(member, weight)
        return hearing

    def _scaled(self, merged: NDArray[np.float32]) -> NDArray[np.float32]:
        if self.scaling is None:
            return merged
        self.scaling.require_classes(len(merged))
        return self.scaling.of_probabilities(merged)

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
        if self._regional and len(plans) < len(self.members):
            raise ValueError("a member knows regions, and another one is no trained model")
        for plan in plans[1:]:
            for what in ("channels", "labels", "names", "regions", "written"):
                one, other = getattr(plans[0], what), getattr(plan, what)
                if (set(one) != set(other)) if what == "labels" else (one != other):
                    raise ValueError(f"members have the same {what}, got {one} and {other}")


def save_ensemble(
    folder: str | Path,
    runs: Sequence[str | Path],
    *,
    merge: str = "mean",
    weights: Sequence[float] | None = None,
    variants: Sequence[Variants] = (),
) -> Ensemble:
    """Write an ensemble of trained runs as a folder that lists them, relative to itself.

    Parameters
    ----------
    variants : sequence of Variants
        Members that are made of each run, in its place.

    Raises
    ------
    FileNotFoundError
        If one of them is no run.
    ValueError
        If they do not belong together, or there are no such variants of one.
    """
    places = tuple(Path(run) for run in runs)
    for run in places:
        if not Run(run).plan.is_file():
            raise FileNotFoundError(f"{run} is no run of medseg train")
    counts = None if weights is None else tuple(weights)
    made = Ensemble(tuple(Stored(run) for run in places), merge, counts).varied(variants)
    EnsembleFolder(places, merge, counts, tuple(variants)).save(folder)
    return made


def with_variants(model: Model | Ensemble, variants: Sequence[Variants]) -> Ensemble:
    """Return an ensemble of the variants of a model, or of those of the members of one."""
    ensemble = model if isinstance(model, Ensemble) else Ensemble((model,))
    return ensemble.varied(variants)


def loader_of(folder: str | Path) -> Callable[..., Model | Ensemble]:
    """Return what loads the folder: that of an ensemble, or of a run."""
    return Ensemble.load if (Path(folder) / ENSEMBLE_FILE).is_file() else Model.load


def _plan_of(member: Probabilistic) -> Plan | None:
    return cast(Plan | None, getattr(member, "plan", None))
