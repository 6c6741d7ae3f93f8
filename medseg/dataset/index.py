"""What a `dataset.json` says; nothing in it is taken on trust."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from medseg.dataset.regions import require_regions

_MOST_DIGITS = 10  # labels fit in 32 bits


def channels_of(index: Mapping[str, Any], file: Path) -> tuple[str, ...]:
    """Names of the channels: {"0": name, ...} under "channel_names" or "modality"."""
    key = "channel_names" if "channel_names" in index else "modality"
    channels = _mapping(index, key, file)
    if not _are_numbers(channels):
        raise ValueError(f'{file}: "{key}" numbers the channels from 0, got {_short(channels)}')
    return tuple(str(channels[number]) for number in sorted(channels, key=int))


class Meaning(NamedTuple):
    """What the labels of a data set stand for: fields of a `Dataset`."""

    names: Mapping[int, str]
    regions: Mapping[str, tuple[int, ...]] = MappingProxyType({})
    written: tuple[int, ...] = ()
    ignore: int | None = None


def meaning_of(index: Mapping[str, Any], file: Path) -> Meaning:
    """Label names and regions; Decathlon writes {"1": name}, nnU-Net {name: 1 or [1, 2]}.

    Where nnU-Net says as what they are written ("regions_class_order"), all its structures are
    regions, in its order. Its label "ignore" is none of them.
    """
    labels = dict(_mapping(index, "labels", file))
    if _are_numbers(labels):
        return Meaning({int(value): str(name) for value, name in labels.items() if int(value)})
    ignore = labels.pop("ignore", None)
    ignored = None if ignore is None else _values(ignore, file)
    values = {name: _values(value, file) for name, value in labels.items() if value not in (0, [0])}
    names = {value[0]: name for name, value in values.items() if len(value) == 1}
    for value in sorted({v for several in values.values() for v in several}):
        names.setdefault(value, f"label {value}")
    if ignored is not None and (len(ignored) > 1 or ignored[0] in (0, *names)):
        raise ValueError(
            f'{file}: "ignore" is one label that stands for nothing else, got {ignore!r}'
        )
    written = _written(index, values, file)
    regions = {name: value for name, value in values.items() if written or len(value) > 1}
    return Meaning(dict(sorted(names.items())), regions, written, ignored[0] if ignored else None)


def _written(
    index: Mapping[str, Any], regions: Mapping[str, tuple[int, ...]], file: Path
) -> tuple[int, ...]:
    """Label that each region is written as, if the data set says so."""
    order = index.get("regions_class_order") or []
    if not order:
        return ()
    if not isinstance(order, list) or any(type(label) is not int for label in order):
        raise ValueError(f'{file}: "regions_class_order" is a list of labels, got {_short(order)}')
    try:
        require_regions(regions, tuple(order))
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error
    return tuple(order)


def files_of(index: Mapping[str, Any], file: Path) -> dict[str, tuple[list[str], str]]:
    """Images and label of each case of nnU-Net's {name: {"images": [...], "label": ...}}.

    As with nnU-Net, they may lie anywhere.
    """
    found = {}
    for name, entry in _mapping(index, "dataset", file).items():
        parts = entry if isinstance(entry, Mapping) else {}
        images, label = parts.get("images"), parts.get("label")
        listed = images if isinstance(images, list) else []
        if not listed or not all(isinstance(text, str) for text in (*listed, label)):
            raise ValueError(
                f'{file}: each entry of "dataset" has a list of images and a label, got '
                f"{_short(entry)} for {name}"
            )
        found[name] = (listed, str(label))
    return found


def _values(value: object, file: Path) -> tuple[int, ...]:
    """Labels of a structure of nnU-Net, which writes 1, "1" or, for a region, [1, 2]."""
    given = value if isinstance(value, list) and value else [value]
    if any(type(one) not in (int, str) for one in given) or not _are_numbers(map(str, given)):
        raise ValueError(f"{file}: a label is a whole number or a list of some, got {value!r}")
    return tuple(int(str(one)) for one in given)


def _mapping(index: Mapping[str, Any], key: str, file: Path) -> Mapping[str, Any]:
    content = index.get(key, {})
    if not isinstance(content, Mapping):
        raise ValueError(f'{file}: "{key}" is an object, got {_short(content)}')
    return content


def _are_numbers(texts: Iterable[str]) -> bool:
    """Whether all are whole numbers in plain digits; of [] too."""
    return all(
        text.removeprefix("-").isdecimal() and text.isascii() and len(text) <= _MOST_DIGITS
        for text in texts
    )


def _short(content: object) -> str:
    return str(content)[:100]
