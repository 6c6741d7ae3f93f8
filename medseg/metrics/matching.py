"""Which object is matched with which of those that it overlaps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def assign(overlaps: Mapping[int, Sequence[int]]) -> dict[int, int]:
    """At most one of its partners for each object, and each partner once, as MedPy matches.

    Those with a single partner choose first, in order, then always one with the fewest left.

    Parameters
    ----------
    overlaps : mapping of int to sequence of int
        Object -> the partners that it has a voxel in common with, ascending; at least one.
    """
    chosen: dict[int, int] = {}
    taken: set[int] = set()
    undecided = [(name, set(partners)) for name, partners in overlaps.items() if len(partners) > 1]
    for name, partners in overlaps.items():
        if len(partners) == 1 and partners[0] not in taken:
            chosen[name] = partners[0]
            taken.add(partners[0])
    while True:
        remaining = [(name, left - taken) for name, left in undecided]
        undecided = sorted((one for one in remaining if one[1]), key=lambda one: len(one[1]))
        if not undecided:
            return chosen
        name, left = undecided.pop(0)
        # Any would do; MedPy too takes the one that a set gives first, so it is the same one.
        chosen[name] = left.pop()
        taken.add(chosen[name])
