"""Decide, from what the training images are like, how a network sees them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np

from medseg.dataset import Dataset
from medseg.learning.conventions import OURS, as_nnunet
from medseg.learning.fingerprint import Fingerprint, fingerprint_of
from medseg.learning.normalising import normalisations_of
from medseg.learning.oddities import oddities
from medseg.learning.patches import LEVELS, fitted, memory_at_hand, patch_of, voxels_in
from medseg.learning.plan import Plan
from medseg.learning.presets import MEDSEG, Preset, preset_called
from medseg.learning.reasons import notes_of
from medseg.learning.sizing import (
    Sizes,
    in_order,
    lower_resolution,
    median_size,
    sized,
    target_spacing,
)
from medseg.learning.symmetry import allowed_mirror
from medseg.networks import plan_network
from medseg.networks.topology import topology
from medseg.volume import BACKGROUND

log = logging.getLogger("medseg")
_WIDTH = 16
# nnU-Net leaves the 0 around images out where their boxes are less than this share of them.
_CROP_BELOW = 0.75
_KINDS: Mapping[str, Callable[[Any], Any]] = {"spacing": float, "patch": int, "mirror": int}


def make_plan(
    dataset: Dataset,
    network: str = "",
    *,
    ndim: int | None = None,
    settings: Mapping[str, Any] | None = None,
    allow_empty: bool = False,
    preset: str = MEDSEG,
) -> Plan:
    """Plan from the training images: their median spacing and size, their labels.

    What a person should look at before training is logged as a warning.

    Parameters
    ----------
    dataset : Dataset
        Checked first, as `Dataset.check` does.
    network : str
        A name in `NETWORKS`, or monai:NAME; by default that of the preset.
    ndim : int, optional
        2 for a 2D network on 3D volumes, which it takes slice by slice along the coarsest
        axis, or the one that has a single slice; by default, as many as the
        volumes have, and 2 for volumes of a single slice.
    settings : mapping, optional
        What is to be otherwise: fields of the plan (spacing, patch, mirror), the memory in GB
        for which it is made, and fields of the network as "network.features".
    allow_empty : bool
        Whether cases without any label are welcome.
    preset : str
        A name in `PRESETS`: "medseg", or one of nnU-Net's.

    Raises
    ------
    ValueError
        If the data set has problems, or a setting is unknown.
    """
    found = fingerprint_of(dataset, allow_empty=allow_empty)
    for line in oddities(found):
        log.warning("look at this: %s", line)
    return plan_from(found, network, ndim=ndim, settings=settings, preset=preset)


def plan_from(
    fingerprint: Fingerprint,
    network: str = "",
    *,
    ndim: int | None = None,
    settings: Mapping[str, Any] | None = None,
    preset: str = MEDSEG,
) -> Plan:
    """Plan from what is known of the training images; see `make_plan`."""
    planner = _Planner.of(fingerprint, network, settings or {}, preset)
    return planner.plan(planner.sizes(ndim))


def configurations(
    fingerprint: Fingerprint,
    network: str = "",
    *,
    settings: Mapping[str, Any] | None = None,
    preset: str = MEDSEG,
) -> dict[str, Plan]:
    """Plans by name: 2d and 3d; and where a patch of 3d sees little of a volume, a cascade.

    That is 3d-low at a lower resolution, and 3d-cascade, which is 3d and sees the labels of
    3d-low too.
    """
    planner = _Planner.of(fingerprint, network, settings or {}, preset)
    main = planner.sizes(None)
    found = {"3d" if min(main.patch) > 1 and len(main.patch) == 3 else "2d": main}
    if "3d" in found and "patch" not in planner.wanted:
        found["2d"] = planner.sizes(2)
        lower = planner.lower(main)
        found |= {} if lower is None else {"3d-low": lower}
    plans = {name: planner.plan(sizes) for name, sizes in found.items()}
    if "3d-low" in plans:
        plans["3d-cascade"] = replace(plans["3d"], earlier=plans["3d-low"].values[1:])
    return plans


@dataclass(frozen=True)
class _Planner:
    """A fingerprint, and all that the user said; sizes have the axes of the volumes."""

    fingerprint: Fingerprint
    network: str
    preset: Preset | None
    wanted: Mapping[str, Any]
    of_network: Mapping[str, Any]

    @classmethod
    def of(
        cls, fingerprint: Fingerprint, network: str, settings: Mapping[str, Any], preset: str
    ) -> _Planner:
        chosen = preset_called(preset)
        own = chosen.network if chosen else "unet"
        if chosen and network not in ("", own):
            raise ValueError(
                f"the preset {preset} is for the network {own}, got {network}; take the preset "
                f"{MEDSEG} for others"
            )
        wanted, of_network = _settings(settings, len(fingerprint.cases[0].shape))
        return cls(fingerprint, network or own, chosen, wanted, of_network)

    def sizes(self, ndim: int | None) -> Sizes:
        """What a network of so many axes sees; None for as many as the volumes have."""
        found = self.fingerprint
        shapes = found.shapes if self.preset is None else found.contents
        spacing = self.wanted.get("spacing") or tuple(
            round(mm, 6) for mm in target_spacing(found.spacings, shapes)
        )
        if self.preset is not None:
            median = median_size(found.spacings, shapes, spacing)
            slices = self._slices(spacing, median, ndim)
            return self._of_nnunet(self.preset, spacing, median, slices)
        median = tuple(np.median(shapes * found.spacings / spacing, axis=0).tolist())
        return self._own(spacing, median, self._slices(spacing, median, ndim))

    def lower(self, full: Sizes) -> Sizes | None:
        """What a network sees at a lower resolution, where that is called for."""

        def again(spacing: tuple[float, ...], median: tuple[float, ...]) -> Sizes:
            if self.preset is None:
                return self._own(spacing, median, None)
            rounded = tuple(map(float, np.rint(median).tolist()))
            return self._of_nnunet(self.preset, spacing, rounded, None, prod(median))

        return lower_resolution(full, again)

    def plan(self, sizes: Sizes) -> Plan:
        """Make the plan of a network that sees as much."""
        found, axes = self.fingerprint, _seen_axes(sizes.patch)
        supervised = {} if self.preset is None else {"deep_supervision": True}
        network = plan_network(self.network, sizes.levels, supervised | dict(self.of_network))
        patch, crop_below = sizes.patch, None if self.preset is None else _CROP_BELOW
        if self.preset is None and "patch" not in self.wanted:
            patch = fitted(patch, axes, network, self._voxels)
        allowed = allowed_mirror(found)
        usual = () if self.preset is None else tuple(axis for axis in allowed if axis in axes)
        mirror = self.wanted.get("mirror", usual)
        return Plan(
            network=network,
            channels=found.channels,
            normalisations=normalisations_of(found, crop_below=crop_below),
            spacing=sizes.spacing,
            patch=patch,
            labels=(BACKGROUND, *sorted(found.names)),
            names=found.names,
            mirror=mirror,
            conventions=OURS if self.preset is None else as_nnunet(mirror),
            batch=sizes.batch,
            regions=found.regions,
            written=found.written,
            ignore=found.ignore,
            notes=notes_of(found, replace(sizes, patch=patch), allowed),
        )

    @property
    def _voxels(self) -> int:
        return voxels_in(self.wanted.get("memory") or memory_at_hand())

    def _slices(
        self, spacing: tuple[float, ...], median: tuple[float, ...], ndim: int | None
    ) -> int | None:
        """Axis along which a 2D network takes volumes slice by slice, if it does."""
        if patch := self.wanted.get("patch"):
            left_out = set(range(len(patch))) - set(_seen_axes(patch, ndim))
            return left_out.pop() if left_out else None
        n = len(spacing)
        # A picture stored as a volume is one slice, whatever spacing its header gives to it.
        thin = np.flatnonzero(np.rint(median) <= 1)
        if ndim is None and n == 3 and len(thin) == 1:
            return int(thin[0])
        if ndim in (None, n):
            return None
        if (ndim, n) != (2, 3):
            raise ValueError(
                f"{n}D volumes take networks of {' or '.join('23'[: n - 1])} axes, got ndim={ndim}"
            )
        coarsest = int(np.argmax(spacing)) if self.preset is None else in_order(spacing)[0]
        return int(thin[0]) if len(thin) == 1 else coarsest

    def _own(
        self, spacing: tuple[float, ...], median: tuple[float, ...], slices: int | None
    ) -> Sizes:
        patch = self.wanted.get("patch") or patch_of(spacing, median, slices, self._voxels)
        axes = _seen_axes(patch)
        features = self.of_network.get("features")
        levels = topology(
            tuple(spacing[axis] for axis in axes),
            tuple(patch[axis] for axis in axes),
            width=_WIDTH,
            levels=len(features) if isinstance(features, list | tuple) else LEVELS,
        )
        return Sizes(spacing, median, patch, 0, levels)

    def _of_nnunet(
        self,
        preset: Preset,
        spacing: tuple[float, ...],
        median: tuple[float, ...],
        slices: int | None,
        voxels: float | None = None,
    ) -> Sizes:
        """Sizes by nnU-Net's formulas, for which axes are in nnU-Net's order, and back."""
        patch = self.wanted.get("patch")
        order = [axis for axis in in_order(spacing) if axis != slices]
        whole = prod(median) if voxels is None else voxels
        found = sized(
            preset.with_memory(self.wanted.get("memory")),
            tuple(spacing[axis] for axis in order),
            tuple(median[axis] for axis in order),
            voxels=whole * len(self.fingerprint.cases),
            classes=len(self.fingerprint.regions) or 1 + len(self.fingerprint.names),
            patch=None if patch is None else tuple(patch[axis] for axis in order),
        )
        sides = dict(zip(order, found.patch, strict=True))
        return Sizes(
            spacing,
            median,
            tuple(sides.get(axis, 1) for axis in range(len(spacing))),
            found.batch,
            found.levels.turned(np.argsort(order).tolist()),
        )


def _settings(settings: Mapping[str, Any], axes: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Settings of the plan, checked, and those of its network."""
    network = {key: value for key, value in settings.items() if key.startswith("network.")}
    plan = {key: value for key, value in settings.items() if key not in network}
    if unknown := plan.keys() - {*_KINDS, "memory"}:
        raise ValueError(
            f"a plan has no setting {', '.join(sorted(unknown))}; it has spacing, patch, mirror, "
            "memory and those of the network, as network.features"
        )
    memory = plan.pop("memory", None)
    if memory is not None and not (isinstance(memory, int | float) and memory > 0):
        raise ValueError(f"plan.memory is GB, over 0, got {memory!r}")
    for key, value in plan.items():
        numbers = isinstance(value, list | tuple) and all(isinstance(x, int | float) for x in value)
        if key == "mirror" and not numbers:
            raise ValueError(f"plan.mirror is a list of axes, got {value!r}")
        if key != "mirror" and not (numbers and len(value) == axes and min(value) > 0):
            raise ValueError(f"plan.{key} is a list of {axes} numbers over 0, got {value!r}")
    return (
        {"memory": memory} | {key: tuple(map(_KINDS[key], value)) for key, value in plan.items()},
        {key.removeprefix("network."): value for key, value in network.items()},
    )


def _seen_axes(patch: tuple[int, ...], ndim: int | None = None) -> tuple[int, ...]:
    axes = tuple(axis for axis, side in enumerate(patch) if side > 1)
    if len(axes) < 2:
        raise ValueError(f"plan.patch has at least two sides over 1, got {patch}")
    if ndim not in (None, len(axes)):
        raise ValueError(f"a {ndim}D network needs a patch with {ndim} sides over 1, got {patch}")
    return axes
