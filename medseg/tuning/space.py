"""Where a search looks: which parameters of a chain vary, and between what values."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from medseg.chain import PARTS
from medseg.parameter import INTENSITY, Parameter, parameters
from medseg.registry import pick

Ranges = Mapping[str, tuple[float, float] | list[Any]]

# How often a parameter that may be left out is.
_LEFT_OUT = 1 / 3
# A width, or a length, of intensities is at least this share of all that occur.
_NARROWEST = 0.01


@dataclass(frozen=True)
class Space:
    """Parameters that vary, each with its range.

    Parameters
    ----------
    axes : mapping of str to Parameter
        By name, as "otsu.classes"; `usual` and `choices` are where to look.
    """

    axes: Mapping[str, Parameter]

    @classmethod
    def of(
        cls, steps: Sequence[Mapping[str, Any]], fixed: Mapping[str, Any], ranges: Ranges
    ) -> Space:
        """Space of a chain.

        A parameter varies if a range is given for it; or if it is an intensity, declares a
        range or has few values, and is not fixed.

        Parameters
        ----------
        steps : sequence of mapping
            Of a chain, each with its name.
        fixed : mapping of str
            Parameters, as "otsu.classes", that are given.
        ranges : mapping of str
            (low, high), or a list of values.

        Raises
        ------
        ValueError
            If there is no such parameter, it is fixed too, or its range is none that it may
            have.
        """
        known = dict(_known(steps))
        if twice := fixed.keys() & ranges.keys():
            raise ValueError(f"{min(twice)} has both a value and a range; give one")
        given = {
            key: _with_range(key, pick(known, key, "parameter"), range_)
            for key, range_ in ranges.items()
        }
        axes = {
            key: given.get(key, each)
            for key, each in known.items()
            if key in given or (key not in fixed and (each.searchable or each.unit == INTENSITY))
        }
        return cls(axes)

    @property
    def open(self) -> bool:
        """Whether the images have to say where to look for some intensity."""
        return any(not axis.searchable for axis in self.axes.values())

    def within(self, low: float, high: float) -> Space:
        """The same for images of these intensities.

        An end of an interval lies among them; a difference is up to a quarter of all that
        occur, either way; a width is up to all of it.

        Raises
        ------
        ValueError
            If the images are constant.
        """
        if low >= high:
            raise ValueError("the images are constant, so there is no range of intensities")
        return Space(
            {
                key: axis if axis.searchable else _of_intensities(axis, low, high)
                for key, axis in self.axes.items()
            }
        )

    def varies(self, step: str) -> bool:
        """Whether any parameter of a step does."""
        return any(key.partition(".")[0] == step for key in self.axes)

    def draw(self, rng: np.random.Generator) -> dict[str, Any]:
        """Value for each parameter."""
        return {key: _value(axis, float(rng.random())) for key, axis in self.axes.items()}

    def to_json(self) -> dict[str, Any]:
        """Range of each parameter: [low, high], or its values under "values"."""
        return {
            key: {"values": list(axis.choices)} if axis.choices else list(axis.usual or ())
            for key, axis in self.axes.items()
        }


def _known(steps: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, Parameter]]:
    at = {name: registry for registry in PARTS for name in registry}
    for step in steps:
        name = str(step["name"])
        registry = pick(at, name, "filter, method, refinement or clean-up")
        for each in parameters(registry[name]).values():
            yield f"{name}.{each.name}", each


def _with_range(key: str, axis: Parameter, given: object) -> Parameter:
    if isinstance(given, list) and given:
        return replace(axis, choices=tuple(given))
    if axis.kind not in ("int", "float"):
        raise ValueError(f"{key} takes no range but values, as in {key}=a,b; got {given!r}")
    if not (isinstance(given, tuple) and len(given) == 2 and given[0] < given[1]):
        raise ValueError(f"a range is low:high, as in {key}=2:6, got {given!r}")
    if axis.legal is not None and not all(end in axis.legal for end in given):
        raise ValueError(f"{key} is {axis.legal.words()}, so its range can't be {given}")
    # An axis with a default of None is not left out where a range was asked for.
    return replace(
        axis, usual=given, log=axis.log and given[0] > 0, choices=(), default=given[0], unit=""
    )


def _of_intensities(axis: Parameter, low: float, high: float) -> Parameter:
    reach = high - low
    if axis.default is not None:
        return replace(axis, usual=(-reach / 4, reach / 4))
    if axis.legal is not None and math.isfinite(axis.legal.low):
        return replace(axis, usual=(_NARROWEST * reach, reach), log=True)
    return replace(axis, usual=(low, high))


def _value(axis: Parameter, share: float) -> Any:
    if axis.unit == INTENSITY and axis.default is None:
        if share < _LEFT_OUT:
            return None
        share = (share - _LEFT_OUT) / (1 - _LEFT_OUT)
    return axis.at(share)
