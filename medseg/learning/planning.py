"""Decide, from what the training images are like, how a network sees them."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from medseg.dataset import Case, Dataset
from medseg.device import available_threads
from medseg.intensity import Normalisation, Window, ZScore
from medseg.learning.plan import Plan
from medseg.networks import NetworkConfig, plan_network
from medseg.networks.topology import topology
from medseg.volume import BACKGROUND, reorient

# A patch of so many voxels takes a laptop's CPU under a second a step, and 1 GB of memory.
_PATCH_VOXELS = 2**18
_WIDTH, _LEVELS = 16, 5


def make_plan(
    dataset: Dataset,
    network: str = "unet",
    *,
    ndim: int | None = None,
    settings: Mapping[str, Any] | None = None,
    allow_empty: bool = False,
) -> Plan:
    """Plan from the training images: their median spacing and size, their labels.

    Parameters
    ----------
    dataset : Dataset
        Checked first, as `Dataset.check` does.
    network : str
        A name in `NETWORKS`, or monai:NAME.
    ndim : int, optional
        2 for a 2D network on 3D volumes, which it takes slice by slice along the coarsest
        axis, or the one that has a single slice; by default, as many as the
        volumes have, and 2 for volumes of a single slice.
    settings : mapping, optional
        What is to be otherwise: fields of the plan (spacing, patch, mirror), and fields of
        the network as "network.features".
    allow_empty : bool
        Whether cases without any label are welcome.

    Raises
    ------
    ValueError
        If the data set has problems, or a setting is unknown.
    """
    if not dataset.cases:
        raise ValueError("a plan is made from at least one case, the data set has none")
    dataset.check(allow_empty=allow_empty)
    with ThreadPoolExecutor(available_threads()) as pool:
        surveys = list(pool.map(_survey, dataset.cases))
    wanted, of_network = _settings(settings or {}, len(surveys[0].shape))
    spacing = wanted.get("spacing") or tuple(
        np.median([survey.spacing for survey in surveys], axis=0).round(6).tolist()
    )
    sizes = [np.array(survey.shape) * survey.spacing / spacing for survey in surveys]
    median = np.median(sizes, axis=0)
    patch = wanted.get("patch") or _patch(spacing, median, _slice_axis(spacing, median, ndim))
    axes = _network_axes(patch, ndim)
    features = of_network.get("features")
    shape = topology(
        tuple(spacing[axis] for axis in axes),
        tuple(patch[axis] for axis in axes),
        width=_WIDTH,
        levels=len(features) if isinstance(features, list | tuple) else _LEVELS,
    )
    chosen = plan_network(network, shape, of_network)
    if "patch" not in wanted:
        patch = _fitted(patch, axes, chosen)
    names = dict(dataset.names) or _found_names(surveys)
    channels = dataset.channels or tuple(f"channel {k}" for k in range(surveys[0].channels))
    return Plan(
        network=chosen,
        channels=channels,
        normalisations=tuple(_normalisation(name, k, surveys) for k, name in enumerate(channels)),
        spacing=spacing,
        patch=patch,
        labels=(BACKGROUND, *sorted(names)),
        names=names,
        mirror=wanted.get("mirror", ()),
    )


def _settings(
    settings: Mapping[str, Any], axes: int
) -> tuple[dict[str, tuple[Any, ...]], dict[str, Any]]:
    """Settings of the plan, checked, and those of its network."""
    network = {key: value for key, value in settings.items() if key.startswith("network.")}
    plan = {key: value for key, value in settings.items() if key not in network}
    if unknown := plan.keys() - {"spacing", "patch", "mirror"}:
        raise ValueError(
            f"a plan has no setting {', '.join(sorted(unknown))}; it has spacing, patch, mirror "
            "and those of the network, as network.features"
        )
    for key, value in plan.items():
        numbers = isinstance(value, list | tuple) and all(isinstance(x, int | float) for x in value)
        if key == "mirror" and not numbers:
            raise ValueError(f"plan.mirror is a list of axes, got {value!r}")
        if key != "mirror" and not (numbers and len(value) == axes and min(value) > 0):
            raise ValueError(f"plan.{key} is a list of {axes} numbers over 0, got {value!r}")
    kinds = {"spacing": float, "patch": int, "mirror": int}
    return (
        {key: tuple(map(kinds[key], value)) for key, value in plan.items()},
        {key.removeprefix("network."): value for key, value in network.items()},
    )


@dataclass(frozen=True)
class _Survey:
    """What planning wants to know of a case; in canonical orientation."""

    shape: tuple[int, ...]
    spacing: tuple[float, ...]
    channels: int
    labels: tuple[int, ...]
    foreground: np.ndarray  # (C, at most 5000) intensities inside the labels
    zeros: float  # share of voxels that are exactly 0 in every channel


def _survey(case: Case) -> _Survey:
    image, labels = reorient(case.image()), reorient(case.labels())
    inside = image.array[:, labels.array != BACKGROUND]
    step = max(inside.shape[1] // 5000, 1)
    zeros = float((image.array == 0).all(axis=0).mean())
    grid = image.grid
    return _Survey(
        grid.shape, grid.spacing, image.channels, labels.values(), inside[:, ::step], zeros
    )


def _slice_axis(spacing: tuple[float, ...], median: np.ndarray, ndim: int | None) -> int | None:
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
    return int(thin[0]) if len(thin) == 1 else int(np.argmax(spacing))


def _network_axes(patch: tuple[int, ...], ndim: int | None) -> tuple[int, ...]:
    axes = tuple(axis for axis, side in enumerate(patch) if side > 1)
    if len(axes) < 2:
        raise ValueError(f"plan.patch has at least two sides over 1, got {patch}")
    if ndim not in (None, len(axes)):
        raise ValueError(f"a {ndim}D network needs a patch with {ndim} sides over 1, got {patch}")
    return axes


def _patch(
    spacing: tuple[float, ...], median: np.ndarray, slice_axis: int | None
) -> tuple[int, ...]:
    """Median size, shrunk along its relatively longest axis until it fits the budget."""
    axes = [axis for axis in range(len(median)) if axis != slice_axis]
    zooms = tuple(spacing[axis] for axis in axes)
    size = np.maximum(np.rint(median[axes]), 2).astype(int)
    full = size.copy()

    patch, multiple = _rounded(zooms, tuple(size.tolist()))
    while prod(patch) > _PATCH_VOXELS:
        axis = int(np.argmax(np.array(patch) / full))
        size = np.array(patch)
        size[axis] -= multiple[axis]
        patch, multiple = _rounded(zooms, tuple(size.tolist()))
    if slice_axis is None:
        return patch
    return (*patch[:slice_axis], 1, *patch[slice_axis:])


def _fitted(
    patch: tuple[int, ...], axes: tuple[int, ...], network: NetworkConfig
) -> tuple[int, ...]:
    """Patch that a network asks for, or the largest legal one that keeps to the budget."""
    sides, multiple = tuple(patch[axis] for axis in axes), network.multiple
    legal = network.segment or sides
    if network.segment is None and any(network.margin):
        legal = network.fitted(sides)
        # As many voxels are seen as networks without a margin see; of them, fewer are scored.
        while _seen(legal, network) > _PATCH_VOXELS and legal != network.smallest:
            spare = [
                (n - low) / m for n, low, m in zip(legal, network.smallest, multiple, strict=True)
            ]
            axis = int(np.argmax(spare))
            legal = tuple(n - multiple[k] * (k == axis) for k, n in enumerate(legal))
    found = dict(zip(axes, legal, strict=True))
    return tuple(found.get(axis, side) for axis, side in enumerate(patch))


def _seen(sides: tuple[int, ...], network: NetworkConfig) -> int:
    return prod(side + 2 * margin for side, margin in zip(sides, network.margin, strict=True))


def _rounded(
    zooms: tuple[float, ...], sides: tuple[int, ...]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Sides that the strides of their own network divide, and the product of these strides."""
    multiple = topology(zooms, sides, width=1, levels=_LEVELS).multiple
    # To the nearest multiple: rounding up would train on a third more voxels, all padding.
    pairs = list(zip(sides, multiple, strict=True))
    fitted = tuple(max((side + (m - 1) // 2) // m, 1) * m for side, m in pairs)
    # A shorter side may let another axis be halved once more.
    return (sides, multiple) if fitted == sides else _rounded(zooms, fitted)


def _found_names(surveys: list[_Survey]) -> dict[int, str]:
    found = sorted({label for survey in surveys for label in survey.labels})
    return {label: f"label {label}" for label in found}


def _normalisation(name: str, channel: int, surveys: list[_Survey]) -> Normalisation:
    """For CT, a window that holds the structures; else the z-score of each volume."""
    if name.casefold() == "ct":
        values = np.concatenate([survey.foreground[channel] for survey in surveys])
        if len(values):
            low, high = np.percentile(values, [0.5, 99.5])
            spread = max(float(values.std()), 1e-8)
            return Window(float(low), float(max(high, low + 1)), float(values.mean()), spread)
    # nnU-Net's rule: where a quarter of the volume was set to 0, the 0 is no intensity.
    return ZScore(nonzero=float(np.median([survey.zeros for survey in surveys])) > 0.25)
