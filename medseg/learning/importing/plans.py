"""What nnU-Net's plans.json and dataset.json say, as a `Plan`.

nnU-Net sees a volume with its axes in reverse, and perhaps transposed; everything that it has
for each axis is brought back to the order in which the file has them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from medseg.dataset.index import Meaning, meaning_of
from medseg.intensity import Identity, Normalisation, Percentiles, Window, ZScore
from medseg.learning.conventions import as_nnunet
from medseg.learning.importing.networks import network_of
from medseg.learning.plan import Plan

_T = TypeVar("_T")
# Readers that turn a volume to RAS, and those that take it as it lies in the file.
_READERS = {
    "SimpleITKIO": "stored",
    "NibabelIO": "stored",
    "NaturalImage2DIO": "stored",
    "SimpleITKIOWithReorient": "RAS",
    "NibabelIOWithReorient": "RAS",
}
_PICTURES = "NaturalImage2DIO"
_RESAMPLING = "resample_data_or_seg_to_shape"
_ORDERS = {"resampling_fn_data": 3, "resampling_fn_probabilities": 1}


@dataclass(frozen=True)
class Axes:
    """Where the axes of a network lie in a stored volume.

    Parameters
    ----------
    seen : tuple of int
        Axis of the volume that is each axis of the network.
    slices : int, optional
        Axis of the volume along which a 2D network goes.
    """

    seen: tuple[int, ...]
    slices: int | None = None

    @classmethod
    def of(cls, transposed: Sequence[int], ndim: int, *, pictures: bool) -> Axes:
        """Axes from `transpose_forward`, for a network of 2 or 3 axes."""
        if sorted(transposed) != [0, 1, 2] or ndim not in (2, 3):
            raise ValueError(
                f"transpose_forward is {transposed} and the patch has {ndim} axes; expected an "
                "order of 0, 1, 2 and a patch of 2 or 3"
            )
        stored = tuple(2 - axis for axis in transposed)
        if pictures and (stored[0] != 2 or ndim != 2):
            raise ValueError("pictures have no third axis, and the network sees one")
        if ndim == 3:
            return cls(stored)
        return cls(stored[1:], None if pictures else stored[0])

    @property
    def order(self) -> tuple[int, ...]:
        """For each axis that the network sees, in the order of the volume, its number there."""
        return tuple(sorted(range(len(self.seen)), key=lambda axis: self.seen[axis]))

    def turned(self, per_axis: Sequence[_T]) -> tuple[_T, ...]:
        """What nnU-Net has for each axis of the network, in the order of the volume."""
        if len(per_axis) != len(self.seen):
            raise ValueError(f"{per_axis} is not for {len(self.seen)} axes")
        return tuple(per_axis[axis] for axis in self.order)

    def with_slices(self, per_axis: Sequence[_T], along: _T) -> tuple[_T, ...]:
        """The same, with `along` for the slice axis where there is one."""
        values = list(self.turned(per_axis))
        if self.slices is not None:
            values.insert(self.slices, along)
        return tuple(values)


def configuration_of(plans: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Settings of a configuration, with those that it inherits."""
    configurations = plans["configurations"]
    if name not in configurations:
        raise ValueError(f"it has no configuration {name!r}, but {', '.join(configurations)}")
    found: dict[str, Any] = {}
    seen = []
    following: str | None = name
    while following is not None:
        if following in seen:
            raise ValueError(f"its configuration {name!r} inherits from itself")
        seen.append(following)
        found = {**configurations[following], **found}
        following = configurations[following].get("inherits_from")
    return found


def axes_of(plans: Mapping[str, Any], settings: Mapping[str, Any]) -> Axes:
    """Axes of the network of a configuration."""
    pictures = plans["image_reader_writer"] == _PICTURES
    return Axes.of(plans["transpose_forward"], len(settings["patch_size"]), pictures=pictures)


def plan_of(
    plans: Mapping[str, Any],
    dataset: Mapping[str, Any],
    settings: Mapping[str, Any],
    mirroring: Sequence[int],
    orientation: str = "",
) -> Plan:
    """Plan with which the network predicts as nnU-Net does.

    Parameters
    ----------
    plans, dataset : mapping
        Contents of plans.json and dataset.json.
    settings : mapping
        The configuration, of those in the plans.
    mirroring : sequence of int
        Axes of the network.
    orientation : str
        That of the images with which the network was trained, where it is known.

    Raises
    ------
    ValueError
        If they ask for anything that medseg does not have.
    """
    _require_usual(settings)
    reader = plans["image_reader_writer"]
    if reader not in _READERS:
        raise ValueError(f"its images are read by {reader}; medseg has {', '.join(_READERS)}")
    axes = axes_of(plans, settings)
    channels = dataset.get("channel_names", dataset.get("modality"))
    spacing = [float(mm) for mm in settings["spacing"]]
    slices = float(plans["original_median_spacing_after_transp"][0])
    mirrored = tuple(sorted(axes.seen[axis] for axis in mirroring))
    meaning = _meaning(dataset)
    return Plan(
        network=network_of(settings, axes.turned),
        channels=tuple(channels[str(k)] for k in range(len(channels))),
        normalisations=tuple(_normalisation(plans, settings, k) for k in range(len(channels))),
        spacing=axes.with_slices(spacing, slices),
        patch=axes.with_slices([int(n) for n in settings["patch_size"]], 1),
        labels=(0, *meaning.names),
        names=meaning.names,
        mirror=mirrored,
        conventions=replace(as_nnunet(mirrored), orientation=orientation or _READERS[reader]),
        regions=meaning.regions if meaning.written else {},
        written=meaning.written,
        ignore=meaning.ignore,
        earlier=tuple(meaning.names) if settings.get("previous_stage") else (),
    )


def _require_usual(settings: Mapping[str, Any]) -> None:
    """Raise ValueError where something is done in another way than nnU-Net's default."""
    usual = {"preprocessor_name": "DefaultPreprocessor", **dict.fromkeys(_ORDERS, _RESAMPLING)}
    for name, value in usual.items():
        if settings[name] != value:
            raise ValueError(f"its {name} is {settings[name]}, medseg has {value} only")
    for name, order in _ORDERS.items():
        wanted = {"is_seg": False, "order": order, "order_z": 0, "force_separate_z": None}
        given = settings[f"{name}_kwargs"]
        if given != wanted:
            raise ValueError(f"its {name}_kwargs are {given}, medseg has {wanted} only")


def _meaning(dataset: Mapping[str, Any]) -> Meaning:
    """What its labels stand for; of its regions, each is an output, in their order."""
    meaning = meaning_of(dataset, Path("dataset.json"))
    if meaning.regions and not meaning.written:
        raise ValueError("it has labels of several numbers, and no regions_class_order")
    if not meaning.written and list(meaning.names) != list(range(1, len(meaning.names) + 1)):
        raise ValueError(f"its labels are not 0, 1, 2, ..., but {dataset['labels']}")
    return meaning


def _normalisation(
    plans: Mapping[str, Any], settings: Mapping[str, Any], channel: int
) -> Normalisation:
    scheme = settings["normalization_schemes"][channel]
    if scheme == "CTNormalization":
        facts = plans["foreground_intensity_properties_per_channel"][str(channel)]
        ends = float(facts["percentile_00_5"]), float(facts["percentile_99_5"])
        return Window(*ends, float(facts["mean"]), max(float(facts["std"]), 1e-8))
    known: dict[str, Normalisation] = {
        "ZScoreNormalization": ZScore(nonzero=bool(settings["use_mask_for_norm"][channel])),
        "NoNormalization": Identity(),
        "RescaleTo01Normalization": Percentiles(0, 100),
        "RGBTo01Normalization": Window(0, 255, 0, 255),
    }
    if scheme not in known:
        raise ValueError(
            f"its {scheme} is unknown; medseg has {', '.join(('CTNormalization', *known))}"
        )
    return known[scheme]
