"""Structures that are made of several labels, and how they go back into one label map."""

from __future__ import annotations

from collections.abc import Mapping

from medseg.dataset.beside import BESIDE

_NOT_IN_FILES = set("/\\\0")


def written_as(regions: Mapping[str, tuple[int, ...]]) -> tuple[int, ...]:
    """Label that each region is written as where they overlap and later ones come on top.

    It is the first label of the region that no later one has: of whole=1,2,3, core=1,3 and
    enhancing=3, these are 2, 1 and 3. Where there is just one such label for each of some nested
    regions, as here, they give back the label map that they were made of.

    Raises
    ------
    ValueError
        If later regions have all labels of an earlier one.
    """
    labels = []
    later = list(regions.values())
    for name, members in regions.items():
        later.pop(0)
        own = [label for label in members if not any(label in other for other in later)]
        if not own:
            raise ValueError(
                f"the region {name!r} has no label that no later region has, and would be written "
                "over; name larger regions before those inside them"
            )
        labels.append(own[0])
    return tuple(labels)


def require_regions(regions: Mapping[str, tuple[int, ...]], written: tuple[int, ...]) -> None:
    """Raise ValueError unless each region has a fit name, labels, and one to be written as."""
    for name, members in regions.items():
        if not name or set(name) & _NOT_IN_FILES or name in BESIDE:
            raise ValueError(
                f"a region has a name that a file can have and none of {', '.join(BESIDE)}; "
                f"got {name!r}"
            )
        if not members or 0 in members or len(set(members)) < len(members):
            raise ValueError(
                f"a region is made of labels other than 0, each once; {name!r} has {members}"
            )
    if len(written) != len(regions) or len(set(written)) < len(written) or 0 in written:
        raise ValueError(
            f"{len(regions)} regions are written as as many labels, none of them 0 and each once; "
            f"got {written}"
        )
