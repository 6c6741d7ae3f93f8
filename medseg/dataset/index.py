"""What a `dataset.json` says; nothing in it is taken on trust."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

_MOST_DIGITS = 10  # labels fit in 32 bits


def channels_of(index: Mapping[str, Any], file: Path) -> tuple[str, ...]:
    """Names of the channels: {"0": name, ...} under "channel_names" or "modality"."""
    key = "channel_names" if "channel_names" in index else "modality"
    channels = _mapping(index, key, file)
    if not _are_numbers(channels):
        raise ValueError(f'{file}: "{key}" numbers the channels from 0, got {_short(channels)}')
    return tuple(str(channels[number]) for number in sorted(channels, key=int))


def names_of(
    index: Mapping[str, Any], file: Path
) -> tuple[dict[int, str], dict[str, tuple[int, ...]]]:
    """Label names and regions; Decathlon writes {"1": name}, nnU-Net {name: 1 or [1, 2]}."""
    labels = _mapping(index, "labels", file)
    if _are_numbers(labels):
        return {int(value): str(name) for value, name in labels.items() if int(value)}, {}
    if "ignore" in labels:
        raise ValueError(
            f'{file} has an "ignore" label, which medseg does not leave out of training yet; '
            "relabel those voxels"
        )
    values = {name: _values(value, file) for name, value in labels.items() if value != 0}
    names = {value[0]: name for name, value in values.items() if len(value) == 1}
    for value in sorted({v for several in values.values() for v in several}):
        names.setdefault(value, f"label {value}")
    regions = {name: value for name, value in values.items() if len(value) > 1}
    return dict(sorted(names.items())), regions


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
