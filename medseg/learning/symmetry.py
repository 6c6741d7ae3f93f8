"""Structures that come as left and right, across which nothing may be mirrored."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import combinations

import numpy as np

from medseg.learning.fingerprint import CaseFacts, Fingerprint, LabelFacts

RIGHT_AXIS = 0
"""Axis of the canonical orientation that runs from left to right."""

_SIDES = {"left": "left", "l": "left", "lh": "left", "lt": "left"} | {
    "right": "right",
    "r": "right",
    "rh": "right",
    "rt": "right",
}
# LeftKidney, kidney_left, kidney-L and ctx-lh-insula are words like "left kidney".
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_FEWEST_CASES, _MOST_CASES = 3, 0.9
_APART, _ALIKE = 3, 2


def sided_pairs(fingerprint: Fingerprint) -> tuple[tuple[int, int], ...]:
    """Labels that are the two sides of one structure: by their names or by where they lie."""
    names = fingerprint.names
    return tuple(
        (one, other)
        for one, other in combinations(sorted(names), 2)
        if _named_alike(names[one], names[other]) or _mirrored(fingerprint.cases, one, other)
    )


def allowed_mirror(fingerprint: Fingerprint) -> tuple[int, ...]:
    """Axes along which a mirrored image shows the same labels."""
    axes = range(len(fingerprint.cases[0].shape))
    forbidden = {RIGHT_AXIS} if sided_pairs(fingerprint) else set()
    return tuple(axis for axis in axes if axis not in forbidden)


def _named_alike(one: str, other: str) -> bool:
    """Whether two names differ by their side alone."""
    (first, side), (second, opposite) = _sided(one), _sided(other)
    return first == second and {side, opposite} == {"left", "right"}


def _sided(name: str) -> tuple[tuple[str, ...], str]:
    """Words of a name without its side, and the side, empty where it has none or both."""
    words = [word.casefold() for word in _WORD.findall(name)]
    sides = {_SIDES[word] for word in words if word in _SIDES}
    rest = tuple(word for word in words if word not in _SIDES)
    return rest, sides.pop() if len(sides) == 1 else ""


def _mirrored(cases: tuple[CaseFacts, ...], one: int, other: int) -> bool:
    """Whether two labels lie beside each other, alike in size, in nearly all cases with both."""
    both = [case.labels for case in cases if {one, other} <= case.labels.keys()]
    if len(both) < _FEWEST_CASES:
        return False
    to_the_right = np.array([_beside(labels, one, other) for labels in both])
    return bool(max(np.mean(to_the_right > 0), np.mean(to_the_right < 0)) >= _MOST_CASES)


def _beside(labels: Mapping[int, LabelFacts], one: int, other: int) -> int:
    """1 or -1 where one lies to the right or to the left of the other, as its mirror image does."""
    first, second = labels[one], labels[other]
    sizes = sorted((first.voxels, second.voxels))
    apart = np.subtract(first.centre, second.centre)
    beside = abs(apart[RIGHT_AXIS]) > _APART * np.abs(apart[1:]).max()
    return int(np.sign(apart[RIGHT_AXIS])) if beside and sizes[1] <= _ALIKE * sizes[0] else 0
